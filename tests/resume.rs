//! `kill -9` of the runner in the middle of a failover, on a real cluster under write load; `pgbaton runs resume` goes on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use pgbaton::lab::Fault;
use rustix::process::Signal;
use std::cell::Cell;
use std::os::unix::fs::MetadataExt as _;
use support::{Cluster, Said, UnderWay, assert_nothing_lost, pgbaton, stock, swap};

/// Kills the runner once it has told of so many events; the run's id.
async fn killed_after(cluster: &Cluster, playbook: &str, events: usize) -> String {
    let mut run = UnderWay::start(cluster.lab.site_file(), &[playbook]);
    let started = run.until(|e| e["event"] == "run_started").await;
    let told = Cell::new(1);
    run.until(|_| {
        told.set(told.get() + 1);
        told.get() >= events
    })
    .await;
    run.signal(Signal::KILL);
    let said = run.end().await;
    assert_eq!(said.code, -1, "it was killed: {}", said.all());
    started["run"].as_str().unwrap().to_owned()
}

async fn resumed(cluster: &Cluster, run: &str) -> Said {
    let site = cluster.lab.site_file().to_str().unwrap();
    pgbaton(&["--site", site, "--json", "runs", "resume", run]).await
}

fn promotions(said: &Said) -> usize {
    let intended = said.intended();
    let promotes = intended.iter().filter(|(_, o)| o["operation"] == "promote");
    promotes.count()
}

async fn a_failover_killed_after(events: usize) {
    let cluster = Cluster::up(&format!("rs-{events}"), 2).await;
    let writer = cluster.writer().await;
    cluster.fault("n1", Fault::Kill).await;
    let run = killed_after(&cluster, "failover", events).await;
    let said = resumed(&cluster, &run).await;
    // A busy machine may let the runner write its last record before the signal reaches it.
    if !said.all().contains("has ended") {
        let said = said.expect(0);
        // What was recorded before is told again, so this is the whole run.
        assert_eq!(promotions(&said), 1, "{events}: {}", said.all());
    }
    let new = cluster.primary().await;
    assert_ne!(new, "n1");
    let other = if new == "n2" { "n3" } else { "n2" };
    cluster.assert_streams(other, &new).await;
    let timeline = cluster
        .ask(&new, "SELECT timeline_id FROM pg_control_checkpoint()")
        .await;
    cluster.tell(&new, "CHECKPOINT").await;
    let after = cluster
        .ask(&new, "SELECT timeline_id FROM pg_control_checkpoint()")
        .await;
    assert!(timeline == "1" || timeline == "2", "{timeline}");
    assert_eq!(after, "2", "{events}: promoted once");
    assert_nothing_lost(&cluster, &writer.finish().await, &new).await;
    let again = resumed(&cluster, &run).await.expect(2);
    assert!(again.all().contains("has ended"), "{}", again.all());
}

