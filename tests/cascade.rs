//! Standbys of standbys: whoever in a chain dies or is promoted, those below it are not forgotten.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use pgbaton::cluster::{SyncMode, Synchronous, Transport};
use pgbaton::lab::{Fault, LabOptions};
use pgbaton::site::{Site, to_yaml};
use support::{Cluster, Said, name};

/// Asynchronous standbys of `n1`, but for those that follow another one.
async fn up(test: &str, standbys: u32, below: &[(&str, &str)]) -> Cluster {
    let upstreams = below
        .iter()
        .map(|(node, upstream)| (name(node), name(upstream)));
    let options = LabOptions {
        standbys,
        upstreams: upstreams.collect(),
        synchronous: Synchronous {
            mode: SyncMode::Off,
            acks: 1,
        },
        ..LabOptions::default()
    };
    Cluster::with(test, options).await
}

/// Writes something, and waits until these have it.
async fn all_have(cluster: &Cluster, primary: &str, standbys: &[&str]) {
    let write = "SELECT pg_logical_emit_message(true, 'test', 'all have it')";
    cluster.tell(primary, write).await;
    cluster.until_replayed(primary, standbys).await;
}

async fn follow(cluster: &Cluster, node: &str, upstream: &str) -> Said {
    let (node, upstream) = (format!("node={node}"), format!("upstream={upstream}"));
    cluster
        .pgbaton(&["--json", "run", "follow", "-p", &node, "-p", &upstream])
        .await
}

