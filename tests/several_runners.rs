//! Runners of several machines over one etcd: who dies or freezes in the middle of a failover is succeeded, and has no
//! further effect.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod etcd_support;
mod live_support;
mod support;

use etcd_support::Members;
use pgbaton::lab::Fault;
use rustix::process::Signal;
use support::{Cluster, Said, UnderWay, assert_nothing_lost, pgbaton, stock, swap};

/// Lets the lab's site file name the etcd in place of a directory.
fn share(cluster: &Cluster, members: &Members) -> String {
    let path = cluster.lab.site_file();
    let text = std::fs::read_to_string(path).unwrap();
    let journal = text.lines().find(|line| line.starts_with("journal:"));
    let all = serde_json::to_string(&members.endpoints()).unwrap();
    let text = text.replace(journal.unwrap(), &format!("store: {{ etcd: {all} }}"));
    std::fs::write(path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A failover that waits between the fence and the promotion.
fn slow_failover(cluster: &Cluster) -> String {
    let text = swap(
        &stock("failover"),
        "\noutputs:\n",
        "\n  hold:\n    needs: [fence]\n    action: wait\n    with: { for: 3s }\n    timeout: 1m\n\noutputs:\n",
    );
    let needs = "    needs: [fast_forward, check_candidate, slots, prepare_synchronous]\n    action: promote";
    let text = swap(&text, needs, &needs.replace("[fast", "[hold, fast"));
    let path = cluster.lab.dir().join("slow.yaml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn resume(site: &str, run: &str) -> Said {
    pgbaton(&["--site", site, "--json", "runs", "resume", run, "--wait=1m"]).await
}

fn promotions(said: &Said) -> usize {
    let intended = said.intended();
    let promotes = intended.iter().filter(|(_, o)| o["operation"] == "promote");
    promotes.count()
}

/// Up to where it waits before the promotion.
async fn held(site: &str, playbook: &str) -> (UnderWay, String) {
    let mut run = UnderWay::start(site.as_ref(), &[playbook]);
    let started = run.until(|e| e["event"] == "run_started").await;
    run.until_started("hold").await;
    (run, started["run"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_whose_runner_is_killed_is_finished_by_another_one() {
    let members = Members::three();
    let cluster = Cluster::up("sr-killed", 2).await;
    let site = share(&cluster, &members);
    let playbook = slow_failover(&cluster);
    let writer = cluster.writer().await;
    cluster.fault("n1", Fault::Kill).await;
    let (first, id) = held(&site, &playbook).await;
    first.signal(Signal::KILL);
    first.end().await;
    // Its lease outlives it, and until it has run out nobody else holds the cluster.
    let words = ["--site", &site, "run", "failover", "-p", "old_primary=n1"];
    let early = pgbaton(&words).await;
    assert!(early.expect(5).stderr.contains(&id));
    let said = resume(&site, &id).await.expect(0);
    assert_eq!(promotions(&said), 1, "{}", said.all());
    let new = cluster.primary().await;
    let other = if new == "n2" { "n3" } else { "n2" };
    cluster.assert_streams(other, &new).await;
    assert_nothing_lost(&cluster, &writer.finish().await, &new).await;
    let listed = pgbaton(&["--site", &site, "--json", "runs", "list"]).await;
    assert!(listed.expect(0).stdout.contains("\"outcome\":\"ok\""));
}

/// Frozen before the promotion for longer than its lease; when it wakes up the other one has finished.
#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_was_frozen_beyond_its_lease_has_no_further_effect() {
    let members = Members::three();
    let cluster = Cluster::up("sr-frozen", 2).await;
    let site = share(&cluster, &members);
    let playbook = slow_failover(&cluster);
    cluster.fault("n1", Fault::Kill).await;
    let (first, id) = held(&site, &playbook).await;
    first.signal(Signal::STOP);
    let said = resume(&site, &id).await.expect(0);
    assert_eq!(promotions(&said), 1, "{}", said.all());
    let new = cluster.primary().await;
    let timeline = "SELECT timeline_id FROM pg_control_checkpoint()";
    cluster.tell(&new, "CHECKPOINT").await;
    let before = cluster.ask(&new, timeline).await;
    first.signal(Signal::CONT);
    let woken = first.end().await;
    assert_ne!(woken.code, 0, "{}", woken.all());
    assert_eq!(promotions(&woken), 0, "{}", woken.all());
    cluster.tell(&new, "CHECKPOINT").await;
    assert_eq!(cluster.ask(&new, timeline).await, before);
    assert_eq!(cluster.primary().await, new);
    let shown = pgbaton(&["--site", &site, "--json", "runs", "list"]).await;
    assert!(shown.expect(0).stdout.contains("\"outcome\":\"ok\""));
}

/// Nobody is called: who serves on another machine finishes it.
#[tokio::test(flavor = "multi_thread")]
async fn who_serves_on_another_machine_finishes_a_failover() {
    let members = Members::three();
    let cluster = Cluster::up("sr-serve", 2).await;
    let site = share(&cluster, &members);
    let playbook = slow_failover(&cluster);
    let writer = cluster.writer().await;
    let serving = UnderWay::of(site.as_ref(), &["serve"]);
    cluster.fault("n1", Fault::Kill).await;
    let (first, id) = held(&site, &playbook).await;
    first.signal(Signal::KILL);
    first.end().await;
    let follow = ["--site", &site, "runs", "follow", &id];
    // Exits with 1 as long as nobody runs it.
    while pgbaton(&follow).await.code != 0 {}
    let new = cluster.primary().await;
    let other = if new == "n2" { "n3" } else { "n2" };
    cluster.assert_streams(other, &new).await;
    assert_nothing_lost(&cluster, &writer.finish().await, &new).await;
    serving.signal(Signal::TERM);
    assert!(serving.end().await.expect(0).stderr.contains(&id));
}

/// Without a majority no new effect starts; what runs comes to its end, and it is said what is left.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_new_is_done() {
    let mut members = Members::three();
    let cluster = Cluster::asynchronous("sr-quorum", 1).await;
    let site = share(&cluster, &members);
    let playbook = cluster.lab.dir().join("own.yaml");
    let text = "playbook: own
timeout: 5m
steps:
  first: { action: exec, with: { argv: [touch, first] }, effect: idempotent, timeout: 5s }
  hold:
    needs: [first]
    action: exec
    with: { argv: [sh, -c, 'sleep 3; echo ended > DIR/held'] }
    effect: idempotent
    timeout: 20s
  never: { needs: [hold], action: exec, with: { argv: [touch, DIR/never] }, effect: idempotent, timeout: 5s }
";
    let dir = cluster.lab.dir().to_str().unwrap().to_owned();
    let text = text
        .replace("[touch, first]", "[touch, DIR/first]")
        .replace("DIR", &dir);
    std::fs::write(&playbook, text).unwrap();
    let mut run = UnderWay::start(site.as_ref(), &[playbook.to_str().unwrap()]);
    let started = run.until(|e| e["event"] == "run_started").await;
    let id = started["run"].as_str().unwrap().to_owned();
    run.until(|e| e["event"] == "effect_intended" && e["path"] == "hold")
        .await;
    members.kill(0);
    members.kill(1);
    let said = run.end().await;
    assert_ne!(said.code, 0, "{}", said.all());
    let there = |name: &str| cluster.lab.dir().join(name).exists();
    assert!(there("first") && there("held"), "what ran came to its end");
    assert!(!there("never"), "{}", said.all());
    let refused = pgbaton(&["--site", &site, "run", playbook.to_str().unwrap()]).await;
    assert_eq!(refused.code, 1, "{}", refused.all());
    assert!(refused.stderr.contains("etcd"), "{}", refused.stderr);
    members.start(&[0, 1]);
    let unended = ["--site", &site, "runs", "list", "--unended"];
    assert!(pgbaton(&unended).await.expect(0).stdout.contains("own"));
    // For as long as its lease lasts it counts as under way.
    resume(&site, &id).await.expect(0);
    assert!(
        there("never"),
        "gone on with when there is a majority again"
    );
}
