//! Switchover of a real cluster under write load, there and back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use pgbaton::lab::Fault;
use support::{Cluster, assert_nothing_lost};

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_ten_times_under_load_loses_no_acknowledged_row() {
    let cluster = Cluster::up("sw-ten", 2).await;
    let writer = cluster.writer().await;
    let nodes = ["n1", "n2", "n3"];
    for round in 1..=10 {
        let candidate = nodes[round % 2];
        cluster
            .pgbaton(&["run", "switchover", "-p", &format!("candidate={candidate}")])
            .await
            .expect(0);
        for node in nodes.iter().filter(|n| **n != candidate) {
            cluster.assert_streams(node, candidate).await;
        }
        assert!(
            writer
                .wait_for(20, std::time::Duration::from_secs(30))
                .await,
            "round {round}: writes go on"
        );
    }
    let report = writer.finish().await;
    assert_nothing_lost(&cluster, &report, "n1").await;
    assert!(
        cluster
            .ask("n1", "SELECT timeline_id FROM pg_control_checkpoint()")
            .await
            .parse::<u32>()
            .unwrap()
            > 1
    );
    for standby in ["n2", "n3"] {
        let slots = cluster
            .ask(standby, "SELECT count(*) FROM pg_replication_slots")
            .await;
        assert_eq!(slots, "0", "{standby} keeps no slot that nobody uses");
        assert!(!cluster.data("n1").join("standby.signal").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_before_the_promotion_puts_the_old_primary_back() {
    let cluster = Cluster::up("sw-back", 2).await;
    let stock = include_str!("../playbooks/switchover.yaml");
    let broken = stock.replace(
        "  promote:                      # the point of no return\n    needs: [fence,",
        "  veto:\n    needs: [fence, verify_handover]\n    action: assert\n    with: { that: \"false\", message: the test says no }\n\n  promote:\n    needs: [veto, fence,",
    );
    assert_ne!(broken, stock);
    let file = cluster.lab.dir().join("broken.yaml");
    std::fs::write(&file, broken).unwrap();
    let said = cluster
        .pgbaton(&["run", file.to_str().unwrap(), "-p", "candidate=n2"])
        .await
        .expect(3);
    assert!(said.all().contains("the test says no"), "{}", said.all());
    assert_eq!(cluster.primary().await, "n1");
    assert!(!cluster.data("n1").join("standby.signal").exists());
    cluster.assert_streams("n2", "n1").await;
    cluster.assert_streams("n3", "n1").await;
    assert_eq!(
        cluster
            .ask("n2", "SELECT count(*) FROM pg_replication_slots")
            .await,
        "0",
        "its slots are dropped"
    );
    cluster.tell("n1", "CREATE TABLE writable ()").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_is_down_is_refused_before_anything_is_changed() {
    let cluster = Cluster::up("sw-down", 2).await;
    cluster.fault("n2", Fault::Stop).await;
    let said = cluster
        .pgbaton(&["--json", "run", "switchover", "-p", "candidate=n2"])
        .await;
    assert!(matches!(said.code, 1 | 3), "{}", said.all());
    assert!(said.intended().is_empty(), "{:?}", said.intended());
    assert_eq!(cluster.primary().await, "n1");
}
