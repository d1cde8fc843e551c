//! Runs of the past and under way, read by others: list, follow, keys, waiting, in the background, journals of an earlier
//! version.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use pgbaton::journal::{FileRecorder, SqliteJournal};
use rustix::process::Signal;
use std::path::PathBuf;
use support::{Cluster, Said, UnderWay};

/// Needs the cluster for itself, and takes as long as it is told.
const HOLDS: &str = "playbook: holds
params:
  hold: { type: duration, default: 5m }
timeout: 10m
steps:
  touch: { action: exec, with: { argv: [\"true\"] }, effect: idempotent, timeout: 5s }
  hold: { needs: [touch], action: wait, with: { for: \"{{ params.hold }}\" }, timeout: 6m }
";

fn playbook(cluster: &Cluster) -> String {
    let path = cluster.lab.dir().join("holds.yaml");
    std::fs::write(&path, HOLDS).unwrap();
    path.to_str().unwrap().to_owned()
}

/// `runs list --json`.
async fn listed(cluster: &Cluster) -> Vec<serde_json::Value> {
    let said = cluster.pgbaton(&["--json", "runs", "list"]).await.expect(0);
    let lines = said.stdout.lines();
    lines.map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// The id that a command said.
fn id(said: &Said) -> String {
    said.stdout.trim().to_owned()
}

/// Starts it with more arguments, up to where it holds.
async fn holding(cluster: &Cluster, more: &[&str]) -> (UnderWay, String) {
    let playbook = playbook(cluster);
    let mut arguments = vec![playbook.as_str()];
    arguments.extend(more);
    let mut run = UnderWay::start(cluster.lab.site_file(), &arguments);
    let started = run.until(|e| e["event"] == "run_started").await;
    run.until_started("hold").await;
    (run, started["run"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_listed_newest_first_and_found_by_the_beginning_of_their_id() {
    let cluster = Cluster::asynchronous("rh-list", 1).await;
    let none = cluster.pgbaton(&["runs", "list"]).await.expect(0);
    assert!(none.stderr.contains("no such run"), "{}", none.all());
    let playbook = playbook(&cluster);
    let quick = ["run", &playbook, "-p", "hold=1ms"];
    cluster.pgbaton(&quick).await.expect(0);
    let (run, id) = holding(&cluster, &[]).await;
    let both = listed(&cluster).await;
    let told: Vec<_> = both
        .iter()
        .map(|run| (&run["standing"], &run["outcome"]))
        .collect();
    assert_eq!(told.len(), 2);
    assert_eq!(
        (told[0].0, told[1].0),
        (&"under_way".into(), &"ended".into())
    );
    assert_eq!((told[0].1.is_null(), told[1].1), (true, &"ok".into()));
    assert_eq!(both[0]["run"], id);
    run.signal(Signal::KILL);
    run.end().await;
    assert_eq!(listed(&cluster).await[0]["standing"], "interrupted");
    let unended = cluster.pgbaton(&["runs", "list", "--unended"]).await;
    let unended = unended.expect(0).stdout;
    assert_eq!(
        unended.lines().count(),
        3,
        "heads, rule, one run: {unended}"
    );
    assert!(unended.contains("cut off"));
    let one = cluster
        .pgbaton(&["runs", "list", "-n", "1"])
        .await
        .expect(0);
    assert!(one.stderr.contains("there are more"), "{}", one.all());

    let start = &id[..id.len() - 1];
    cluster.pgbaton(&["runs", "show", start]).await.expect(0);
    let many = cluster.pgbaton(&["runs", "show", "20"]).await.expect(2);
    assert!(many.stderr.contains("could be any of"), "{}", many.stderr);
    let missing = cluster.pgbaton(&["runs", "show", "x"]).await.expect(2);
    assert!(missing.stderr.contains("no run's id begins with `x`"));
}

/// Of all who ask with one key, one runs; the others look on at that run, and exit as it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_request_with_the_same_key_joins_the_first() {
    let cluster = Cluster::asynchronous("rh-key", 1).await;
    let keyed = ["--key", "alert-7", "-p", "hold=2s"];
    let (first, id) = holding(&cluster, &keyed).await;
    let playbook = playbook(&cluster);
    let again = [&["run", &playbook][..], &keyed].concat();
    let joined = cluster.pgbaton(&again);
    let words = ["run", &playbook, "--key", "alert-8"];
    let other = cluster.pgbaton(&words);
    let (joined, other) = tokio::join!(joined, other);
    assert!(
        other.expect(5).stderr.contains(&id),
        "another key is refused"
    );
    let joined = joined.expect(0);
    assert!(joined.stderr.contains(&id), "{}", joined.all());
    assert!(
        joined.stdout.contains("hold"),
        "it was shown: {}",
        joined.all()
    );
    first.end().await.expect(0);
    // Long after it has ended, the key is still its own.
    let late = cluster.pgbaton(&again).await.expect(0);
    assert!(late.stderr.contains(&id), "{}", late.all());
    assert_eq!(listed(&cluster).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_requests_with_one_key_at_the_same_moment_one_runs() {
    let cluster = Cluster::asynchronous("rh-race", 1).await;
    let playbook = playbook(&cluster);
    let words = ["run", &playbook, "--key", "k", "-p", "hold=300ms"];
    let all = futures_util::future::join_all((0..5).map(|_| cluster.pgbaton(&words))).await;
    for said in all {
        said.expect(0);
    }
    let runs = listed(&cluster).await;
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!(runs[0]["key"], "k");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_runs_when_the_cluster_is_free() {
    let cluster = Cluster::asynchronous("rh-wait", 1).await;
    let (first, id) = holding(&cluster, &[]).await;
    let playbook = playbook(&cluster);
    let brief = ["run", &playbook, "--wait=200ms"];
    let refused = cluster.pgbaton(&brief).await.expect(5);
    assert!(refused.stderr.contains(&id), "{}", refused.stderr);
    let words = [playbook.as_str(), "--wait=1m", "-p", "hold=1ms"];
    let mut second = UnderWay::start(cluster.lab.site_file(), &words);
    first.signal(Signal::INT);
    first.end().await.expect(130);
    second.until(|e| e["event"] == "run_started").await;
    second.end().await.expect(0);
}

/// In the background: the id at once, looking on from elsewhere, and trouble before the start as if in the foreground.
#[tokio::test(flavor = "multi_thread")]
async fn a_detached_run_goes_on_and_can_be_followed() {
    let cluster = Cluster::asynchronous("rh-detach", 1).await;
    let playbook = playbook(&cluster);
    let words = ["run", &playbook, "--detach", "-p", "hold=2s"];
    let run = id(&cluster.pgbaton(&words).await.expect(0));
    assert_eq!(listed(&cluster).await[0]["run"], run);
    let busy = cluster.pgbaton(&words).await.expect(5);
    assert!(busy.stderr.contains(&run), "{}", busy.all());
    let wrong = ["run", &playbook, "--detach", "-p", "no=1"];
    let wrong = cluster.pgbaton(&wrong).await.expect(2);
    assert!(wrong.stderr.contains("no"), "{}", wrong.all());
    let followed = cluster
        .pgbaton(&["--json", "runs", "follow", &run])
        .await
        .expect(0);
    let events = followed.events();
    assert_eq!(events[0]["event"]["event"], "run_started");
    assert_eq!(events.last().unwrap()["event"]["event"], "run_ended");
    let seqs: Vec<u64> = events.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    assert!(
        seqs.iter()
            .copied()
            .eq(0..u64::try_from(seqs.len()).unwrap())
    );
    assert_eq!(listed(&cluster).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_a_run_that_is_killed_is_told() {
    let cluster = Cluster::asynchronous("rh-killed", 1).await;
    let (first, id) = holding(&cluster, &[]).await;
    let words = ["runs", "follow", &id];
    let followed = cluster.pgbaton(&words);
    let killed = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        first.signal(Signal::KILL);
        first.end().await
    };
    let (followed, _) = tokio::join!(followed, killed);
    let followed = followed.expect(1);
    let resume = format!("pgbaton runs resume {id}");
    assert!(followed.stderr.contains(&resume), "{}", followed.all());
}

/// What an earlier version kept in files of JSON lines is brought in by the first who looks.
#[tokio::test(flavor = "multi_thread")]
async fn journals_in_files_are_brought_in() {
    let cluster = Cluster::asynchronous("rh-import", 1).await;
    let (first, id) = holding(&cluster, &["-p", "hold=1ms"]).await;
    first.end().await.expect(0);
    // As the earlier version had it: the same events, one file, no store.
    let state = cluster.lab.dir().join("journal");
    let store = SqliteJournal::open(state.join("journal.db")).unwrap();
    let run = pgbaton::engine::RunId(id.as_str().into());
    let events = pgbaton::journal::History::events(&store, &run)
        .await
        .unwrap();
    drop(store);
    let files = FileRecorder::new(state.join("runs")).unwrap();
    let synced = pgbaton::engine::Durability::Synced;
    pgbaton::engine::Recorder::record(&files, &run, &events, synced)
        .await
        .unwrap();
    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        let _ = std::fs::remove_file(state.join(file));
    }
    let before: PathBuf = state.join(format!("runs/{id}.jsonl"));
    assert!(before.exists());
    let runs = listed(&cluster).await;
    assert_eq!(runs[0]["run"], id);
    assert_eq!(runs[0]["outcome"], "ok");
    assert!(!before.exists(), "it was put aside");
    cluster.pgbaton(&["runs", "show", &id]).await.expect(0);
}

/// After a machine came back, one command goes on with everything that was cut off.
#[tokio::test(flavor = "multi_thread")]
async fn all_that_was_cut_off_is_gone_on_with() {
    let cluster = Cluster::asynchronous("rh-all", 1).await;
    for _ in 0..2 {
        let (run, _) = holding(&cluster, &["-p", "hold=2s"]).await;
        run.signal(Signal::KILL);
        run.end().await;
    }
    cluster
        .pgbaton(&["runs", "resume", "--all"])
        .await
        .expect(0);
    let runs = listed(&cluster).await;
    assert!(runs.iter().all(|run| run["outcome"] == "ok"), "{runs:?}");
    let none = cluster
        .pgbaton(&["runs", "resume", "--all"])
        .await
        .expect(0);
    assert!(
        none.stderr.contains("every run has ended"),
        "{}",
        none.all()
    );
}

/// What was cut off before it served, and what is cut off while it serves.
#[tokio::test(flavor = "multi_thread")]
async fn who_serves_goes_on_with_what_others_left() {
    let cluster = Cluster::asynchronous("rh-serve", 1).await;
    let cut_off = async || {
        let (run, id) = holding(&cluster, &["-p", "hold=1s"]).await;
        run.signal(Signal::KILL);
        run.end().await;
        id
    };
    let has_ended = async |id: &str| {
        loop {
            let runs = listed(&cluster).await;
            let run = runs.iter().find(|run| run["run"] == id).unwrap();
            if run["standing"] == "ended" {
                assert_eq!(run["outcome"], "ok");
                return;
            }
        }
    };
    let before = cut_off().await;
    let serving = UnderWay::of(cluster.lab.site_file(), &["serve"]);
    has_ended(&before).await;
    let later = cut_off().await;
    has_ended(&later).await;
    serving.signal(Signal::TERM);
    let said = serving.end().await.expect(0);
    assert!(said.stderr.contains(&before) && said.stderr.contains(&later));
}
