//! `pgbaton serve` over real servers: it replaces a primary that is dead, once, and leaves alone whatever is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod hosts_support;
mod serve_support;
mod support;

use hosts_support::{can_have_hosts, on_hosts};
use pgbaton::lab::{Cut, Fault, Peer};
use serve_support::{Serving, runs, with_detector};
use std::time::Duration;
use support::{Cluster, assert_nothing_lost, name};
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_killed_is_replaced_by_itself() {
    let cluster = Cluster::up("sd-kill", 2).await;
    with_detector(&cluster, "auto");
    let mut serving = Serving::start(&cluster).await;
    let writer = cluster.writer().await;
    cluster.fault("n1", Fault::Kill).await;
    serving
        .until("`failover` was run and reached its goal")
        .await;
    assert!(
        writer.wait_for(20, Duration::from_secs(20)).await,
        "it is written to"
    );
    let report = writer.finish().await;
    let primary = cluster.primary().await;
    assert_ne!(primary, "n1");
    assert_nothing_lost(&cluster, &report, &primary).await;
    let all = runs(&cluster).await;
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(
        (&all[0]["playbook"], &all[0]["trigger"]),
        (&"failover".into(), &"detector".into())
    );
    let code = serving.stop().await;
    assert_eq!(code, 0);
}

/// Where the site prefers that: it is started where it stood, and nobody is promoted.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_killed_is_started_again_where_the_site_wants_that() {
    for (breaks, primary) in [(false, "n1"), (true, "n2")] {
        let cluster = Cluster::up("sd-restart", 2).await;
        with_detector(
            &cluster,
            "{ mode: auto, playbooks: { postgres_down_host_up: restart }, params: { candidate: n2 } }",
        );
        let mut serving = Serving::start(&cluster).await;
        let writer = cluster.writer().await;
        if breaks {
            let file = cluster.data("n1").join("postgresql.conf");
            let text = std::fs::read_to_string(&file).unwrap();
            std::fs::write(&file, text + "no_such_setting = 1\n").unwrap();
        }
        cluster.fault("n1", Fault::Kill).await;
        serving
            .until("`restart` was run and reached its goal")
            .await;
        assert!(
            writer.wait_for(20, Duration::from_secs(20)).await,
            "it is written to"
        );
        let report = writer.finish().await;
        assert_eq!(cluster.primary().await, primary);
        assert_nothing_lost(&cluster, &report, primary).await;
        let others = ["n1", "n2", "n3"].into_iter();
        let others = others.filter(|n| *n != primary && (!breaks || *n != "n1"));
        for node in others {
            cluster.assert_streams(node, primary).await;
        }
        assert_eq!(runs(&cluster).await.len(), 1);
        assert_eq!(serving.stop().await, 0);
    }
}

/// Nothing is touched before somebody has answered; who does not answer in time has said no.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_decides_where_the_site_wants_that() {
    for answer in [Some("approve"), Some("deny"), None] {
        let cluster = Cluster::up("sd-asks", 2).await;
        with_detector(&cluster, "approve");
        if answer.is_none() {
            let overlays = cluster.lab.dir().join("overlays");
            std::fs::create_dir_all(&overlays).unwrap();
            let text = "overlay: approved_failover\nsteps:\n  ask: { timeout: 2s }\n";
            std::fs::write(overlays.join("hurried.yaml"), text).unwrap();
        }
        let mut serving = Serving::start(&cluster).await;
        cluster.fault("n1", Fault::Kill).await;
        serving.until("starting `approved_failover`").await;
        if let Some(answer) = answer {
            let mut said = cluster.pgbaton(&["runs", "list"]).await;
            for _ in 0..200 {
                let open = runs(&cluster).await;
                let run = open.first().and_then(|run| run["run"].as_str());
                let words = [
                    "runs",
                    answer,
                    run.unwrap_or("none"),
                    "--reason",
                    "OPS-4711",
                ];
                said = cluster.pgbaton(&words).await;
                // Until it has come to its question.
                if said.code == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            said.expect(0);
        }
        let (came, primary) = match answer {
            Some("approve") => ("reached its goal", Some("n1")),
            _ => ("`approved_failover` was run and", None),
        };
        serving.until(came).await;
        let all = runs(&cluster).await;
        assert_eq!(all.len(), 1, "{all:#?}");
        assert_eq!(
            (&all[0]["playbook"], &all[0]["trigger"]),
            (&"approved_failover".into(), &"detector".into())
        );
        assert_eq!(all[0]["outcome"] == "ok", primary.is_some(), "{all:#?}");
        if let Some(old) = primary {
            let new = cluster.primary().await;
            assert_ne!(new, old);
            let other = if new == "n2" { "n3" } else { "n2" };
            cluster.assert_streams(other, &new).await;
        } else {
            for node in ["n2", "n3"] {
                let standby = cluster.ask(node, "SELECT pg_is_in_recovery()").await;
                assert_eq!(standby, "t", "{node} is what it was");
            }
        }
        assert_eq!(serving.stop().await, 0);
    }
}