/// Twenty-eight moments from the first steps to the last: such a run tells of some 140 events.
async fn killed_at(moments: std::ops::Range<usize>) {
    for moment in moments {
        a_failover_killed_after(3 + moment * 9 / 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_looks_and_confirms() {
    killed_at(0..7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_fences_and_freezes() {
    killed_at(7..14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_prepares_and_promotes() {
    killed_at(14..21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_others_follow() {
    killed_at(21..28).await;
}

/// The run goes on with the playbook that it began with, whatever has become of the file.
#[tokio::test(flavor = "multi_thread")]
async fn the_playbook_is_the_one_that_it_began_with() {
    let cluster = Cluster::up("rs-pinned", 1).await;
    let text = swap(
        &stock("failover"),
        "\noutputs:\n",
        "\n  hold:\n    needs: [promote]\n    action: wait\n    with: { for: 2s }\n    timeout: 1m\n\noutputs:\n",
    );
    let path = cluster.lab.dir().join("mine.yaml");
    std::fs::write(&path, text).unwrap();
    cluster.fault("n1", Fault::Kill).await;
    let mut run = UnderWay::start(cluster.lab.site_file(), &[path.to_str().unwrap()]);
    let started = run.until(|e| e["event"] == "run_started").await;
    run.until_started("hold").await;
    run.signal(Signal::KILL);
    run.end().await;
    std::fs::remove_file(&path).unwrap();
    let id = started["run"].as_str().unwrap();
    let said = resumed(&cluster, id).await.expect(0);
    assert!(
        said.events()
            .iter()
            .any(|e| e["event"]["event"] == "run_resumed"),
        "{}",
        said.all()
    );
    assert_eq!(cluster.primary().await, "n2");
}

/// A run that is under way is not taken over.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_runner_lives_is_refused() {
    let cluster = Cluster::up("rs-lives", 1).await;
    let text = swap(
        &stock("failover"),
        "\noutputs:\n",
        "\n  hold:\n    needs: [promote]\n    action: wait\n    with: { for: 3s }\n    timeout: 1m\n\noutputs:\n",
    );
    let path = cluster.lab.dir().join("slow.yaml");
    std::fs::write(&path, text).unwrap();
    cluster.fault("n1", Fault::Kill).await;
    let mut run = UnderWay::start(cluster.lab.site_file(), &[path.to_str().unwrap()]);
    let started = run.until(|e| e["event"] == "run_started").await;
    run.until_started("hold").await;
    let id = started["run"].as_str().unwrap();
    let refused = resumed(&cluster, id).await.expect(5);
    assert!(refused.all().contains(id), "{}", refused.all());
    run.end().await.expect(0);
    let unknown = resumed(&cluster, "20200101-000000-none").await.expect(2);
    assert!(
        unknown.all().contains("20200101-000000-none"),
        "{}",
        unknown.all()
    );
}

/// A program that must run once goes on without its runner; the next one waits for it and takes its result.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_must_run_once_is_attached_to() {
    let cluster = Cluster::asynchronous("rs-once", 1).await;
    let told = cluster.data("n1").join("told");
    let path = cluster.lab.dir().join("once.yaml");
    let text = format!(
        "playbook: once\nsteps:\n  work:\n    action: exec\n    node: n1\n    with:\n      argv: [sh, -c, 'echo x >>{}; sleep 3; echo finished']\n    effect: once\n\
         outputs:\n  said: steps.work.stdout\n",
        told.display()
    );
    std::fs::write(&path, text).unwrap();
    let mut run = UnderWay::start(cluster.lab.site_file(), &[path.to_str().unwrap()]);
    let started = run.until(|e| e["event"] == "run_started").await;
    run.until(|e| e["event"] == "effect_intended").await;
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !told.exists() {
        assert!(
            std::time::Instant::now() < end,
            "the program does not start"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    run.signal(Signal::KILL);
    run.end().await;
    let said = resumed(&cluster, started["run"].as_str().unwrap())
        .await
        .expect(0);
    let events = said.events();
    let ended = events.last().unwrap();
    assert_eq!(
        ended["event"]["outputs"]["said"]["value"], "finished",
        "{ended}"
    );
    assert_eq!(
        std::fs::read_to_string(&told).unwrap(),
        "x\n",
        "it ran once"
    );
    let owner = std::fs::metadata(cluster.data("n1")).unwrap().uid();
    let records = format!("/var/tmp/pgbaton-{owner}/{}", cluster.lab.name());
    assert!(std::path::Path::new(&records).is_dir(), "{records}");
    cluster.lab.down().await.unwrap();
    assert!(!std::path::Path::new(&records).exists(), "{records} stays");
}

/// Somebody started the old primary again while nobody ran the failover: its proof is void, and nobody is promoted.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_somebody_undid_meanwhile_promotes_nobody() {
    let cluster = Cluster::up("rs-back", 1).await;
    let text = swap(
        &stock("failover"),
        "needs: [fast_forward, check_candidate, slots, prepare_synchronous]",
        "needs: [fast_forward, check_candidate, slots, prepare_synchronous, hold]",
    );
    let text = swap(
        &text,
        "\noutputs:\n",
        "\n  hold:\n    needs: [slots, prepare_synchronous]\n    action: wait\n    with: { for: 1m }\n    timeout: 2m\n\noutputs:\n",
    );
    let path = cluster.lab.dir().join("held.yaml");
    std::fs::write(&path, text).unwrap();
    cluster.fault("n1", Fault::Kill).await;
    let mut run = UnderWay::start(cluster.lab.site_file(), &[path.to_str().unwrap()]);
    let started = run.until(|e| e["event"] == "run_started").await;
    run.until_started("hold").await;
    run.signal(Signal::KILL);
    run.end().await;
    std::fs::remove_file(cluster.data("n1").join("standby.signal")).unwrap();
    cluster.fault("n1", Fault::Start).await;
    assert_eq!(cluster.primary().await, "n1");
    let said = resumed(&cluster, started["run"].as_str().unwrap())
        .await
        .expect(3);
    assert!(
        said.all().contains("n1 is a running primary now"),
        "{}",
        said.all()
    );
    assert_eq!(cluster.primary().await, "n1");
    assert_eq!(cluster.ask("n2", "SELECT pg_is_in_recovery()").await, "t");
}
