//! A node that cannot simply follow comes back: rewound, or copied anew where that is allowed, or left as it was.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use pgbaton::lab::{Fault, LabOptions};
use rustix::process::Signal;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{Cluster, UnderWay, assert_nothing_lost, swap};

const REJOIN: [&str; 4] = ["--json", "run", "rejoin", "-p"];
const OWN: &str = "SELECT string_agg(name || '=' || setting, ';' ORDER BY name) FROM pg_settings \
     WHERE name IN ('port', 'cluster_name', 'listen_addresses', 'work_mem')";
const MARK: &str = "pgbaton.rewinding";

fn rejoin<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&REJOIN[..], &["node=n1"], more].concat()
}

fn site(cluster: &Cluster) -> String {
    std::fs::read_to_string(cluster.lab.site_file()).unwrap()
}

/// What lies at the top of a data directory.
fn entries(cluster: &Cluster, node: &str) -> Vec<String> {
    let names = std::fs::read_dir(cluster.data(node)).unwrap();
    let mut names: Vec<String> = names
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn beside(cluster: &Cluster, node: &str) -> Vec<String> {
    let data = cluster.data(node);
    let stem = data.file_name().unwrap().to_str().unwrap().to_owned();
    let names = std::fs::read_dir(data.parent().unwrap()).unwrap();
    let names = names.map(|e| e.unwrap().file_name().into_string().unwrap());
    names
        .filter(|n| n.starts_with(&format!("{stem}.pgbaton.")))
        .collect()
}

/// The primary is killed where nobody has received what it wrote last, and n2 takes over.
async fn diverge(cluster: &Cluster) {
    cluster
        .tell("n1", "ALTER SYSTEM SET work_mem = '5555kB'")
        .await;
    cluster.tell("n1", "SELECT pg_reload_conf()").await;
    cluster.fault("n2", Fault::Stop).await;
    cluster
        .tell("n1", "CREATE TABLE lost AS SELECT generate_series(1, 5000)")
        .await;
    cluster.fault("n1", Fault::Kill).await;
    cluster.fault("n2", Fault::Start).await;
    let loss = ["run", "failover", "-p", "accept_loss=the test"];
    cluster.pgbaton(&loss).await.expect(0);
    assert_eq!(cluster.primary().await, "n2");
    cluster
        .tell("n2", "CREATE TABLE since AS SELECT generate_series(1, 7)")
        .await;
}

async fn assert_came_back(cluster: &Cluster, own: &str) {
    cluster.assert_streams("n1", "n2").await;
    cluster.until("n1", "SELECT count(*) FROM since", "7").await;
    let lost = "SELECT count(*) FROM pg_tables WHERE tablename = 'lost'";
    assert_eq!(cluster.ask("n1", lost).await, "0");
    assert_eq!(cluster.ask("n1", OWN).await, own);
    assert!(own.contains("work_mem=5555"), "{own}");
    let left = entries(cluster, "n1");
    assert!(
        !left
            .iter()
            .any(|n| n.starts_with("pgbaton.saved") || n == MARK),
        "{left:?}"
    );
    assert!(!left.contains(&"pgbaton.complete".to_owned()));
}

fn operations(said: &support::Said) -> Vec<String> {
    said.intended()
        .iter()
        .map(|(_, o)| o["operation"].as_str().unwrap().to_owned())
        .collect()
}

async fn own(cluster: &Cluster) -> String {
    let port = cluster.endpoint("n1").port;
    format!("cluster_name=n1;listen_addresses=127.0.0.1;port={port};work_mem=5555")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_primary_that_is_ahead_is_rewound_and_streams() {
    let cluster = Cluster::asynchronous("rj-rewind", 1).await;
    diverge(&cluster).await;
    let plan = cluster
        .pgbaton(&["--json", "plan", "rejoin", "-p", "node=n1"])
        .await
        .expect(0);
    assert!(plan.stdout.contains("pg_rewind"), "{}", plan.all());
    assert!(entries(&cluster, "n1").contains(&"postmaster.pid".to_owned()));
    let said = cluster.pgbaton(&rejoin(&[])).await.expect(0);
    let did = operations(&said);
    assert!(did.contains(&"rewind".to_owned()), "{did:?}");
    assert!(!did.contains(&"clone".to_owned()), "{did:?}");
    assert_came_back(&cluster, &own(&cluster).await).await;
    assert_eq!(beside(&cluster, "n1"), Vec::<String>::new());
    // Once more: nothing is left to do.
    let said = cluster.pgbaton(&rejoin(&[])).await.expect(0);
    assert_eq!(operations(&said), ["mark"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_row_is_lost_on_the_way_back() {
    let cluster = Cluster::up("rj-rows", 2).await;
    let writer = cluster.writer().await;
    cluster.fault("n1", Fault::Kill).await;
    cluster.pgbaton(&["run", "failover"]).await.expect(0);
    let primary = cluster.primary().await;
    cluster.pgbaton(&rejoin(&[])).await.expect(0);
    cluster.assert_streams("n1", &primary).await;
    let report = writer.finish().await;
    assert_nothing_lost(&cluster, &report, &primary).await;
    let arrived = format!(
        "SELECT pg_last_wal_replay_lsn() >= '{}'",
        cluster.ask(&primary, "SELECT pg_current_wal_lsn()").await
    );
    cluster.until("n1", &arrived, "t").await;
    assert_nothing_lost(&cluster, &report, "n1").await;
}

async fn without_hints(test: &str) -> Cluster {
    let mut options = LabOptions {
        standbys: 1,
        settings: vec![("wal_log_hints".to_owned(), "off".to_owned())],
        ..LabOptions::default()
    };
    options.synchronous.mode = pgbaton::cluster::SyncMode::Off;
    let cluster = Cluster::with(test, options).await;
    diverge(&cluster).await;
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_rewind_is_impossible_nothing_is_changed_unless_a_copy_is_allowed() {
    let cluster = without_hints("rj-clone").await;
    let control = cluster.data("n1").join("global/pg_control");
    let before = (entries(&cluster, "n1"), std::fs::read(&control).unwrap());
    let said = cluster.pgbaton(&rejoin(&[])).await.expect(3);
    assert!(said.all().contains("wal_log_hints"), "{}", said.all());
    assert!(said.all().contains("rebuild=auto"), "{}", said.all());
    assert_eq!(operations(&said), Vec::<String>::new());
    let after = (entries(&cluster, "n1"), std::fs::read(&control).unwrap());
    assert_eq!(before, after);
    let said = cluster
        .pgbaton(&rejoin(&["-p", "rebuild=auto"]))
        .await
        .expect(0);
    assert!(operations(&said).contains(&"clone".to_owned()));
    assert_came_back(&cluster, &own(&cluster).await).await;
    let kept = beside(&cluster, "n1");
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(said.all().contains(&kept[0]), "where it lies is told");
    assert!(
        cluster
            .data("n1")
            .parent()
            .unwrap()
            .join(&kept[0])
            .join("PG_VERSION")
            .exists()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_wal_is_gone_is_copied_with_its_tablespaces() {
    let little = ["wal_keep_size=0", "min_wal_size=32MB", "max_wal_size=32MB"];
    let pair = |text: &&str| {
        let (key, value) = text.split_once('=').unwrap();
        (key.to_owned(), value.to_owned())
    };
    let mut options = LabOptions {
        standbys: 1,
        settings: little.iter().map(pair).collect(),
        ..LabOptions::default()
    };
    options.synchronous.mode = pgbaton::cluster::SyncMode::Off;
    let cluster = Cluster::with("rj-gone", options).await;
    cluster.fault("n2", Fault::Stop).await;
    // Beside the data, so that the server's user may write there.
    let space = cluster.data("n1").parent().unwrap().join("space");
    std::fs::create_dir(&space).unwrap();
    let owner = std::fs::metadata(cluster.data("n1")).unwrap();
    let owner = std::os::unix::fs::MetadataExt::uid(&owner);
    std::os::unix::fs::chown(&space, Some(owner), Some(owner)).unwrap();
    let made = format!("CREATE TABLESPACE far LOCATION '{}'", space.display());
    cluster.tell("n1", &made).await;
    cluster
        .tell(
            "n1",
            "CREATE TABLE there TABLESPACE far AS SELECT generate_series(1, 999)",
        )
        .await;
    cluster
        .tell("n1", "SELECT pg_drop_replication_slot('pgbaton_n2')")
        .await;
    for _ in 0..6 {
        cluster
            .tell("n1", "SELECT pg_logical_emit_message(false, '', '')")
            .await;
        cluster.tell("n1", "SELECT pg_switch_wal()").await;
    }
    cluster.tell("n1", "CHECKPOINT").await;
    let follow = ["run", "follow", "-p", "node=n2", "-p", "upstream=n1"];
    let said = cluster.pgbaton(&follow).await.expect(3);
    assert!(said.all().contains("is gone"), "{}", said.all());
    let back = [
        "--json",
        "run",
        "rejoin",
        "-p",
        "node=n2",
        "-p",
        "rebuild=auto",
        "-p",
        "keep_old=false",
    ];
    cluster.pgbaton(&back).await.expect(0);
    cluster.assert_streams("n2", "n1").await;
    assert_eq!(cluster.ask("n2", "SELECT count(*) FROM there").await, "999");
    let location = "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'far'";
    let (mine, theirs) = (
        cluster.ask("n2", location).await,
        cluster.ask("n1", location).await,
    );
    assert_eq!(Path::new(&theirs), space);
    assert!(mine.starts_with(&format!("{theirs}.pgbaton.")), "{mine}");
    assert_eq!(beside(&cluster, "n2"), Vec::<String>::new());
}

/// The lab's programs, with a `pg_rewind` that waits once it has begun, for as long as a file is there.
fn slow_rewind(cluster: &Cluster) -> PathBuf {
    let text = site(cluster);
    let line = text.lines().find_map(|l| l.trim().strip_prefix("bin: "));
    let bin = line.unwrap().to_owned();
    let slow = cluster.lab.dir().join("slow");
    std::fs::create_dir(&slow).unwrap();
    std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o755)).unwrap();
    for program in std::fs::read_dir(&bin).unwrap().flatten() {
        if program.file_name() != "pg_rewind" {
            std::os::unix::fs::symlink(program.path(), slow.join(program.file_name())).unwrap();
        }
    }
    let hold = cluster.lab.dir().join("hold");
    std::fs::write(&hold, "").unwrap();
    let wrapper = format!(
        "#!/bin/sh\ncase \"$*\" in *--dry-run*|*--help*) ;; *)\n  n=0\n  \
         while [ -e {} ] && [ \"$n\" -lt 600 ]; do n=$((n + 1)); sleep 0.1; done ;;\nesac\nexec {bin}/pg_rewind \"$@\"\n",
        hold.display()
    );
    let path = slow.join("pg_rewind");
    std::fs::write(&path, wrapper).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(
        cluster.lab.site_file(),
        swap(&text, &bin, slow.to_str().unwrap()),
    )
    .unwrap();
    hold
}

/// Everything of a rewind, which nobody's pipe holds.
fn kill_rewind(cluster: &Cluster) {
    let data = cluster.data("n1").display().to_string();
    let mut found = 0;
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let pid: Option<i32> = process.file_name().to_str().and_then(|n| n.parse().ok());
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw)
            && line.contains(&data)
            && line.contains("pg_rewind")
        {
            found += 1;
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
    assert!(found > 0, "no rewind runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_that_died_with_its_runner_is_never_started_and_is_done_again() {
    let cluster = Cluster::asynchronous("rj-dies", 1).await;
    diverge(&cluster).await;
    let hold = slow_rewind(&cluster);
    let mut run = UnderWay::start(cluster.lab.site_file(), &["rejoin", "-p", "node=n1"]);
    let started = run.until(|e| e["event"] == "run_started").await;
    let id = started["run"].as_str().unwrap().to_owned();
    run.until(|e| {
        e["event"] == "effect_intended"
            && e["path"] == "rewind"
            && e["forecast"]["operation"]["operation"] == "rewind"
    })
    .await;
    let mark = cluster.data("n1").join(MARK);
    for _ in 0..600 {
        if mark.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(std::fs::metadata(&mark).unwrap().file_type().is_fifo());
    run.signal(Signal::KILL);
    run.end().await;
    kill_rewind(&cluster);
    std::fs::remove_file(&hold).unwrap();
    // Neither a step that starts it nor a follow brings it up.
    let start = cluster.lab.dir().join("start.yaml");
    std::fs::write(
        &start,
        "playbook: start\nsteps:\n  start: { action: start, node: n1, timeout: 20s }\n",
    )
    .unwrap();
    for arguments in [
        vec!["run", start.to_str().unwrap()],
        vec!["run", "follow", "-p", "node=n1", "-p", "upstream=n2"],
    ] {
        let said = cluster.pgbaton(&arguments).await.expect(3);
        assert!(said.all().contains("did not end"), "{}", said.all());
        assert!(mark.exists());
    }
    let resumed = cluster.pgbaton(&["--json", "runs", "resume", &id]).await;
    resumed.expect(0);
    assert_came_back(&cluster, &own(&cluster).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_outlives_its_runner_and_is_taken_over() {
    let cluster = Cluster::asynchronous("rj-outlive", 1).await;
    diverge(&cluster).await;
    let hold = slow_rewind(&cluster);
    let mut run = UnderWay::start(cluster.lab.site_file(), &["rejoin", "-p", "node=n1"]);
    let started = run.until(|e| e["event"] == "run_started").await;
    let id = started["run"].as_str().unwrap().to_owned();
    let mark = cluster.data("n1").join(MARK);
    for _ in 0..600 {
        if mark.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    run.signal(Signal::KILL);
    run.end().await;
    assert!(mark.exists());
    let resume = ["--json", "runs", "resume", &id];
    let (resumed, ()) = tokio::join!(cluster.pgbaton(&resume), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        std::fs::remove_file(&hold).unwrap();
    });
    resumed.expect(0);
    assert_came_back(&cluster, &own(&cluster).await).await;
}