/// Whom it has replaced comes back as a standby, where the site says so; a standby that somebody stops afterwards stays stopped.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_primary_comes_back_by_itself() {
    let cluster = Cluster::up("sd-return", 2).await;
    with_detector(
        &cluster,
        "{ mode: auto, on_return: rejoin, connect_every: 1s }",
    );
    let mut serving = Serving::start(&cluster).await;
    let writer = cluster.writer().await;
    cluster.fault("n1", Fault::Kill).await;
    serving
        .until("`failover` was run and reached its goal")
        .await;
    serving
        .until("`rejoin` of n1 was run and reached its goal")
        .await;
    assert!(
        writer.wait_for(20, Duration::from_secs(20)).await,
        "it is written to"
    );
    let report = writer.finish().await;
    let primary = cluster.primary().await;
    assert_nothing_lost(&cluster, &report, &primary).await;
    let followers = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    cluster.until(&primary, followers, "2").await;
    cluster.fault("n1", Fault::Stop).await;
    sleep(Duration::from_secs(6)).await;
    let all = runs(&cluster).await;
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(
        (&all[0]["playbook"], &all[0]["trigger"]),
        (&"rejoin".into(), &"detector-return".into())
    );
    assert_eq!(serving.stop().await, 0);
}

/// A return may take hours, above all from a primary that hangs: whoever replaces that one does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_return_gives_way_to_a_failover() {
    let cluster = Cluster::up("sd-way", 2).await;
    with_detector(
        &cluster,
        "{ mode: auto, on_return: rejoin, connect_every: 1s, cooldown: 0s }",
    );
    let overlays = cluster.lab.dir().join("overlays");
    std::fs::create_dir(&overlays).unwrap();
    std::fs::write(
        overlays.join("rejoin.yaml"),
        "overlay: rejoin
version: '>=1.0, <2'
steps:
  long: { needs: [create_slot], needed_by: [rewind], action: wait, with: { for: 1h }, timeout: 2h }
",
    )
    .unwrap();
    let mut serving = Serving::start(&cluster).await;
    cluster.fault("n1", Fault::Kill).await;
    serving.until("starting `rejoin`").await;
    let first = cluster.primary().await;
    let other = if first == "n2" { "n3" } else { "n2" };
    // It has come to what takes long: the slot is there.
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'pgbaton_n1'";
    cluster.until(&first, slots, "1").await;
    cluster.fault(&first, Fault::Kill).await;
    serving.until("is cancelled: the primary is lost").await;
    serving.until(&format!("{other} is the primary")).await;
    assert_eq!(cluster.primary().await, other);
    let all = runs(&cluster).await;
    let cancelled: Vec<_> = all
        .iter()
        .filter(|run| run["outcome"] == "cancelled")
        .collect();
    assert_eq!(cancelled.len(), 1, "{all:#?}");
    assert_eq!(cancelled[0]["trigger"], "detector-return");
    assert_eq!(serving.stop().await, 0);
}

