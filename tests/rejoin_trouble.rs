//! A rejoin that is refused or cut off leaves no second primary, and a copy that is being made is no standby.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod hosts_support;
mod rejoin_support;
mod support;

use hosts_support::can_have_hosts;
use pgbaton::lab::{Fault, LabOptions};
use rejoin_support::{diverge, dressed, operations, rejoin, under_way, until_there};
use std::os::unix::fs::PermissionsExt as _;
use support::Cluster;

/// Somebody has started the old primary again, and its WAL does not reach back to the fork any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_primary_that_cannot_be_rewound_stays_down() {
    let little = ["wal_keep_size", "min_wal_size", "max_wal_size"];
    let values = ["0", "32MB", "32MB"];
    let settings = little.iter().zip(values);
    let mut options = LabOptions {
        standbys: 1,
        settings: settings
            .map(|(k, v)| (k.to_string(), v.to_owned()))
            .collect(),
        ..LabOptions::default()
    };
    options.synchronous.mode = pgbaton::cluster::SyncMode::Off;
    let cluster = Cluster::with("rt-second", options).await;
    diverge(&cluster).await;
    let signal = cluster.data("n1").join("standby.signal");
    std::fs::remove_file(&signal).unwrap();
    cluster.fault("n1", Fault::Start).await;
    let slots = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots";
    cluster.tell("n1", slots).await;
    for _ in 0..6 {
        cluster
            .tell("n1", "SELECT pg_logical_emit_message(false, '', '')")
            .await;
        cluster.tell("n1", "SELECT pg_switch_wal()").await;
        cluster.tell("n1", "CHECKPOINT").await;
    }
    let upstream = ["-p", "upstream=n2"];
    let said = cluster.pgbaton(&rejoin(&upstream)).await.expect(3);
    assert!(
        said.all().contains("it cannot be rewound"),
        "{}",
        said.all()
    );
    assert!(said.all().contains("n2 is the primary"), "{}", said.all());
    let did = operations(&said);
    assert!(did.contains(&"stop".to_owned()), "{did:?}");
    assert!(!did.contains(&"start".to_owned()), "{did:?}");
    assert!(signal.exists());
    assert!(!cluster.data("n1").join("postmaster.pid").exists());
    cluster.tell("n2", "CREATE TABLE still AS SELECT 1").await;
}

/// Cancelled in the middle of crash recovery, which does not end when it is told to.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_in_crash_recovery_cannot_come_back_as_a_primary() {
    let cluster = Cluster::asynchronous("rt-recovery", 1).await;
    diverge(&cluster).await;
    let here = cluster.data("n1").parent().unwrap().join("here");
    let dress = format!(
        "case \"$*\" in *--single*) trap '' TERM ;; *) real \"$@\"; exit ;; esac; real \"$@\"; : >{}; hold",
        here.display()
    );
    dressed(&cluster, "postgres", &dress);
    let (run, id) = under_way(&cluster, &[]).await;
    until_there(&here).await;
    let cancel = ["runs", "cancel", &id, "--reason", "OPS-4711"];
    cluster.pgbaton(&cancel).await.expect(0);
    run.end().await.expect(130);
    assert!(cluster.data("n1").join("standby.signal").exists());
    let about = std::fs::metadata(cluster.data("n1")).unwrap();
    assert_eq!(about.permissions().mode() & 0o7, 0, "it can be started");
}

/// n1 has what n2 lacks, and can only come back as a copy.
async fn not_to_be_rewound(test: &str, hosts: bool) -> Cluster {
    let mut options = LabOptions {
        standbys: 1,
        hosts,
        settings: vec![("wal_log_hints".to_owned(), "off".to_owned())],
        ..LabOptions::default()
    };
    options.synchronous.mode = pgbaton::cluster::SyncMode::Off;
    let cluster = Cluster::with(test, options).await;
    diverge(&cluster).await;
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_under_way_does_not_go_by_the_name_of_its_node() {
    let cluster = not_to_be_rewound("rt-copy", false).await;
    dressed(&cluster, "pg_basebackup", "real \"$@\" --max-rate=2M");
    let (run, _) = under_way(&cluster, &["-p", "rebuild=auto"]).await;
    let named = |name: &str| {
        format!(
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = '{name}' AND state = 'streaming'"
        )
    };
    cluster.until("n2", &named("pgbaton-copy"), "1").await;
    assert_eq!(cluster.ask("n2", &named("n1")).await, "0");
    let status = cluster.status().await;
    assert!(!status.to_string().contains("pgbaton-copy"), "{status:#}");
    run.end().await.expect(0);
    cluster.assert_streams("n1", "n2").await;
}

/// Nobody closes a connection to a host that is cut off; by the system's own default it would be found out after two hours.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_from_a_host_that_is_cut_off_ends_by_itself() {
    if !can_have_hosts().await {
        return;
    }
    let cluster = not_to_be_rewound("rt-cut", true).await;
    dressed(&cluster, "pg_basebackup", "real \"$@\" --max-rate=200k");
    let (run, _) = under_way(&cluster, &["-p", "rebuild=auto"]).await;
    let copies = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'pgbaton-copy' AND state = 'backup'";
    cluster.until("n2", copies, "1").await;
    cluster.fault("n2", Fault::Cut).await;
    let said = run.end().await.expect(1);
    // How libpq calls it depends on where it was just then.
    let left = "it could not be copied, and what it has is as it was";
    assert!(said.all().contains(left), "{}", said.all());
    assert!(cluster.data("n1").join("standby.signal").exists());
}
