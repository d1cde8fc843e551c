//! docs/examples/disaster-recovery and docs/examples/two-data-centres, on real servers: nobody at another location is
//! promoted unless a person says so, and commits do not leave a data centre out unless a person says so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod examples_support;
mod support;

use examples_support::{dress, folder};
use pgbaton::cluster::{SyncMode, Synchronous};
use pgbaton::lab::{Fault, LabOptions};
use pgbaton::site::{Site, to_yaml};
use std::time::Duration;
use support::{Cluster, Said, UnderWay, name};

/// A lab whose nodes have locations, priorities and acknowledgements as the example's site file says.
async fn up(test: &str, example: &str, below: &[(&str, &str)]) -> Cluster {
    let shown = Site::load(&folder(example).join("site.yaml")).unwrap();
    let shown = shown.clusters.values().next().unwrap();
    let upstreams = below
        .iter()
        .map(|(node, upstream)| (name(node), name(upstream)));
    let options = LabOptions {
        standbys: 3,
        upstreams: upstreams.collect(),
        synchronous: Synchronous {
            mode: SyncMode::Quorum,
            acks: shown.synchronous.acks,
        },
        ..LabOptions::default()
    };
    let cluster = Cluster::with(test, options).await;
    let file = cluster.lab.site_file();
    let mut site = Site::load(file).unwrap();
    for inventory in site.clusters.values_mut() {
        for (node, about) in &mut inventory.nodes {
            about.location.clone_from(&shown.nodes[node].location);
            about.priority = shown.nodes[node].priority;
        }
    }
    std::fs::write(file, to_yaml(&site)).unwrap();
    dress(&cluster, example, "{}");
    cluster
}

/// A run that has come to its question; its id.
async fn asking(cluster: &Cluster, words: &[&str]) -> (UnderWay, String) {
    let mut run = UnderWay::start(cluster.lab.site_file(), words);
    let started = run.until(|e| e["event"] == "run_started").await;
    run.until(|e| e["evidence"]["topic"] == "question").await;
    (run, started["run"].as_str().unwrap().to_owned())
}

async fn answered(cluster: &Cluster, word: &str, (run, id): (UnderWay, String)) -> Said {
    let words = ["runs", word, &id, "--reason", "OPS-4711"];
    cluster.pgbaton(&words).await.expect(0);
    run.end().await
}

async fn assert_standbys(cluster: &Cluster, nodes: &[&str]) {
    for node in nodes {
        assert_eq!(cluster.ask(node, "SELECT pg_is_in_recovery()").await, "t");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_far_site_takes_over_only_when_a_person_says_so() {
    let below = [("n3", "n2"), ("n4", "n3")];
    let cluster = up("ex-dr", "disaster-recovery", &below).await;
    // Nobody waits for the far site, or is asked, while there is somebody here.
    cluster.fault("n1", Fault::Kill).await;
    let said = cluster.pgbaton(&["--json", "run", "failover"]).await;
    let said = said.expect(0);
    assert_eq!(cluster.primary().await, "n2");
    assert!(!said.stdout.contains("\"topic\":\"question\""));
    cluster.assert_streams("n3", "n2").await;
    cluster.assert_streams("n4", "n3").await;

    // Now this site is gone.
    let write = "SELECT pg_logical_emit_message(true, 'test', 'all have it')";
    cluster
        .tell("n2", &format!("SET synchronous_commit = local; {write}"))
        .await;
    cluster.until_replayed("n2", &["n3", "n4"]).await;
    cluster.fault("n2", Fault::Kill).await;
    let run = asking(&cluster, &["failover"]).await;
    let said = answered(&cluster, "deny", run).await.expect(3);
    assert!(said.stdout.contains("denied by"), "{}", said.all());
    assert_standbys(&cluster, &["n3", "n4"]).await;
    let run = asking(&cluster, &["failover"]).await;
    let said = answered(&cluster, "approve", run).await;
    assert!([0, 4].contains(&said.code), "{}", said.all());
    assert_eq!(cluster.primary().await, "n3");
    cluster.assert_streams("n4", "n3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_centre_that_is_gone_is_replaced_by_the_other_only_when_a_person_says_so() {
    let cluster = up("ex-two", "two-data-centres", &[]).await;
    let writer = cluster.writer().await;
    cluster.fault("n2", Fault::Kill).await;
    cluster.fault("n1", Fault::Kill).await;
    let run = asking(&cluster, &["failover"]).await;
    answered(&cluster, "deny", run).await.expect(3);
    assert_standbys(&cluster, &["n3", "n4"]).await;
    let run = asking(&cluster, &["failover"]).await;
    let said = answered(&cluster, "approve", run).await;
    // n2 was left behind, and is named.
    let said = said.expect(4);
    let new = cluster.primary().await;
    assert!(["n3", "n4"].contains(&new.as_str()), "{}", said.all());
    let other = if new == "n3" { "n4" } else { "n3" };
    cluster.assert_streams(other, &new).await;
    assert!(writer.wait_for(20, Duration::from_mins(1)).await);
    let report = writer.finish().await;
    support::assert_nothing_lost(&cluster, &report, &new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_wait_for_the_other_data_centre_until_a_person_lets_them_go_on_without() {
    let cluster = up("ex-two-sync", "two-data-centres", &[]).await;
    cluster.tell("n1", "CREATE TABLE kept (n int)").await;
    cluster.fault("n3", Fault::Stop).await;
    cluster.fault("n4", Fault::Stop).await;
    let client = cluster.client("n1").await;
    let write =
        tokio::spawn(async move { client.execute("INSERT INTO kept VALUES (1)", &[]).await });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    cluster.until("n1", waits, "1").await;
    let run = asking(&cluster, &["synchronous"]).await;
    answered(&cluster, "deny", run).await.expect(3);
    assert_eq!(cluster.ask("n1", waits).await, "1", "it goes on waiting");
    let run = asking(&cluster, &["synchronous"]).await;
    let said = answered(&cluster, "approve", run).await;
    assert!([0, 4].contains(&said.code), "{}", said.all());
    write.await.unwrap().unwrap();

    // Back again, commits wait for both once more.
    cluster.fault("n3", Fault::Start).await;
    cluster.fault("n4", Fault::Start).await;
    for standby in ["n3", "n4"] {
        cluster.assert_streams(standby, "n1").await;
    }
    let run = asking(&cluster, &["synchronous"]).await;
    answered(&cluster, "approve", run).await.expect(0);
    let names = cluster.ask("n1", "SHOW synchronous_standby_names").await;
    assert!(names.starts_with("ANY 2"), "{names}");
}
