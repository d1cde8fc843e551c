//! Switchovers that cannot work: refused before anything is stopped, or the old primary is put back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use pgbaton::lab::LabOptions;
use support::{Cluster, Said, stock, swap};

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
