//! Failover of a real cluster, by the stock playbook and the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use pgbaton::lab::{Fault, LabOptions};
use std::time::Duration;
use support::{Cluster, assert_nothing_lost};

/// Whoever is not primary and not the old one.
fn other(new: &str) -> &'static str {
    if new == "n2" { "n3" } else { "n2" }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_nothing_acknowledged_is_lost_and_everybody_follows() {
    let cluster = Cluster::up("fo-kill", 2).await;
    let writer = cluster.writer().await;
    cluster.fault("n1", Fault::Kill).await;
    cluster.pgbaton(&["run", "failover"]).await.expect(0);
    let new = cluster.primary().await;
    assert_ne!(new, "n1");
    cluster.assert_streams(other(&new), &new).await;
    assert!(
        writer.wait_for(50, Duration::from_secs(30)).await,
        "writes go on after the failover"
    );
    let report = writer.finish().await;
    assert_nothing_lost(&cluster, &report, &new).await;
    assert!(
        cluster.data("n1").join("standby.signal").exists(),
        "the old primary cannot come back as one"
    );
    let names = cluster.ask(&new, "SHOW synchronous_standby_names").await;
    assert!(
        names.contains("n1") && names.contains(other(&new)),
        "{names}"
    );
    let slots = cluster
        .ask(
            &new,
            "SELECT string_agg(slot_name || ' ' || active, ',') FROM pg_replication_slots",
        )
        .await;
    assert_eq!(slots, format!("pgbaton_{} true", other(&new)));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_clean_stop_a_person_may_fail_over() {
    let cluster = Cluster::up("fo-stop", 2).await;
    let writer = cluster.writer().await;
    cluster.fault("n1", Fault::Stop).await;
    cluster.pgbaton(&["run", "failover"]).await.expect(0);
    let new = cluster.primary().await;
    cluster.assert_streams(other(&new), &new).await;
    assert_nothing_lost(&cluster, &writer.finish().await, &new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_lags_is_not_chosen_and_follows_all_the_same() {
    let cluster = Cluster::up("fo-lag", 2).await;
    // n2 receives nothing any more; the quorum goes on with n3, by more than the buffers on the way to n2 hold.
    let receiver: i32 = cluster
        .ask("n2", "SELECT pid FROM pg_stat_wal_receiver")
        .await
        .parse()
        .unwrap();
    let pid = rustix::process::Pid::from_raw(receiver).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let writer = cluster.writer().await;
    cluster
        .tell(
            "n1",
            "CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 60000)",
        )
        .await;
    cluster
        .until(
            "n3",
            "SELECT count(*) FROM pg_tables WHERE tablename = 'big'",
            "1",
        )
        .await;
    cluster.fault("n1", Fault::Kill).await;
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    let said = cluster.pgbaton(&["run", "failover"]).await.expect(0);
    assert_eq!(cluster.primary().await, "n3", "{}", said.all());
    cluster.assert_streams("n2", "n3").await;
    assert_nothing_lost(&cluster, &writer.finish().await, "n3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_standby_down_the_run_ends_degraded_and_names_it() {
    let cluster = Cluster::up("fo-down", 2).await;
    cluster.fault("n3", Fault::Stop).await;
    let writer = cluster.writer().await;
    cluster.fault("n1", Fault::Kill).await;
    let said = cluster.pgbaton(&["run", "failover"]).await.expect(4);
    let left = "n2 keeps no WAL for n3, which was away";
    assert!(said.all().contains(left), "{}", said.all());
    assert_eq!(cluster.primary().await, "n2");
    let slots = "SELECT count(*) FROM pg_replication_slots";
    assert_eq!(
        cluster.ask("n2", slots).await,
        "0",
        "nothing would bound it"
    );
    assert!(
        writer.wait_for(20, Duration::from_secs(30)).await,
        "writes do not hang on the dead"
    );
    assert_nothing_lost(&cluster, &writer.finish().await, "n2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_was_away_gets_a_slot_where_its_size_is_bounded() {
    let bound = ("max_slot_wal_keep_size".to_owned(), "1GB".to_owned());
    let options = LabOptions {
        settings: vec![bound],
        ..LabOptions::default()
    };
    let cluster = Cluster::with("fo-away", options).await;
    cluster.fault("n3", Fault::Stop).await;
    cluster.fault("n1", Fault::Kill).await;
    let said = cluster.pgbaton(&["run", "failover"]).await.expect(4);
    let left = "n2 keeps WAL for n3, which was away, up to max_slot_wal_keep_size";
    assert!(said.all().contains(left), "{}", said.all());
    let held = "SELECT string_agg(slot_name || ' ' || active, ',') FROM pg_replication_slots";
    assert_eq!(cluster.ask("n2", held).await, "pgbaton_n3 false");
    // The WAL from before the promotion on is still there when it comes back.
    let away = "SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()";
    for _ in 0..8 {
        cluster.tell("n2", away).await;
    }
    cluster.tell("n2", "CHECKPOINT").await;
    let follow = ["run", "follow", "-p", "node=n3", "-p", "upstream=n2"];
    cluster.pgbaton(&follow).await.expect(0);
    cluster.until_replayed("n2", &["n3"]).await;
    assert_eq!(cluster.ask("n2", held).await, "pgbaton_n3 true");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_hangs_is_named_and_does_not_hold_up_the_others() {
    let cluster = Cluster::up("fo-hang", 3).await;
    cluster.fault("n4", Fault::Freeze).await;
    cluster.fault("n1", Fault::Kill).await;
    let said = cluster.pgbaton(&["run", "failover"]).await.expect(4);
    assert!(said.all().contains("freeze[n4]"), "{}", said.all());
    let new = cluster.primary().await;
    cluster.assert_streams(other(&new), &new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_living_primary_is_not_replaced() {
    let cluster = Cluster::up("fo-alive", 2).await;
    let said = cluster
        .pgbaton(&["--json", "run", "failover"])
        .await
        .expect(3);
    assert!(said.all().contains("n1 is alive"), "{}", said.all());
    assert!(
        said.intended().is_empty(),
        "nothing is changed: {:?}",
        said.intended()
    );
    assert_eq!(cluster.primary().await, "n1");
    cluster.assert_streams("n2", "n1").await;
    cluster.assert_streams("n3", "n1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_primary_is_stopped_before_anybody_is_promoted() {
    let cluster = Cluster::up("fo-frozen", 2).await;
    let writer = cluster.writer().await;
    cluster.fault("n1", Fault::Freeze).await;
    let said = cluster
        .pgbaton(&["--json", "run", "failover"])
        .await
        .expect(0);
    let operations: Vec<String> = said
        .intended()
        .iter()
        .map(|(_, o)| o["operation"].as_str().unwrap().to_owned())
        .collect();
    let stop = operations
        .iter()
        .position(|o| o == "stop")
        .expect("the frozen server is stopped");
    let promote = operations.iter().position(|o| o == "promote").unwrap();
    assert!(stop < promote, "{operations:?}");
    let new = cluster.primary().await;
    assert_nothing_lost(&cluster, &writer.finish().await, &new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_that_go_on_committing_are_ended_before_the_promotion() {
    let cluster = Cluster::asynchronous("fo-orphans", 2).await;
    cluster
        .tell("n1", "CREATE TABLE busy (id bigserial PRIMARY KEY)")
        .await;
    cluster
        .until(
            "n3",
            "SELECT count(*) FROM pg_tables WHERE tablename = 'busy'",
            "1",
        )
        .await;
    let client = cluster.client("n1").await;
    let busy = tokio::spawn(async move {
        let endless = "DO $$ BEGIN LOOP INSERT INTO busy DEFAULT VALUES; COMMIT; END LOOP; END $$";
        client.batch_execute(endless).await
    });
    cluster
        .until("n2", "SELECT count(*) > 100 FROM busy", "t")
        .await;
    cluster.fault("n1", Fault::Kill).await;
    assert!(
        !processes_in(&cluster, "n1").is_empty(),
        "the busy session outlives its postmaster"
    );
    let said = cluster
        .pgbaton(&["--json", "run", "failover", "-p", "max_loss=1GiB"])
        .await
        .expect(0);
    let intended = said.intended();
    let ended = intended
        .iter()
        .position(|(_, o)| o["operation"] == "end_orphans")
        .expect("orphans are ended");
    let promoted = intended
        .iter()
        .position(|(_, o)| o["operation"] == "promote")
        .unwrap();
    assert!(ended < promoted);
    assert!(
        processes_in(&cluster, "n1").is_empty(),
        "nothing of the old primary is left"
    );
    assert!(busy.await.unwrap().is_err(), "the session was ended");
}

/// Processes whose working directory is the node's data directory.
fn processes_in(cluster: &Cluster, node: &str) -> Vec<String> {
    let data = cluster.data(node);
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == data))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_proof_nobody_is_promoted_unless_a_person_waives_it() {
    let cluster = Cluster::up("fo-proof", 2).await;
    // The host of n1 cannot be reached by commands, and a run that begins after the crash never saw its settings.
    let text = std::fs::read_to_string(cluster.lab.site_file()).unwrap();
    let site = cluster.lab.dir().join("no-host.yaml");
    std::fs::write(&site, unreachable_host(&text)).unwrap();
    let site = site.to_str().unwrap();
    cluster.fault("n1", Fault::Kill).await;
    let said = support::pgbaton(&["--site", site, "run", "failover"])
        .await
        .expect(3);
    assert!(
        said.all().contains("nothing proves that n1"),
        "{}",
        said.all()
    );
    for standby in ["n2", "n3"] {
        assert_eq!(
            cluster.ask(standby, "SELECT pg_is_in_recovery()").await,
            "t"
        );
        let conninfo = cluster.ask(standby, "SHOW primary_conninfo").await;
        assert!(
            conninfo.contains(&cluster.endpoint("n1").port.to_string()),
            "{standby} is unfrozen: {conninfo}"
        );
    }
    let waived = [
        "-p",
        "waive_fence=test: the power is off",
        "-p",
        "accept_loss=test: it is gone",
    ];
    let said = support::pgbaton(&[&["--site", site, "run", "failover"][..], &waived[..]].concat())
        .await
        .expect(0);
    assert!(said.all().contains("WAIVED"), "{}", said.all());
    assert!(
        said.all().contains("stop n1 at first contact"),
        "the debt is named: {}",
        said.all()
    );
}

/// The site file with commands to n1 switched off: its `transport`, the first one, becomes `none`.
fn unreachable_host(text: &str) -> String {
    let n1 = text.find("n1:").expect("n1");
    let at = n1 + text[n1..].find("transport:").expect("transport of n1");
    let end = at + text[at..].find('\n').expect("a line");
    format!("{}transport: none{}", &text[..at], &text[end..])
}
