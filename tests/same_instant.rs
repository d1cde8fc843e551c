//! Monitors outside, the watch and people want the same at the same instant: one run, and whoever comes second is told.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod hooks_support;
mod live_support;
mod serve_support;
#[path = "api/served.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod served;
mod support;

use hooks_support::{runs, until_ended};
use pgbaton::lab::Fault;
use serde_json::json;
use serve_support::{Serving, with_detector};
use served::{Over, Served};
use std::time::Duration;
use support::Cluster;

/// Waits until the watch has seen its primary.
async fn until_watched(served: &Served, cluster: &Cluster) {
    let path = format!("/v1/clusters/{}/analysis", cluster.lab.name());
    for _ in 0..600 {
        let state = served.get("view", &path).await.expect(200).json();
        if state["analysis"]["code"] == "ok" && state["analysis"]["primary"] == "n1" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the watch does not see the primary");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_alerts_and_the_watch_make_one_run() {
    let cluster = Cluster::up("si-hooks", 2).await;
    with_detector(&cluster, "auto");
    let site = cluster.lab.site_file();
    let text = std::fs::read_to_string(site).unwrap();
    let name = cluster.lab.name().to_owned();
    let hook = format!("{{ cluster: {name}, bearer: true, mode: auto, key: payload.id }}");
    std::fs::write(
        site,
        format!("hooks: {{ one: {hook}, two: {hook} }}\n{text}"),
    )
    .unwrap();
    let served = Served::start(site, Over::Plain).await;
    until_watched(&served, &cluster).await;
    let call = async |hook: &str, id: &str| {
        let path = format!("/v1/hooks/{hook}");
        served.post("operate", &path, &json!({ "id": id })).await
    };
    cluster.fault("n1", Fault::Kill).await;
    let (one, two) = tokio::join!(call("one", "a"), call("two", "b"));
    let begun = [&one, &two].iter().filter(|a| a.status == 202).count();
    assert!(begun <= 1, "{one:?} {two:?}");
    for answer in [&one, &two] {
        if answer.status != 202 {
            let kind = answer.problem(409);
            assert!(kind == "cluster-busy" || kind == "held-back", "{answer:?}");
        }
    }
    // Whoever it was that was first.
    let run = loop {
        if let Some(run) = runs(&served).await.first() {
            break run["run"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    until_ended(&served, &run).await;
    let new = cluster.primary().await;
    assert_ne!(new, "n1");
    // And whoever is late.
    for hook in ["one", "two"] {
        assert_eq!(call(hook, "late").await.problem(409), "held-back");
    }
    let all = runs(&served).await;
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(all[0]["outcome"], "ok", "{all:#?}");
    let trigger = all[0]["trigger"].as_str().unwrap();
    assert_eq!(trigger != "detector", begun == 1, "{trigger}");
    served.stop().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_operator_and_the_watch_one_wins_and_the_other_is_told() {
    let cluster = Cluster::up("si-person", 2).await;
    with_detector(&cluster, "auto");
    let mut serving = Serving::start(&cluster).await;
    cluster.fault("n1", Fault::Kill).await;
    let said = cluster
        .pgbaton(&["run", "switchover", "-p", "candidate=n2"])
        .await;
    serving
        .until("`failover` was run and reached its goal")
        .await;
    let mut all = serve_support::runs(&cluster).await;
    all.sort_by_key(|run| run["started"].to_string());
    let id = |run: &serde_json::Value| run["run"].as_str().unwrap().to_owned();
    let own = |run: &&serde_json::Value| run["trigger"] == "detector";
    let failover = all.iter().find(own).unwrap();
    assert_eq!(all.iter().filter(own).count(), 1, "{all:#?}");
    assert_eq!(failover["outcome"], "ok");
    if all.len() == 1 {
        // The watch was first, and the operator is told by whom.
        assert_eq!(said.code, 5, "{}", said.all());
        assert!(said.stderr.contains(&id(failover)), "{}", said.stderr);
    } else {
        // One came after the other's end: a dead primary is not switched over, and a living one need not be.
        assert_eq!(all.len(), 2, "{all:#?}");
        let ended = all[0]["ended"].as_str().unwrap();
        let next = all[1]["started"].as_str().unwrap();
        assert!(ended <= next, "{all:#?}");
        let person = all.iter().find(|run| !own(run)).unwrap();
        assert_ne!(said.code, 5, "{}", said.all());
        // Where the watch was in its way, it was told.
        let spoken = serving.said();
        if spoken.contains("could not be run") {
            assert!(spoken.contains(&id(person)), "{spoken}");
        }
    }
    assert_ne!(cluster.primary().await, "n1");
    serving.stop().await;
}

/// The same, with one who is first for sure.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_second_is_told_of_the_run_that_has_the_cluster() {
    let cluster = Cluster::up("si-second", 1).await;
    with_detector(&cluster, "approve");
    let mut serving = Serving::start(&cluster).await;
    let holds = cluster.lab.dir().join("holds.yaml");
    std::fs::write(
        &holds,
        "playbook: holds
timeout: 10m
steps:
  touch: { action: exec, with: { argv: [\"true\"] }, effect: idempotent, timeout: 5s }
  hold: { needs: [touch], action: wait, with: { for: 5m }, timeout: 6m }
",
    )
    .unwrap();
    let mut first = support::UnderWay::start(cluster.lab.site_file(), &[holds.to_str().unwrap()]);
    let started = first.until(|e| e["event"] == "run_started").await;
    let person = started["run"].as_str().unwrap().to_owned();
    first.until_started("hold").await;
    cluster.fault("n1", Fault::Kill).await;
    serving.until("could not be run").await;
    let ends = format!("`pgbaton runs cancel {person} --reason …` ends it");
    assert!(serving.said().contains(&ends), "{}", serving.said());
    // Nothing is said to be started that is not.
    assert!(!serving.said().contains("starting"), "{}", serving.said());
    // When the person has done, the watch has its turn, and asks.
    first.signal(rustix::process::Signal::INT);
    first.end().await.expect(130);
    let run = loop {
        let all = serve_support::runs(&cluster).await;
        if let Some(run) = all.iter().find(|run| run["trigger"] == "detector") {
            break run["run"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let starts = format!("starting `approved_failover` (run {run})");
    serving.until(&starts).await;
    let said = cluster
        .pgbaton(&["run", "switchover", "-p", "candidate=n2"])
        .await;
    assert_eq!(said.code, 5, "{}", said.all());
    assert!(said.stderr.contains(&run), "{}", said.stderr);
    serving.stop().await;
}
