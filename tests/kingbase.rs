//! KingbaseES, as far as PostgreSQL 12 can be dressed as it ([`kingbase_support`]). The product itself was never run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod kingbase_support;
mod live_support;
mod support;

use kingbase_support::Dressed;
use pgbaton::lab::Fault;
use std::time::Duration;
use support::assert_nothing_lost;

const STARTED: &str = "SELECT pg_postmaster_start_time()::text";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server of PostgreSQL 12: scripts/test --all-versions"]
async fn after_kill_9_nothing_is_lost_and_everybody_follows_by_a_restart() {
    let dressed = Dressed::up("kb-fo").await;
    let cluster = &dressed.cluster;
    let writer = cluster.writer().await;
    cluster.fault("n1", Fault::Kill).await;
    cluster.pgbaton(&["run", "failover"]).await.expect(0);
    let new = cluster.primary().await;
    assert_ne!(new, "n1");
    let other = if new == "n2" { "n3" } else { "n2" };
    cluster.assert_streams(other, &new).await;
    assert!(
        writer.wait_for(20, Duration::from_secs(30)).await,
        "writes go on after the failover"
    );
    assert_nothing_lost(cluster, &writer.finish().await, &new).await;
    let data = cluster.data("n1");
    assert!(data.join("standby.signal").exists());
    assert!(data.join("sys_wal").is_dir() && data.join("kingbase.conf").is_file());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server of PostgreSQL 12: scripts/test --all-versions"]
async fn a_follow_is_a_restart() {
    let dressed = Dressed::up("kb-fw").await;
    let cluster = &dressed.cluster;
    let before = cluster.ask("n3", STARTED).await;
    let arguments = ["run", "follow", "-p", "node=n3", "-p", "upstream=n2"];
    cluster.pgbaton(&arguments).await.expect(0);
    cluster.assert_streams("n3", "n2").await;
    let after = cluster.ask("n3", STARTED).await;
    assert_ne!(after, before);
    cluster.pgbaton(&arguments).await.expect(0);
    assert_eq!(
        cluster.ask("n3", STARTED).await,
        after,
        "it follows already"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server of PostgreSQL 12: scripts/test --all-versions"]
async fn there_and_back_under_load_loses_no_acknowledged_row() {
    let dressed = Dressed::up("kb-sw").await;
    let cluster = &dressed.cluster;
    let writer = cluster.writer().await;
    for (candidate, others) in [("n2", ["n1", "n3"]), ("n1", ["n2", "n3"])] {
        let candidate_is = format!("candidate={candidate}");
        cluster
            .pgbaton(&["run", "switchover", "-p", &candidate_is])
            .await
            .expect(0);
        for node in others {
            cluster.assert_streams(node, candidate).await;
        }
        assert!(
            writer.wait_for(20, Duration::from_secs(30)).await,
            "writes go on with {candidate}"
        );
    }
    assert_nothing_lost(cluster, &writer.finish().await, "n1").await;
}

/// The status of the connection is told from that of a command.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server of PostgreSQL 12: scripts/test --all-versions"]
async fn a_host_that_securecmd_cannot_reach_is_left_as_it_is() {
    let dressed = Dressed::up("kb-255").await;
    let cluster = &dressed.cluster;
    dressed.connect(false);
    let candidate = ["run", "switchover", "-p", "candidate=n2"];
    let said = cluster.pgbaton(&candidate).await.expect(1);
    assert!(said.all().contains("No route to host"), "{}", said.all());
    dressed.connect(true);
    assert_eq!(cluster.primary().await, "n1");
    cluster.assert_streams("n2", "n1").await;
    cluster.pgbaton(&candidate).await.expect(0);
}