/// The nodes whose upstream was set, in order.
fn set(said: &Said) -> Vec<String> {
    let intended = said.intended();
    let set = intended
        .iter()
        .filter(|(_, o)| o["operation"] == "set_upstream");
    set.map(|(_, o)| o["node"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_primary_and_the_standby_below_it_die_their_children_still_know_whom_they_followed()
 {
    let cluster = up("ca-both", 4, &[("n3", "n2"), ("n4", "n3")]).await;
    all_have(&cluster, "n1", &["n2", "n3", "n4", "n5"]).await;
    cluster.fault("n2", Fault::Kill).await;
    cluster.fault("n1", Fault::Kill).await;
    let said = cluster
        .pgbaton(&["--json", "run", "failover", "-p", "candidate=n3"])
        .await
        .expect(4);
    let promoted = said
        .intended()
        .into_iter()
        .any(|(_, o)| o["operation"] == "forbid_return" && o["node"] == "n1");
    assert!(promoted, "n1 is fenced, not n2: {}", said.all());
    assert_eq!(set(&said), ["n5"], "n4 stays with n3");
    assert_eq!(cluster.primary().await, "n3");
    all_have(&cluster, "n3", &["n4", "n5"]).await;
    cluster.assert_streams("n4", "n3").await;
    cluster.assert_streams("n5", "n3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_child_of_a_lost_standby_is_promoted_when_nobody_else_is_left() {
    let cluster = up("ca-last", 2, &[("n3", "n2")]).await;
    all_have(&cluster, "n1", &["n2", "n3"]).await;
    cluster.fault("n2", Fault::Stop).await;
    cluster.fault("n1", Fault::Kill).await;
    cluster.pgbaton(&["run", "failover"]).await.expect(4);
    assert_eq!(cluster.primary().await, "n3");
    cluster.tell("n3", "CREATE TABLE writable ()").await;
    // The one that was lost comes back below it.
    follow(&cluster, "n2", "n3").await.expect(0);
    all_have(&cluster, "n3", &["n2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_child_of_a_lost_standby_follows_the_new_primary_of_a_failover_and_of_a_switchover() {
    let cluster = up("ca-orphan", 3, &[("n3", "n2")]).await;
    all_have(&cluster, "n1", &["n2", "n3", "n4"]).await;
    cluster.fault("n2", Fault::Stop).await;
    let said = cluster
        .pgbaton(&["--json", "run", "switchover", "-p", "candidate=n4"])
        .await
        .expect(4);
    assert!(said.all().contains("n2 did not answer"), "{}", said.all());
    cluster.assert_streams("n1", "n4").await;
    cluster.assert_streams("n3", "n4").await;
    // And once more below a standby that is lost, this time in a failover.
    follow(&cluster, "n3", "n1").await.expect(0);
    all_have(&cluster, "n4", &["n1", "n3"]).await;
    cluster.fault("n2", Fault::Start).await;
    follow(&cluster, "n2", "n4").await.expect(0);
    cluster.fault("n1", Fault::Stop).await;
    cluster.fault("n4", Fault::Kill).await;
    cluster
        .pgbaton(&["run", "failover", "-p", "candidate=n2"])
        .await
        .expect(4);
    assert_eq!(cluster.primary().await, "n2");
    all_have(&cluster, "n2", &["n3"]).await;
    cluster.assert_streams("n3", "n2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_moves_as_a_whole_and_only_its_first_link_is_set_anew() {
    let cluster = up("ca-chain", 3, &[("n3", "n2"), ("n4", "n3")]).await;
    all_have(&cluster, "n1", &["n2", "n3", "n4"]).await;
    cluster.fault("n1", Fault::Stop).await;
    let said = cluster
        .pgbaton(&["--json", "run", "failover"])
        .await
        .expect(0);
    assert_eq!(cluster.primary().await, "n2", "{}", said.all());
    assert!(set(&said).is_empty(), "{:?}", set(&said));
    all_have(&cluster, "n2", &["n3", "n4"]).await;
    cluster.assert_streams("n3", "n2").await;
    cluster.assert_streams("n4", "n3").await;
    // Handed back: n2 and its child go below n1, n4 stays where it is, and all of them on the new timeline.
    follow(&cluster, "n1", "n2").await.expect(0);
    let arguments = ["--json", "run", "switchover", "-p", "candidate=n1"];
    let said = cluster.pgbaton(&arguments).await.expect(0);
    let mut moved = set(&said);
    moved.sort();
    assert_eq!(moved, ["n2", "n3"]);
    all_have(&cluster, "n1", &["n2", "n3", "n4"]).await;
    for (node, upstream) in [("n2", "n1"), ("n3", "n1"), ("n4", "n3")] {
        cluster.assert_streams(node, upstream).await;
        let timeline = "SELECT received_tli FROM pg_stat_wal_receiver";
        cluster.until(node, timeline, "3").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_in_between_dies_and_its_child_is_attached_to_the_primary_with_all_below_it() {
    let cluster = up("ca-between", 3, &[("n3", "n2"), ("n4", "n3")]).await;
    all_have(&cluster, "n1", &["n2", "n3", "n4"]).await;
    cluster.fault("n2", Fault::Kill).await;
    let status = cluster.status().await;
    let note = status["rows"][2]["note"].as_str().unwrap_or_default();
    assert!(note.contains("not attached to n2"), "{status:#}");
    follow(&cluster, "n3", "n1").await.expect(0);
    all_have(&cluster, "n1", &["n3", "n4"]).await;
    cluster.assert_streams("n3", "n1").await;
    cluster.assert_streams("n4", "n3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_somebody_promoted_takes_its_children_along_and_the_others_follow_when_told()
 {
    let cluster = up("ca-byhand", 3, &[("n3", "n2")]).await;
    all_have(&cluster, "n1", &["n2", "n3", "n4"]).await;
    cluster.fault("n1", Fault::Stop).await;
    cluster.tell("n2", "SELECT pg_promote(true)").await;
    let said = cluster
        .pgbaton(&["--json", "run", "failover"])
        .await
        .expect(3);
    assert!(said.all().contains("n2 is alive"), "{}", said.all());
    assert!(said.intended().is_empty(), "{:?}", said.intended());
    follow(&cluster, "n4", "n2").await.expect(0);
    follow(&cluster, "n1", "n2").await.expect(0);
    all_have(&cluster, "n2", &["n1", "n3", "n4"]).await;
    for node in ["n1", "n3", "n4"] {
        cluster.assert_streams(node, "n2").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_child_of_a_second_primary_is_not_led_back_and_nothing_is_changed() {
    let cluster = up("ca-two", 2, &[("n3", "n2")]).await;
    all_have(&cluster, "n1", &["n2", "n3"]).await;
    cluster.tell("n2", "SELECT pg_promote(true)").await;
    all_have(&cluster, "n2", &["n3"]).await;
    let said = follow(&cluster, "n3", "n1").await.expect(3);
    let why = "timeline 2 of n3 is not in the history of n1";
    assert!(said.all().contains(why), "{}", said.all());
    assert!(said.intended().is_empty(), "{:?}", said.intended());
    cluster.assert_streams("n3", "n2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_tell_which_of_the_dead_was_the_primary_it_must_be_said() {
    let cluster = up("ca-untold", 3, &[("n3", "n2")]).await;
    all_have(&cluster, "n1", &["n2", "n3", "n4"]).await;
    // The hosts of the two are gone with them.
    let file = cluster.lab.site_file();
    let mut site = Site::load(file).unwrap();
    for cluster in site.clusters.values_mut() {
        for node in ["n1", "n2"] {
            cluster.nodes.get_mut(&name(node)).unwrap().transport = Transport::None;
        }
    }
    std::fs::write(file, to_yaml(&site)).unwrap();
    cluster.fault("n2", Fault::Kill).await;
    cluster.fault("n1", Fault::Kill).await;
    let said = cluster.pgbaton(&["--json", "run", "failover"]).await;
    assert!(said.all().contains("-p old_primary="), "{}", said.all());
    assert!(said.intended().is_empty(), "{:?}", said.intended());
    assert_ne!(said.code, 0);
    let waived = "waive_fence=the test: both hosts are gone";
    let accepted = "accept_loss=the test: nobody can read its end";
    let arguments = [
        "run",
        "failover",
        "-p",
        "old_primary=n1",
        "-p",
        "candidate=n3",
        "-p",
        waived,
        "-p",
        accepted,
    ];
    cluster.pgbaton(&arguments).await.expect(4);
    assert_eq!(cluster.primary().await, "n3");
    cluster.assert_streams("n4", "n3").await;
}
