//! One run per cluster: who comes second is told which run holds it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use rustix::process::Signal;
use std::path::PathBuf;
use support::{Cluster, UnderWay};

/// A playbook that may change something, and takes as long as it is let.
const HOLDS: &str = "playbook: holds
timeout: 10m
steps:
  touch: { action: exec, with: { argv: [\"true\"] }, effect: idempotent, timeout: 5s }
  hold: { needs: [touch], action: wait, with: { for: 5m }, timeout: 6m }
";
const CHANGES: &str = "playbook: changes
steps:
  touch: { action: exec, with: { argv: [\"true\"] }, effect: idempotent, timeout: 5s }
";
const READS: &str = "playbook: reads
steps:
  look: { action: sql, node: n1, with: { statement: SELECT 1 }, effect: read, timeout: 5s }
";

fn write(cluster: &Cluster, name: &str, text: &str) -> PathBuf {
    let path = cluster.lab.dir().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_is_told_who_holds_the_cluster_and_looking_is_free() {
    let cluster = Cluster::up("one-run", 1).await;
    let holds = write(&cluster, "holds.yaml", HOLDS);
    let changes = write(&cluster, "changes.yaml", CHANGES);
    let reads = write(&cluster, "reads.yaml", READS);
    let (changes, reads) = (changes.to_str().unwrap(), reads.to_str().unwrap());

    let mut first = UnderWay::start(cluster.lab.site_file(), &[holds.to_str().unwrap()]);
    let started = first.until(|e| e["event"] == "run_started").await;
    let id = started["run"].as_str().unwrap().to_owned();
    first.until_started("hold").await;
    for playbook in [changes, "failover"] {
        let said = cluster.pgbaton(&["run", playbook]).await.expect(5);
        assert!(said.stderr.contains(&id), "{id} is named: {}", said.stderr);
        assert_eq!(said.stdout, "", "nothing ran");
    }
    cluster.pgbaton(&["status"]).await.expect(0);
    cluster.pgbaton(&["run", reads]).await.expect(0);
    first.signal(Signal::INT);
    first.end().await.expect(130);
    cluster.pgbaton(&["run", changes]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_holds_nothing() {
    let cluster = Cluster::up("one-killed", 1).await;
    let holds = write(&cluster, "holds.yaml", HOLDS);
    let changes = write(&cluster, "changes.yaml", CHANGES);
    let mut first = UnderWay::start(cluster.lab.site_file(), &[holds.to_str().unwrap()]);
    first.until_started("hold").await;
    first.signal(Signal::KILL);
    assert_eq!(first.end().await.code, -1);
    cluster
        .pgbaton(&["run", changes.to_str().unwrap()])
        .await
        .expect(0);
}
