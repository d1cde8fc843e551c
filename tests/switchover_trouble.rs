//! Switchovers that cannot work: refused before anything is stopped, or the old primary is put back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use pgbaton::lab::{Fault, LabOptions};
use support::{Cluster, Said, name, stock, swap};

/// Nothing was stopped: what was intended are marks at most.
#[track_caller]
fn assert_only_looked(said: &Said) {
    let operations: Vec<String> = said
        .intended()
        .iter()
        .map(|(_, o)| o["operation"].as_str().unwrap().to_owned())
        .collect();
    assert!(operations.iter().all(|o| o == "mark"), "{operations:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_archive_is_refused_or_the_old_primary_comes_back() {
    let settings = [("archive_mode", "on"), ("archive_command", "true")];
    let options = LabOptions {
        standbys: 1,
        settings: settings.map(|(n, v)| (n.into(), v.into())).to_vec(),
        ..LabOptions::default()
    };
    let cluster = Cluster::with("sw-archive", options).await;
    cluster
        .tell("n1", "ALTER SYSTEM SET archive_command = 'sleep 100000'")
        .await;
    cluster.tell("n1", "SELECT pg_reload_conf()").await;
    cluster
        .until("n1", "SHOW archive_command", "sleep 100000")
        .await;
    cluster
        .tell("n1", "CREATE TABLE t (); SELECT pg_switch_wal()")
        .await;
    let waiting = "SELECT count(*) > 0 FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'";
    cluster.until("n1", waiting, "t").await;

    // It is not looked at, and the stop hangs.
    let hasty = swap(
        &stock("switchover"),
        "with: { mode: fast }\n    timeout: 60s",
        "with: { mode: fast }\n    timeout: 12s",
    );
    let file = cluster.lab.dir().join("hasty.yaml");
    std::fs::write(&file, hasty).unwrap();
    let hasty = file.to_str().unwrap();
    let said = cluster
        .pgbaton(&["run", hasty, "-p", "candidate=n2", "-p", "archiving=ignore"])
        .await
        .expect(1);
    assert!(said.all().contains("n1 is started again"), "{}", said.all());
    assert_eq!(cluster.primary().await, "n1");
    assert!(!cluster.data("n1").join("standby.signal").exists());
    cluster.tell("n1", "CREATE TABLE writable ()").await;
    cluster.assert_streams("n2", "n1").await;
    let slots = "SELECT count(*) FROM pg_replication_slots";
    assert_eq!(cluster.ask("n2", slots).await, "0", "its slots are dropped");

    // It is looked at, and nothing is stopped.
    cluster.until("n1", waiting, "t").await;
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_hours(24);
    let status = cluster.data("n1").join("pg_wal/archive_status");
    for entry in std::fs::read_dir(status).unwrap() {
        let file = std::fs::File::options()
            .append(true)
            .open(entry.unwrap().path());
        file.unwrap().set_modified(long_ago).unwrap();
    }
    let said = cluster
        .pgbaton(&["--json", "run", "switchover", "-p", "candidate=n2"])
        .await
        .expect(3);
    let held = "a shutdown of n1 would wait for its archive";
    assert!(said.all().contains(held), "{}", said.all());
    assert_only_looked(&said);
    assert_eq!(cluster.primary().await, "n1");
}

const SLOTS: &str =
    "SELECT coalesce(string_agg(slot_name, ',' ORDER BY slot_name), '') FROM pg_replication_slots";

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_down_is_left_out_and_named_and_has_its_slot() {
    let cluster = Cluster::up("sw-absent", 2).await;
    cluster.fault("n3", Fault::Stop).await;
    let said = cluster
        .pgbaton(&["run", "switchover", "-p", "candidate=n2"])
        .await
        .expect(4);
    let named = "n3 did not answer when the switchover began";
    assert!(said.all().contains(named), "{}", said.all());
    cluster.assert_streams("n1", "n2").await;
    assert_eq!(cluster.ask("n2", SLOTS).await, "pgbaton_n1,pgbaton_n3");
    assert_eq!(cluster.ask("n1", SLOTS).await, "");
    assert!(
        !cluster.data("n3").join("postmaster.pid").exists(),
        "nobody started it"
    );
    // What it names is what is to be done.
    let follow = ["run", "follow", "-p", "node=n3", "-p", "upstream=n2"];
    cluster.pgbaton(&follow).await.expect(0);
    cluster.assert_streams("n3", "n2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_of_other_standbys_stay_where_they_are() {
    let options = LabOptions {
        standbys: 3,
        upstreams: [(name("n4"), name("n3"))].into(),
        ..LabOptions::default()
    };
    let cluster = Cluster::with("sw-cascade", options).await;
    let said = cluster
        .pgbaton(&["--json", "run", "switchover", "-p", "candidate=n2"])
        .await
        .expect(0);
    cluster.assert_streams("n3", "n2").await;
    cluster.assert_streams("n4", "n3").await;
    let touched = said.intended().iter().any(|(_, o)| o["node"] == "n4");
    assert!(!touched, "{:?}", said.intended());
    assert_eq!(cluster.ask("n1", SLOTS).await, "");
    assert_eq!(cluster.ask("n2", SLOTS).await, "pgbaton_n1,pgbaton_n3");
    assert_eq!(cluster.ask("n3", SLOTS).await, "pgbaton_n4");
}

/// And what an undo leaves of the synchronous setting is what was there.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_slots_as_followers_are_enough() {
    let few = vec![("max_replication_slots".into(), "2".into())];
    let options = LabOptions {
        node_settings: [(name("n2"), few)].into(),
        ..LabOptions::default()
    };
    let cluster = Cluster::with("sw-slots", options).await;
    let own = cluster.data("n2").join("postgresql.auto.conf");
    let synchronous = || {
        std::fs::read_to_string(&own)
            .unwrap()
            .contains("synchronous_standby_names")
    };
    assert!(!synchronous());
    let vetoed = swap(
        &stock("switchover"),
        "    needs: [slots, prepare_synchronous]\n    action: checkpoint\n",
        "    needs: [slots, prepare_synchronous, veto]\n    action: checkpoint\n",
    );
    let vetoed = swap(
        &vetoed,
        "  checkpoint:\n",
        "  veto:\n    needs: [slots, prepare_synchronous]\n    action: assert\n    with: { that: \"false\", message: the test says no }\n\n  checkpoint:\n",
    );
    let file = cluster.lab.dir().join("vetoed.yaml");
    std::fs::write(&file, vetoed).unwrap();
    let arguments = ["run", file.to_str().unwrap(), "-p", "candidate=n2"];
    let said = cluster.pgbaton(&arguments).await.expect(3);
    assert!(said.all().contains("the test says no"), "{}", said.all());
    assert!(!synchronous(), "the undo resets what was not there before");

    let arguments = ["run", "switchover", "-p", "candidate=n2"];
    cluster.pgbaton(&arguments).await.expect(0);
    cluster.assert_streams("n1", "n2").await;
    cluster.assert_streams("n3", "n2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_replays_late_is_refused_before_anything_is_stopped() {
    let cluster = Cluster::up("sw-late", 2).await;
    let arguments = ["--json", "run", "switchover", "-p", "candidate=n2"];
    cluster.tell("n2", "SELECT pg_wal_replay_pause()").await;
    let said = cluster.pgbaton(&arguments).await.expect(3);
    assert!(
        said.all().contains("its replay is paused"),
        "{}",
        said.all()
    );
    assert_only_looked(&said);
    cluster.tell("n2", "SELECT pg_wal_replay_resume()").await;
    cluster
        .tell("n2", "ALTER SYSTEM SET recovery_min_apply_delay = '1h'")
        .await;
    cluster.tell("n2", "SELECT pg_reload_conf()").await;
    cluster
        .until("n2", "SHOW recovery_min_apply_delay", "1h")
        .await;
    let said = cluster.pgbaton(&arguments).await.expect(3);
    assert!(
        said.all().contains("its replay is delayed"),
        "{}",
        said.all()
    );
    assert_only_looked(&said);
    assert_eq!(cluster.primary().await, "n1");
}