/// Its host answers nothing any more, and the primary goes on in its corner: commits there wait for standbys.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_whose_host_is_cut_off_is_replaced_with_a_proof() {
    if !can_have_hosts().await {
        return;
    }
    let cluster = on_hosts("sd-cut", 2).await;
    with_detector(&cluster, "auto");
    let mut serving = Serving::start(&cluster).await;
    let writer = cluster.writer().await;
    cluster.fault("n1", Fault::Cut).await;
    serving
        .until("`failover` was run and reached its goal")
        .await;
    assert!(
        writer.wait_for(20, Duration::from_secs(20)).await,
        "it is written to"
    );
    let report = writer.finish().await;
    let run = runs(&cluster).await[0]["run"].as_str().unwrap().to_owned();
    let shown = cluster.pgbaton(&["runs", "show", &run]).await.expect(0);
    assert!(shown.all().contains("starved"), "{}", shown.all());
    cluster.fault("n1", Fault::Heal).await;
    cluster.fault("n1", Fault::Kill).await;
    let primary = cluster.primary().await;
    assert_nothing_lost(&cluster, &report, &primary).await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_observes_only_says_what_would_have_been_run() {
    let cluster = Cluster::up("sd-observe", 1).await;
    with_detector(&cluster, "observe");
    let mut serving = Serving::start(&cluster).await;
    cluster.fault("n1", Fault::Kill).await;
    serving
        .until("`failover` would have been run, and nothing was started")
        .await;
    assert_eq!(runs(&cluster).await.len(), 0);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_that_could_not_be_run_is_told_at_the_start() {
    let cluster = Cluster::up("sd-broken", 1).await;
    with_detector(
        &cluster,
        "{ mode: auto, playbooks: { primary_hangs: broken, primary_dead: absent } }",
    );
    let folder = cluster.lab.dir().join("playbooks");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("broken.yaml"), "playbook: broken\nsteps: []\n").unwrap();
    let serving = Serving::start(&cluster).await;
    let said = serving.said();
    for playbook in ["broken", "absent"] {
        let told = format!("`{playbook}` could not be run, should it be needed");
        assert!(said.contains(&told), "{told}: {said}");
    }
    assert!(!said.contains("`failover` could not be run"), "{said}");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_an_administrator_stopped_is_left_alone() {
    let cluster = Cluster::up("sd-stop", 1).await;
    with_detector(&cluster, "auto");
    let mut serving = Serving::start(&cluster).await;
    cluster.fault("n1", Fault::Stop).await;
    serving.until("it was shut down cleanly").await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(runs(&cluster).await.len(), 0);
    serving.stop().await;
}

/// Rule 9. Each kind on real servers, one after the other under one watch.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_dead_primary_starts_nothing() {
    if !can_have_hosts().await {
        return;
    }
    let cluster = on_hosts("sd-calm", 2).await;
    with_detector(
        &cluster,
        "{ mode: auto, hangs: 15s, silent: 4s, connect_every: 1s }",
    );
    let serving = Serving::start(&cluster).await;
    let writer = cluster.writer().await;
    let spell = Duration::from_secs(6);
    // The observer loses the primary, its ssh included; the standbys do not.
    cluster
        .lab
        .cut(&name("n1"), &Cut::From(Peer::Here))
        .await
        .unwrap();
    sleep(spell).await;
    cluster.fault("n1", Fault::Heal).await;
    // The observer loses everybody.
    for node in ["n1", "n2", "n3"] {
        cluster
            .lab
            .cut(&name(node), &Cut::To(Peer::Here))
            .await
            .unwrap();
    }
    sleep(spell).await;
    for node in ["n1", "n2", "n3"] {
        cluster.fault(node, Fault::Heal).await;
    }
    // A link between two nodes.
    cluster
        .lab
        .cut(&name("n2"), &Cut::From(Peer::Node("n1".to_owned())))
        .await
        .unwrap();
    sleep(spell).await;
    cluster.fault("n2", Fault::Heal).await;
    // The primary stands still, for less than the limit.
    cluster.fault("n1", Fault::Freeze).await;
    sleep(spell).await;
    cluster.fault("n1", Fault::Thaw).await;
    // Nobody gets in any more, by its rules; then by its number of connections.
    let hba = cluster.data("n1").join("pg_hba.conf");
    let kept = std::fs::read(&hba).unwrap();
    std::fs::write(
        &hba,
        "host replication all 0.0.0.0/0 trust\nlocal all all trust\n",
    )
    .unwrap();
    cluster.tell("n1", "SELECT pg_reload_conf()").await;
    sleep(spell).await;
    std::fs::write(&hba, kept).unwrap();
    serve_support::reload(&cluster, "n1");
    sleep(Duration::from_secs(1)).await;
    let crowd = serve_support::crowd(&cluster, "n1").await;
    sleep(spell).await;
    drop(crowd);
    // A standby is stopped.
    cluster.fault("n3", Fault::Stop).await;
    sleep(spell).await;
    drop(writer.finish().await);
    assert_eq!(runs(&cluster).await.len(), 0, "{}", serving.said());
    assert_eq!(cluster.primary().await, "n1");
    let said = serving.said();
    assert!(
        said.contains("is not reached from here, and lives"),
        "{said}"
    );
    assert!(
        said.contains("nothing of the cluster is reached from here"),
        "{said}"
    );
    serving.stop().await;
}
