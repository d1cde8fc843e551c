//! Logical replication: a subscriber goes on at the new primary where its slot is there, and is named where it is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod rejoin_support;
mod support;

use pgbaton::cluster::{SyncMode, Synchronous};
use pgbaton::lab::{Fault, LabOptions};
use rejoin_support::{operations, rejoin};
use std::path::PathBuf;
use support::Cluster;

const WAITED_FOR: &str =
    "SELECT replace(setting, ' ', '') FROM pg_settings WHERE name = 'synchronized_standby_slots'";
const ROWS: &str = "SELECT count(*)::text || ' to ' || max(id)::text FROM told";

async fn cluster_of(
    test: &str,
    standbys: u32,
    bin: Option<PathBuf>,
    settings: &[(&str, &str)],
) -> Cluster {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let options = LabOptions {
        standbys,
        bin,
        synchronous: Synchronous {
            mode: SyncMode::Off,
            acks: 1,
        },
        settings: settings.iter().map(own).collect(),
        ..LabOptions::default()
    };
    Cluster::with(test, options).await
}

/// A server of another cluster subscribes to whoever is the primary, and has what there is.
async fn subscribe(subscriber: &Cluster, cluster: &Cluster, nodes: &[&str], with: &str) {
    cluster
        .tell("n1", "CREATE TABLE told (id int PRIMARY KEY)")
        .await;
    cluster
        .tell("n1", "CREATE PUBLICATION everything FOR ALL TABLES")
        .await;
    say(cluster, "n1", 1).await;
    let ports: Vec<String> = nodes
        .iter()
        .map(|node| cluster.endpoint(node).port.to_string())
        .collect();
    let hosts = vec!["127.0.0.1"; nodes.len()].join(",");
    let user = cluster.endpoint("n1").user;
    subscriber
        .tell("n1", "CREATE TABLE told (id int PRIMARY KEY)")
        .await;
    let subscription = format!(
        "CREATE SUBSCRIPTION heard CONNECTION 'host={hosts} port={} user={user} dbname=postgres \
         target_session_attrs=read-write' PUBLICATION everything{with}",
        ports.join(",")
    );
    subscriber.tell("n1", &subscription).await;
    subscriber.until("n1", ROWS, "1 to 1").await;
}

async fn say(cluster: &Cluster, node: &str, id: u32) {
    let row = format!("INSERT INTO told VALUES ({id})");
    cluster.tell(node, &row).await;
}

async fn until_copied(cluster: &Cluster, node: &str) {
    let copied = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'heard' AND synced AND NOT temporary";
    cluster.until(node, copied, "1").await;
}

