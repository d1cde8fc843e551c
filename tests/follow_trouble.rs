//! Follows that cannot work are refused with nothing changed, and what cannot be finished is taken back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use pgbaton::lab::Fault;
use std::process::Stdio;
use support::{Cluster, Said, stock, swap};

const COUNT: &str = "SELECT count(*) FROM pg_tables WHERE tablename = ";

async fn follow(cluster: &Cluster, node: &str, upstream: &str) -> Said {
    let (node, upstream) = (format!("node={node}"), format!("upstream={upstream}"));
    cluster
        .pgbaton(&["--json", "run", "follow", "-p", &node, "-p", &upstream])
        .await
}

/// Refused, because it is ahead, and nothing was changed.
#[track_caller]
fn assert_ahead(said: Said) {
    let said = said.expect(3);
    let ahead = "beyond the point where n2 left its timeline";
    assert!(said.all().contains(ahead), "{}", said.all());
    assert!(said.intended().is_empty(), "{:?}", said.intended());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_primary_with_wal_of_its_own_is_refused() {
    let cluster = Cluster::asynchronous("ft-crash", 1).await;
    cluster.tell("n1", "CHECKPOINT").await;
    cluster.tell("n1", "CREATE TABLE shared ()").await;
    cluster.until("n2", &format!("{COUNT}'shared'"), "1").await;
    cluster.fault("n2", Fault::Stop).await;
    cluster.tell("n1", "CREATE TABLE lost ()").await;
    cluster.fault("n1", Fault::Kill).await;
    cluster.fault("n2", Fault::Start).await;
    cluster.tell("n2", "SELECT pg_promote(true)").await;
    assert_ahead(follow(&cluster, "n1", "n2").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_whose_shutdown_checkpoint_nobody_has_is_refused() {
    let cluster = Cluster::asynchronous("ft-shutdown", 1).await;
    cluster.fault("n2", Fault::Stop).await;
    cluster.fault("n1", Fault::Stop).await;
    cluster.fault("n2", Fault::Start).await;
    cluster.tell("n2", "SELECT pg_promote(true)").await;
    assert_ahead(follow(&cluster, "n1", "n2").await);
    assert!(!cluster.data("n1").join("postmaster.pid").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_has_still_to_replay_beyond_the_fork_is_refused() {
    let cluster = Cluster::asynchronous("ft-undrained", 2).await;
    cluster.tell("n3", "SELECT pg_wal_replay_pause()").await;
    cluster.fault("n2", Fault::Stop).await;
    cluster.tell("n1", "CREATE TABLE ahead ()").await;
    let end = cluster.ask("n1", "SELECT pg_current_wal_flush_lsn()").await;
    cluster
        .until(
            "n3",
            &format!("SELECT pg_last_wal_receive_lsn() >= '{end}'"),
            "t",
        )
        .await;
    cluster.fault("n1", Fault::Kill).await;
    cluster.fault("n2", Fault::Start).await;
    cluster.tell("n2", "SELECT pg_promote(true)").await;
    assert_eq!(cluster.ask("n3", &format!("{COUNT}'ahead'")).await, "0");
    assert_ahead(follow(&cluster, "n3", "n2").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_found_down_is_left_down_by_a_follow_that_fails() {
    let cluster = Cluster::up("ft-down", 2).await;
    let vetoed = swap(
        &stock("follow"),
        "  verify_attach:\n    needs: [start]",
        "  veto:\n    needs: [start]\n    action: assert\n    with: { that: \"false\", message: the test says no }\n\n  verify_attach:\n    needs: [start, veto]",
    );
    let file = cluster.lab.dir().join("vetoed.yaml");
    std::fs::write(&file, vetoed).unwrap();
    cluster.fault("n3", Fault::Stop).await;
    let own = cluster.data("n3").join("postgresql.auto.conf");
    let before = std::fs::read_to_string(&own).unwrap();
    let arguments = [
        "run",
        file.to_str().unwrap(),
        "-p",
        "node=n3",
        "-p",
        "upstream=n2",
    ];
    let said = cluster.pgbaton(&arguments).await.expect(3);
    assert!(said.all().contains("the test says no"), "{}", said.all());
    assert!(!cluster.data("n3").join("postmaster.pid").exists());
    let lines = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let after = std::fs::read_to_string(&own).unwrap();
    assert_eq!(
        lines(&after),
        lines(&before),
        "its settings are as they were"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_somebody_else_holds_is_refused_with_their_name() {
    let cluster = Cluster::up("ft-held", 2).await;
    let endpoint = cluster.endpoint("n2");
    let site = std::fs::read_to_string(cluster.lab.site_file()).unwrap();
    let bin = site
        .lines()
        .find_map(|l| l.trim().strip_prefix("bin: "))
        .unwrap();
    let into = tempfile::tempdir().unwrap();
    cluster
        .tell(
            "n2",
            "SELECT pg_create_physical_replication_slot('pgbaton_n3', true)",
        )
        .await;
    let mut thief = std::process::Command::new(format!("{}/pg_receivewal", bin.trim_matches('"')))
        .args(["-h", &endpoint.host, "-p", &endpoint.port.to_string()])
        .args(["-U", &endpoint.user, "-S", "pgbaton_n3", "-D"])
        .arg(into.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let held = "SELECT active FROM pg_replication_slots WHERE slot_name = 'pgbaton_n3'";
    cluster.until("n2", held, "t").await;
    let said = follow(&cluster, "n3", "n2").await;
    thief.kill().unwrap();
    thief.wait().unwrap();
    let said = said.expect(3);
    let who = "slot pgbaton_n3 on n2 is held by process";
    assert!(said.all().contains(who), "{}", said.all());
    assert!(said.all().contains("pg_receivewal"), "{}", said.all());
    assert!(said.intended().is_empty(), "{:?}", said.intended());
}

const SLOTS: &str =
    "SELECT coalesce(string_agg(slot_name, ',' ORDER BY slot_name), '') FROM pg_replication_slots";

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_drops_the_slot_on_the_former_upstream_and_no_other() {
    let cluster = Cluster::up("ft-slots", 2).await;
    cluster
        .tell(
            "n1",
            "SELECT pg_create_physical_replication_slot('a_stranger', true)",
        )
        .await;
    follow(&cluster, "n3", "n2").await.expect(0);
    cluster.assert_streams("n3", "n2").await;
    assert_eq!(cluster.ask("n1", SLOTS).await, "a_stranger,pgbaton_n2");
    assert_eq!(cluster.ask("n2", SLOTS).await, "pgbaton_n3");
    follow(&cluster, "n3", "n1").await.expect(0);
    assert_eq!(
        cluster.ask("n1", SLOTS).await,
        "a_stranger,pgbaton_n2,pgbaton_n3"
    );
    assert_eq!(cluster.ask("n2", SLOTS).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follow_of_the_old_primary_makes_commits_wait_again_and_leaves_no_slot() {
    let cluster = Cluster::up("ft-sync", 1).await;
    cluster.fault("n1", Fault::Stop).await;
    let said = cluster.pgbaton(&["run", "failover"]).await.expect(0);
    let debt = "commits on n2 wait for nobody, not for `ANY 1 (\"n1\")`";
    assert!(said.all().contains(debt), "{}", said.all());
    let status = cluster.status().await;
    assert!(
        status["rows"][1]["note"]
            .as_str()
            .unwrap()
            .contains("wait for nobody"),
        "{status:#}"
    );
    follow(&cluster, "n1", "n2").await.expect(0);
    let names = cluster.ask("n2", "SHOW synchronous_standby_names").await;
    assert_eq!(names, "ANY 1 (\"n1\")");
    assert_eq!(cluster.status().await["health"], "ok");
    assert_eq!(
        cluster.ask("n1", SLOTS).await,
        "",
        "no slot of its former standby"
    );
}
