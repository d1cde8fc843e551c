//! A node that cannot simply follow comes back: rewound, or copied anew where that is allowed, or left as it was.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod rejoin_support;
mod support;

use pgbaton::lab::{Fault, LabOptions};
use rejoin_support::{
    MARK, assert_came_back, beside, diverge, dressed, entries, kill_all, operations, own, owner,
    rejoin, running, site, under_way, until_there,
};
use rustix::process::Signal;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{Cluster, Said, assert_nothing_lost, swap};

#[tokio::test(flavor = "multi_thread")]
async fn an_old_primary_that_is_ahead_is_rewound_and_streams() {
    let cluster = Cluster::asynchronous("rj-rewind", 1).await;
    diverge(&cluster).await;
    let plan = cluster
        .pgbaton(&["--json", "plan", "rejoin", "-p", "node=n1"])
        .await
        .expect(0);
    assert!(plan.stdout.contains("pg_rewind"), "{}", plan.all());
    // Nobody asks for it here; it is handed to the program all the same, and shows nowhere.
    let secret = "s3cr3t-hunter2";
    let file = cluster.lab.dir().join("password");
    std::fs::write(&file, secret).unwrap();
    let with = format!(
        "user: postgres, password: {{ file: {} }} }}",
        file.display()
    );
    let text = swap(
        &site(&cluster),
        "disable, user: postgres }",
        &format!("disable, {with}"),
    );
    std::fs::write(cluster.lab.site_file(), text).unwrap();
    let seen = "case \"$*\" in *hunter2*) exit 9 ;; esac; [ \"$PGPASSWORD\" = s3cr3t-hunter2 ] || exit 8; real \"$@\"";
    dressed(&cluster, "pg_rewind", seen);
    assert!(entries(&cluster, "n1").contains(&"postmaster.pid".to_owned()));
    let said = cluster.pgbaton(&rejoin(&[])).await.expect(0);
    let did = operations(&said);
    assert!(did.contains(&"rewind".to_owned()), "{did:?}");
    assert!(!did.contains(&"clone".to_owned()), "{did:?}");
    assert!(!said.all().contains(secret) && !plan.all().contains(secret));
    let records = format!("/var/tmp/pgbaton-{}", owner(&cluster));
    let journal = cluster.lab.dir().join("journal").display().to_string();
    let found = std::process::Command::new("grep")
        .args(["-rl", secret, &records, &journal])
        .output();
    assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "");
    assert_came_back(&cluster, &own(&cluster)).await;
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
    // What the failover left to do is told by whoever looks, until it is done.
    let left = cluster.pgbaton(&["--json", "status"]).await.events()[0].clone();
    assert_eq!(left["debts"][0]["owed"]["on"], "n1", "{left}");
    cluster.pgbaton(&rejoin(&[])).await.expect(0);
    cluster.assert_streams("n1", &primary).await;
    let left = cluster.pgbaton(&["--json", "status"]).await.events()[0].clone();
    assert_eq!(left["debts"], serde_json::json!([]));
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
    let (mut run, id) = under_way(&cluster, &["-p", "rebuild=ask"]).await;
    run.until(|e| e["evidence"]["topic"] == "question").await;
    let approve = ["runs", "approve", &id, "ask", "--reason", "OPS-4711"];
    cluster.pgbaton(&approve).await.expect(0);
    let said = run.end().await.expect(0);
    assert!(operations(&said).contains(&"clone".to_owned()));
    assert_came_back(&cluster, &own(&cluster)).await;
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
    let owner = owner(&cluster);
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
    // Kept by somebody when an earlier copy was made.
    let earlier = "data.pgbaton.old.20200101T000000Z";
    std::fs::create_dir(cluster.data("n2").with_file_name(earlier)).unwrap();
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
    assert_eq!(beside(&cluster, "n2"), [earlier]);
}

/// Neither a step that starts it nor a follow brings it up, nor does anybody who knows nothing of pgbaton.
async fn assert_is_not_started(cluster: &Cluster) {
    let text = site(cluster);
    let bin = text.lines().find_map(|l| l.trim().strip_prefix("bin: "));
    let mut service = std::process::Command::new(Path::new(bin.unwrap()).join("pg_ctl"));
    service.args(["-w", "-t", "20", "-l", "/dev/null", "-D"]);
    service.arg(cluster.data("n1")).arg("start");
    let started = service.uid(owner(cluster)).current_dir("/").output();
    assert!(!started.unwrap().status.success());
    let start = cluster.lab.dir().join("start.yaml");
    let text = "playbook: start\nsteps:\n  start: { action: start, node: n1, timeout: 20s }\n";
    std::fs::write(&start, text).unwrap();
    for arguments in [
        vec!["run", start.to_str().unwrap()],
        vec!["run", "follow", "-p", "node=n1", "-p", "upstream=n2"],
    ] {
        let said = cluster.pgbaton(&arguments).await.expect(3);
        assert!(said.all().contains("did not end"), "{}", said.all());
        assert!(cluster.data("n1").join(MARK).exists());
    }
}

