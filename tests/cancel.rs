//! Ctrl-C before and after the point of no return, on a real cluster.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use pgbaton::lab::Fault;
use rustix::process::Signal;
use std::path::PathBuf;
use support::{Cluster, UnderWay, assert_nothing_lost, stock, swap};

const BEFORE: &str = "needs: [fast_forward, check_candidate, slots, prepare_synchronous]";

/// The stock failover with a step that holds it up, written beside the lab's site file.
fn held_up(cluster: &Cluster, replace: &str, by: &str, step: &str) -> PathBuf {
    let text = swap(&stock("failover"), replace, by);
    let text = swap(&text, "\noutputs:\n", &format!("\n{step}\noutputs:\n"));
    let path = cluster.lab.dir().join("held-up.yaml");
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_promotion_all_is_taken_back() {
    let cluster = Cluster::up("ca-before", 2).await;
    let playbook = held_up(
        &cluster,
        BEFORE,
        "needs: [fast_forward, check_candidate, slots, prepare_synchronous, hold]",
        "  hold:\n    needs: [slots, prepare_synchronous]\n    action: wait\n    with: { for: 5m }\n    timeout: 6m\n",
    );
    let settings = "SELECT string_agg(name || '=' || setting, ';' ORDER BY name) FROM pg_settings \
        WHERE name IN ('primary_conninfo', 'primary_slot_name', 'restore_command', 'synchronous_standby_names')";
    let before = [
        cluster.ask("n2", settings).await,
        cluster.ask("n3", settings).await,
    ];
    cluster.fault("n1", Fault::Kill).await;
    let mut run = UnderWay::start(cluster.lab.site_file(), &[playbook.to_str().unwrap()]);
    run.until_started("hold").await;
    let frozen = cluster.ask("n2", "SHOW primary_conninfo").await;
    assert_eq!(frozen, "", "n2 is frozen while the run waits");
    run.signal(Signal::INT);
    let said = run.end().await.expect(130);
    assert!(
        said.intended()
            .iter()
            .all(|(_, o)| o["operation"] != "promote"),
        "nobody was promoted"
    );
    for (node, before) in ["n2", "n3"].into_iter().zip(before) {
        assert_eq!(cluster.ask(node, "SELECT pg_is_in_recovery()").await, "t");
        assert_eq!(cluster.ask(node, settings).await, before, "{node}");
        let slots = cluster
            .ask(node, "SELECT count(*) FROM pg_replication_slots")
            .await;
        assert_eq!(slots, "0", "slots of the run on {node} are dropped");
    }
    assert!(
        !cluster.data("n1").join("standby.signal").exists(),
        "the old primary may be one again"
    );
    cluster.fault("n1", Fault::Start).await;
    cluster.assert_streams("n2", "n1").await;
    cluster.assert_streams("n3", "n1").await;
    assert_eq!(cluster.primary().await, "n1");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_promotion_it_is_refused_and_the_run_goes_on() {
    let cluster = Cluster::up("ca-after", 2).await;
    let playbook = held_up(
        &cluster,
        "  follow:\n    needs: [promote]",
        "  follow:\n    needs: [promote, hold]",
        "  hold:\n    needs: [promote]\n    action: wait\n    with: { for: 2s }\n    timeout: 1m\n",
    );
    let writer = cluster.writer().await;
    cluster.fault("n1", Fault::Kill).await;
    let mut run = UnderWay::start(cluster.lab.site_file(), &[playbook.to_str().unwrap()]);
    run.until_started("hold").await;
    run.signal(Signal::INT);
    let answer = run.until(|e| e["event"] == "cancel_requested").await;
    assert_eq!(answer["accepted"], false);
    let reason = answer["reason"].as_str().unwrap();
    assert!(reason.contains("point of no return"), "{reason}");
    run.end().await.expect(0);
    let new = cluster.primary().await;
    assert_ne!(new, "n1");
    cluster
        .assert_streams(if new == "n2" { "n3" } else { "n2" }, &new)
        .await;
    assert_nothing_lost(&cluster, &writer.finish().await, &new).await;
}