/// Before 17 nothing takes a logical slot along. A handover is refused for it, a failover says what is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_nobody_has_a_copy_of_is_named() {
    let cluster = cluster_of("sub-lost", 1, None, &[("wal_level", "logical")]).await;
    cluster
        .tell(
            "n1",
            "SELECT pg_create_logical_replication_slot('heard', 'pgoutput')",
        )
        .await;
    let candidate = ["--json", "run", "switchover", "-p", "candidate=n2"];
    let said = cluster.pgbaton(&candidate).await.expect(3);
    assert!(
        said.all().contains("logical slots heard of n1"),
        "{}",
        said.all()
    );
    assert!(
        said.all().contains("logical_slots=ignore"),
        "{}",
        said.all()
    );
    assert_eq!(operations(&said), ["mark"]);
    cluster.fault("n1", Fault::Kill).await;
    let said = cluster.pgbaton(&["run", "failover"]).await.expect(0);
    assert!(
        said.all().contains("slot heard of n1 is not on n2"),
        "{}",
        said.all()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handover_that_gives_up_a_slot_names_it_as_left_to_do() {
    let cluster = cluster_of("sub-ignore", 1, None, &[("wal_level", "logical")]).await;
    cluster
        .tell(
            "n1",
            "SELECT pg_create_logical_replication_slot('heard', 'pgoutput')",
        )
        .await;
    let candidate = [
        "run",
        "switchover",
        "-p",
        "candidate=n2",
        "-p",
        "logical_slots=ignore",
    ];
    let said = cluster.pgbaton(&candidate).await.expect(0);
    assert!(
        said.all().contains("slot heard of n1 is not on n2"),
        "{}",
        said.all()
    );
    cluster.assert_streams("n1", "n2").await;
}

/// Everywhere the same settings, as sites have them.
const KEPT: [(&str, &str); 4] = [
    ("wal_level", "logical"),
    ("hot_standby_feedback", "on"),
    ("sync_replication_slots", "on"),
    ("synchronized_standby_slots", "pgbaton_n2,pgbaton_n3"),
];

/// Through a failover, the rejoin of the old primary, and a switchover back to it, one subscriber hears every row once and
/// copies no table again.
async fn a_subscriber_goes_on(release: u32) {
    let servers = std::env::var_os("PGBATON_PG_VERSIONS")
        .expect("PGBATON_PG_VERSIONS, which scripts/test --all-versions sets");
    let bin = PathBuf::from(servers).join(format!("{release}-whole/bin"));
    let cluster = cluster_of(&format!("sub-{release}"), 2, Some(bin.clone()), &KEPT).await;
    let logical = [("wal_level", "logical")];
    let subscriber = cluster_of(&format!("sub-{release}s"), 0, Some(bin), &logical).await;
    // Without a database in its connection string a standby copies nothing: pgbaton writes one.
    for standby in ["node=n2", "node=n3"] {
        let follow = ["run", "follow", "-p", standby, "-p", "upstream=n1"];
        cluster
            .tell(&standby[5..], "ALTER SYSTEM SET primary_slot_name = ''")
            .await;
        cluster.tell(&standby[5..], "SELECT pg_reload_conf()").await;
        cluster.pgbaton(&follow).await.expect(0);
    }
    subscribe(
        &subscriber,
        &cluster,
        &["n1", "n2", "n3"],
        " WITH (failover = true)",
    )
    .await;
    for standby in ["n2", "n3"] {
        until_copied(&cluster, standby).await;
    }
    // What was copied once must not be copied again.
    subscriber.tell("n1", "DELETE FROM told WHERE id = 1").await;

    cluster.fault("n1", Fault::Kill).await;
    let said = cluster
        .pgbaton(&[
            "run",
            "failover",
            "-p",
            "candidate=n2",
            "-p",
            "accept_loss=the test",
        ])
        .await
        .expect(0);
    assert!(
        said.all().contains("pg_replication_origin_status"),
        "{}",
        said.all()
    );
    assert_eq!(cluster.ask("n2", WAITED_FOR).await, "pgbaton_n3");
    say(&cluster, "n2", 2).await;
    subscriber.until("n1", ROWS, "1 to 2").await;
    until_copied(&cluster, "n3").await;

    cluster.pgbaton(&rejoin(&[])).await.expect(0);
    assert_eq!(cluster.ask("n2", WAITED_FOR).await, "pgbaton_n1,pgbaton_n3");
    until_copied(&cluster, "n1").await;
    say(&cluster, "n2", 3).await;
    subscriber.until("n1", ROWS, "2 to 3").await;

    let back = ["run", "switchover", "-p", "candidate=n1"];
    cluster.pgbaton(&back).await.expect(0);
    assert_eq!(cluster.ask("n1", WAITED_FOR).await, "pgbaton_n2,pgbaton_n3");
    say(&cluster, "n1", 4).await;
    subscriber.until("n1", ROWS, "3 to 4").await;
    // What the former primary had of the slot is gone, so that it gets a copy again.
    until_copied(&cluster, "n2").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers of every release: scripts/test --all-versions"]
async fn on_postgresql_17_a_subscriber_goes_on_at_the_new_primary() {
    a_subscriber_goes_on(17).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers of every release: scripts/test --all-versions"]
async fn on_postgresql_18_a_subscriber_goes_on_at_the_new_primary() {
    a_subscriber_goes_on(18).await;
}

/// It heard what no standby had when the primary died, for nobody made it wait.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers of every release: scripts/test --all-versions"]
async fn a_subscriber_that_is_ahead_of_the_new_primary_is_named() {
    let servers = std::env::var_os("PGBATON_PG_VERSIONS")
        .expect("PGBATON_PG_VERSIONS, which scripts/test --all-versions sets");
    let bin = PathBuf::from(servers).join("17-whole/bin");
    let cluster = cluster_of("sub-ahead", 1, Some(bin.clone()), &KEPT[..3]).await;
    let often = [
        ("wal_level", "logical"),
        ("wal_retrieve_retry_interval", "200"),
    ];
    let subscriber = cluster_of("sub-aheads", 0, Some(bin), &often).await;
    cluster
        .tell("n2", "ALTER SYSTEM SET primary_slot_name = ''")
        .await;
    cluster.tell("n2", "SELECT pg_reload_conf()").await;
    let follow = ["run", "follow", "-p", "node=n2", "-p", "upstream=n1"];
    cluster.pgbaton(&follow).await.expect(0);
    subscribe(
        &subscriber,
        &cluster,
        &["n1", "n2"],
        " WITH (failover = true)",
    )
    .await;
    until_copied(&cluster, "n2").await;
    let look = cluster.lab.dir().join("look.yaml");
    let text =
        "playbook: look\nsteps:\n  look: { action: check_subscribers, node: n2, timeout: 9s }\n";
    std::fs::write(&look, text).unwrap();
    let look = ["run", look.to_str().unwrap()];
    cluster.fault("n2", Fault::Stop).await;
    let many = "INSERT INTO told SELECT generate_series(2, 100000)";
    cluster.tell("n1", many).await;
    subscriber.until("n1", ROWS, "100000 to 100000").await;
    cluster.fault("n1", Fault::Kill).await;
    cluster.fault("n2", Fault::Start).await;
    let failover = ["run", "failover", "-p", "accept_loss=the test"];
    let said = cluster.pgbaton(&failover).await.expect(0);
    assert!(
        said.all()
            .contains("synchronized_standby_slots is empty on n2"),
        "{}",
        said.all()
    );
    let ahead = "SELECT confirmed_flush_lsn > pg_current_wal_lsn() FROM pg_replication_slots WHERE slot_name = 'heard'";
    cluster.until("n2", ahead, "t").await;
    let said = cluster.pgbaton(&look).await.expect(0);
    assert!(
        said.all()
            .contains("the subscriber of slot heard stands at"),
        "{}",
        said.all()
    );
}