/// Its runner dies, and so does the rewind: before it has written anything, and after it has written everything, with the
/// upstream's settings in the place of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_that_died_with_its_runner_is_never_started_and_is_done_again() {
    for (lab, dress) in [
        ("rj-dies", "hold; real \"$@\""),
        ("rj-late", "real \"$@\"; rc=$?; : >HERE; hold; exit $rc"),
    ] {
        let cluster = Cluster::asynchronous(lab, 1).await;
        diverge(&cluster).await;
        let here = cluster.data("n1").parent().unwrap().join("here");
        let dress = dress.replace("HERE", here.to_str().unwrap());
        let hold = dressed(&cluster, "pg_rewind", &dress);
        let (run, id) = under_way(&cluster, &[]).await;
        let mark = cluster.data("n1").join(MARK);
        until_there(&mark).await;
        if lab == "rj-late" {
            until_there(&here).await;
            assert!(cluster.data("n1").join("backup_label").exists());
        }
        assert!(std::fs::metadata(&mark).unwrap().file_type().is_fifo());
        run.signal(Signal::KILL);
        run.end().await;
        kill_all(&cluster, "pg_rewind");
        std::fs::remove_file(&hold).unwrap();
        assert_is_not_started(&cluster).await;
        let resumed = cluster.pgbaton(&["--json", "runs", "resume", &id]).await;
        resumed.expect(0);
        assert_came_back(&cluster, &own(&cluster)).await;
        assert_eq!(beside(&cluster, "n1"), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_outlives_its_runner_and_is_taken_over() {
    let cluster = Cluster::asynchronous("rj-outlive", 1).await;
    diverge(&cluster).await;
    let hold = dressed(&cluster, "pg_rewind", "hold; real \"$@\"");
    let (run, id) = under_way(&cluster, &[]).await;
    until_there(&cluster.data("n1").join(MARK)).await;
    run.signal(Signal::KILL);
    run.end().await;
    let resume = ["--json", "runs", "resume", &id];
    let (resumed, ()) = tokio::join!(cluster.pgbaton(&resume), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        std::fs::remove_file(&hold).unwrap();
    });
    resumed.expect(0);
    assert_came_back(&cluster, &own(&cluster)).await;
}

/// Its settings were those of another node when it broke off; those that were kept are put into the copy.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_rewind_left_is_replaced_where_a_copy_is_allowed() {
    let cluster = Cluster::asynchronous("rj-fails", 1).await;
    diverge(&cluster).await;
    let breaks = "[ \"$1\" = -D ] && echo \"port = 1\" >\"$2/postgresql.auto.conf\"; exit 1";
    dressed(&cluster, "pg_rewind", breaks);
    let said = cluster.pgbaton(&rejoin(&[])).await.expect(3);
    assert!(said.all().contains("half rewound"), "{}", said.all());
    assert!(said.all().contains("rebuild=auto"), "{}", said.all());
    assert_is_not_started(&cluster).await;
    cluster
        .pgbaton(&rejoin(&["-p", "rebuild=auto"]))
        .await
        .expect(0);
    assert_came_back(&cluster, &own(&cluster)).await;
}

/// Cancelled, and then killed, in the middle of a copy.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_breaks_off_leaves_the_data_as_they_were() {
    let cluster = without_hints("rj-breaks").await;
    let control = cluster.data("n1").join("global/pg_control");
    let stands = || (entries(&cluster, "n1"), std::fs::read(&control).unwrap());
    let before = stands();
    let dress = "mkdir \"$2\"; : >\"$2/half\"; hold; rm -rf \"$2\"; real \"$@\"";
    let hold = dressed(&cluster, "pg_basebackup", dress);
    let data = cluster.data("n1").display().to_string();
    let half = PathBuf::from(format!("{data}.pgbaton.new/half"));
    let (run, id) = under_way(&cluster, &["-p", "rebuild=auto"]).await;
    until_there(&half).await;
    let cancel = ["runs", "cancel", &id, "--reason", "OPS-4711"];
    cluster.pgbaton(&cancel).await.expect(0);
    run.end().await.expect(130);
    assert_eq!(stands(), before);
    // What the cancelled one left is no obstacle.
    std::fs::remove_file(&half).unwrap();
    let (run, id) = under_way(&cluster, &["-p", "rebuild=auto"]).await;
    until_there(&half).await;
    run.signal(Signal::KILL);
    run.end().await;
    kill_all(&cluster, "pg_basebackup");
    assert_eq!(std::fs::read(&control).unwrap(), before.1);
    std::fs::remove_file(&hold).unwrap();
    let resumed = cluster.pgbaton(&["--json", "runs", "resume", &id]).await;
    resumed.expect(0);
    assert_came_back(&cluster, &own(&cluster)).await;
    assert_eq!(beside(&cluster, "n1").len(), 1, "the former data alone");
}

