//! Could it fail over now? What `status` tells beforehand, on real servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

#[allow(dead_code, reason = "the tests of repmgr use the rest")]
mod repmgr_support;
mod support;

use pgbaton::lab::Fault;
use repmgr_support::Registered;
use std::time::Duration;
use support::Cluster;

/// What a failover would meet, by name, each once.
async fn reasons(cluster: &Cluster) -> Vec<String> {
    let status = cluster.status().await;
    let told = status["obstacles"].as_array();
    let told = told.unwrap_or_else(|| panic!("{status:#}")).iter();
    let mut told: Vec<String> = told
        .map(|obstacle| obstacle["code"].as_str().unwrap().to_owned())
        .collect();
    told.dedup();
    told
}

async fn until_told(cluster: &Cluster, reason: &str) {
    for _ in 0..100 {
        if reasons(cluster).await.iter().any(|told| told == reason) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    panic!("{reason} is not told: {:#}", cluster.status().await);
}

/// Puts this into effect, by a restart.
async fn set(cluster: &Cluster, node: &str, setting: &str) {
    let statement = format!("ALTER SYSTEM SET {setting}");
    cluster.tell(node, &statement).await;
    cluster.fault(node, Fault::Stop).await;
    cluster.fault(node, Fault::Start).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_without_room_for_slots_is_told_and_a_run_is_refused() {
    let cluster = Cluster::up("rd-slots", 2).await;
    let before = reasons(&cluster).await;
    assert!(!before.contains(&"too_few_slots".to_owned()), "{before:?}");
    for node in ["n2", "n3"] {
        set(&cluster, node, "max_replication_slots = 0").await;
        cluster.assert_streams(node, "n1").await;
    }
    until_told(&cluster, "too_few_slots").await;
    cluster.fault("n1", Fault::Kill).await;
    let said = cluster.pgbaton(&["run", "failover"]).await.expect(3);
    assert!(said.all().contains("free slots of 0"), "{}", said.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_cannot_send_to_all_is_told() {
    let cluster = Cluster::up("rd-send", 4).await;
    for node in ["node=n4", "node=n5"] {
        let arguments = ["run", "follow", "-p", node, "-p", "upstream=n2"];
        let code = cluster.pgbaton(&arguments).await.code;
        assert!([0, 4].contains(&code), "{node}: {code}");
    }
    let before = reasons(&cluster).await;
    assert!(
        !before.contains(&"too_few_senders".to_owned()),
        "{before:?}"
    );
    // n1 and n2 have two below them each, and n2 would have n3 as well.
    set(&cluster, "n1", "max_wal_senders = 2").await;
    // A standby does not start with less than its primary had when it last heard of it.
    let standbys = ["n2", "n3", "n4", "n5"];
    cluster.until_replayed("n1", &standbys).await;
    for node in standbys {
        set(&cluster, node, "max_wal_senders = 2").await;
    }
    for (node, upstream) in [("n2", "n1"), ("n3", "n1"), ("n4", "n2"), ("n5", "n2")] {
        cluster.assert_streams(node, upstream).await;
    }
    until_told(&cluster, "too_few_senders").await;
    let status = cluster.status().await;
    let told = status["obstacles"].as_array().unwrap().iter();
    let told: Vec<&str> = told
        .filter(|obstacle| obstacle["code"] == "too_few_senders")
        .map(|obstacle| obstacle["text"].as_str().unwrap())
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("n2 ") && told[0].contains("3 nodes"),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repmgrd_that_cannot_be_paused_is_told_and_one_that_can_is_not() {
    let repmgr = Registered::up("rd-repmgr", 1).await;
    let cluster = &repmgr.cluster;
    let before = reasons(cluster).await;
    assert!(!before.contains(&"other_manager".to_owned()), "{before:?}");
    let daemon = repmgr.daemon("n2");
    until_told(cluster, "other_manager").await;
    // Where its table is, a run pauses it.
    let file = cluster.lab.site_file();
    let text = std::fs::read_to_string(file).unwrap();
    let own = text.replacen(
        "    nodes:",
        "    repmgr: { database: repmgr }\n    nodes:",
        1,
    );
    assert_ne!(own, text, "{text}");
    std::fs::write(file, own).unwrap();
    let after = reasons(cluster).await;
    assert!(!after.contains(&"other_manager".to_owned()), "{after:?}");
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_called_as_patronis_are_told() {
    let cluster = Cluster::up("rd-patroni", 1).await;
    let before = reasons(&cluster).await;
    assert!(!before.contains(&"other_manager".to_owned()), "{before:?}");
    // As Patroni 4 calls them; no Patroni runs here, so nobody says whether it is paused.
    let client = cluster.client("n2").await;
    client
        .batch_execute("SET application_name = 'Patroni heartbeat'")
        .await
        .unwrap();
    until_told(&cluster, "other_manager").await;
    client
        .batch_execute("SET application_name = 'Patroni ctl'")
        .await
        .unwrap();
    let after = reasons(&cluster).await;
    assert!(!after.contains(&"other_manager".to_owned()), "{after:?}");
}