/// What became of this operation, each time that it was done.
fn outcomes(said: &Said, operation: &str) -> Vec<String> {
    let of = |events: &[serde_json::Value], effect: &serde_json::Value| {
        let settled = events
            .iter()
            .map(|e| &e["event"])
            .find(|e| e["event"] == "effect_settled" && &e["effect"] == effect);
        settled.map_or_else(String::new, |e| e["outcome"].as_str().unwrap().to_owned())
    };
    let events = said.events();
    let intended = events.iter().map(|e| &e["event"]).filter(|e| {
        e["event"] == "effect_intended" && e["forecast"]["operation"]["operation"] == operation
    });
    intended.map(|e| of(&events, &e["effect"])).collect()
}

/// Not the program but the script that runs it: nobody can tell then how far it came, and nobody claims to. The program is
/// still at work, and no second one begins beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_that_was_killed_is_not_told_as_failed() {
    let cluster = Cluster::asynchronous("rj-killed", 1).await;
    diverge(&cluster).await;
    let hold = dressed(
        &cluster,
        "pg_rewind",
        "[ ! -e HOLD ] || kill -9 $PPID; hold; real \"$@\"",
    );
    let script = std::fs::read_to_string(cluster.lab.dir().join("own/pg_rewind")).unwrap();
    let script = script.replace("HOLD", hold.to_str().unwrap());
    std::fs::write(cluster.lab.dir().join("own/pg_rewind"), script).unwrap();
    let said = cluster.pgbaton(&rejoin(&[])).await.expect(3);
    let ends = outcomes(&said, "rewind");
    assert!(
        ends.len() > 1 && ends.iter().all(|e| e == "unknown"),
        "{ends:?}: {}",
        said.all()
    );
    assert!(
        said.all().contains("it was killed before its end"),
        "{}",
        said.all()
    );
    assert!(said.all().contains("is still at work"), "{}", said.all());
    assert_is_not_started(&cluster).await;
    std::fs::remove_file(&hold).unwrap();
    let label = cluster.data("n1").join("backup_label");
    until_there(&label).await;
    while running(&cluster, "pg_rewind") > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster.pgbaton(&rejoin(&[])).await.expect(0);
    assert_came_back(&cluster, &own(&cluster)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_killed_is_not_told_as_failed() {
    let cluster = without_hints("rj-ckilled").await;
    let control = cluster.data("n1").join("global/pg_control");
    let before = std::fs::read(&control).unwrap();
    dressed(&cluster, "pg_basebackup", "kill -9 $PPID");
    let said = cluster.pgbaton(&rejoin(&["-p", "rebuild=auto"])).await;
    let ends = outcomes(&said, "clone");
    assert!(
        !ends.is_empty() && ends.iter().all(|e| e == "unknown"),
        "{ends:?} {}",
        said.all()
    );
    assert_ne!(said.code, 0);
    assert_eq!(std::fs::read(&control).unwrap(), before);
}

/// A program of another release than the data is found before the node is touched.
#[tokio::test(flavor = "multi_thread")]
async fn programs_of_another_release_are_refused_before_anything_is_changed() {
    let cluster = Cluster::asynchronous("rj-release", 1).await;
    diverge(&cluster).await;
    let before = entries(&cluster, "n1");
    let old = "#!/bin/sh\necho 'pg_rewind (PostgreSQL) 9.6.24'\n";
    dressed(&cluster, "pg_rewind", "exit 9");
    std::fs::write(cluster.lab.dir().join("own/pg_rewind"), old).unwrap();
    let said = cluster.pgbaton(&rejoin(&[])).await.expect(3);
    assert!(said.all().contains("is of release 9"), "{}", said.all());
    let copies = cluster.lab.dir().join("own/pg_basebackup");
    std::fs::remove_file(&copies).unwrap();
    std::fs::write(&copies, old).unwrap();
    std::fs::set_permissions(&copies, std::fs::Permissions::from_mode(0o755)).unwrap();
    let said = cluster
        .pgbaton(&rejoin(&["-p", "rebuild=auto"]))
        .await
        .expect(3);
    assert!(said.all().contains("none can be made"), "{}", said.all());
    assert_eq!(operations(&said), Vec::<String>::new());
    assert_eq!(entries(&cluster, "n1"), before);
}
