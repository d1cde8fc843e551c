//! What would keep a standby from following or from being promoted is found before anything is changed, and named with the node
//! and with what to do about it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod live_support;
mod support;

use live_support::BIN;
use pgbaton::lab::{Fault, LabOptions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::{Cluster, Said, name, stock, swap};

async fn follow(cluster: &Cluster, node: &str, upstream: &str) -> Said {
    let (node, upstream) = (format!("node={node}"), format!("upstream={upstream}"));
    cluster
        .pgbaton(&["--json", "run", "follow", "-p", &node, "-p", &upstream])
        .await
}

/// Refused with these words, and nothing was changed.
#[track_caller]
fn assert_refused(said: Said, words: &[&str]) {
    let said = said.expect(3);
    for word in words {
        assert!(said.all().contains(word), "`{word}`: {}", said.all());
    }
    // A mark in the WAL, by which `switchover` sees that a standby keeps up, changes nothing.
    let mut intended = said.intended();
    intended.retain(|(_, o)| o["operation"] != "mark");
    assert!(intended.is_empty(), "{intended:?}");
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).status().unwrap();
    assert!(done.success(), "{program} {arguments:?}");
}

/// Something that is mounted, and is not any more when the test ends.
struct Mounted(PathBuf);

impl Mounted {
    fn new(what: &[&str], at: &Path) -> Self {
        let arguments = [what, &[at.to_str().unwrap()]].concat();
        run("mount", &arguments);
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A disk of its own for the WAL of a node that is down, with this much on it. It has to outlive the cluster.
struct SmallDisk {
    filler: PathBuf,
    mounted: Mounted,
    _below: tempfile::TempDir,
}

impl SmallDisk {
    fn under(cluster: &Cluster, node: &str) -> Self {
        let below = tempfile::tempdir().unwrap();
        // The server's user has to get there.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(below.path(), open).unwrap();
        let mounted = Mounted::new(&["-t", "tmpfs", "-o", "size=160m", "tmpfs"], below.path());
        let (wal, moved) = (
            cluster.data(node).join("pg_wal"),
            below.path().join("pg_wal"),
        );
        run(
            "cp",
            &["-a", wal.to_str().unwrap(), moved.to_str().unwrap()],
        );
        std::fs::remove_dir_all(&wal).unwrap();
        symlink(&moved, &wal).unwrap();
        Self {
            filler: below.path().join("filler"),
            mounted,
            _below: below,
        }
    }

    /// Leaves this many MiB on it.
    fn leave(&self, free: u64) {
        let _ = std::fs::remove_file(&self.filler);
        let space = rustix::fs::statvfs(&self.mounted.0).unwrap();
        let now = space.f_bavail * space.f_frsize;
        let fill = now.saturating_sub(free << 20);
        std::fs::write(&self.filler, vec![0_u8; usize::try_from(fill).unwrap()]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_wal_refuses_a_follow_and_passes_a_candidate_over() {
    if !is_root() {
        return;
    }
    let cluster = Cluster::asynchronous("pc-full", 2).await;
    cluster.fault("n2", Fault::Stop).await;
    let disk = SmallDisk::under(&cluster, "n2");
    cluster.fault("n2", Fault::Start).await;
    cluster.assert_streams("n2", "n1").await;
    disk.leave(10);
    let words = [
        "n2 is not fit to follow n3",
        "the disk of its WAL has",
        "make room",
    ];
    assert_refused(follow(&cluster, "n2", "n3").await, &words);
    cluster.assert_streams("n2", "n1").await;
    // Nobody is handed the cluster who cannot write.
    let arguments = ["--json", "run", "switchover", "-p", "candidate=n2"];
    let words = ["n2 is not fit to be promoted", "the disk of its WAL has"];
    assert_refused(cluster.pgbaton(&arguments).await, &words);
    // By its name it would be the first.
    cluster.until_replayed("n1", &["n2", "n3"]).await;
    cluster.fault("n1", Fault::Kill).await;
    let refused = cluster
        .pgbaton(&["--json", "run", "failover", "-p", "candidate=n2"])
        .await
        .expect(3);
    let why = "n2 cannot be promoted: the disk of its WAL";
    assert!(refused.all().contains(why), "{}", refused.all());
    let said = cluster.pgbaton(&["--json", "run", "failover"]).await;
    assert_eq!(cluster.primary().await, "n3", "{}", said.all());
    // With room it follows.
    disk.leave(100);
    follow(&cluster, "n2", "n3").await.expect(0);
    cluster.until_replayed("n3", &["n2"]).await;
    drop(cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_died_of_a_full_disk_is_failed_over() {
    if !is_root() {
        return;
    }
    let cluster = Cluster::asynchronous("pc-died", 1).await;
    cluster.fault("n1", Fault::Stop).await;
    let disk = SmallDisk::under(&cluster, "n1");
    cluster.fault("n1", Fault::Start).await;
    cluster.assert_streams("n2", "n1").await;
    disk.leave(1);
    let client = cluster.client("n1").await;
    let fill = "CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 300000)";
    assert!(
        client.batch_execute(fill).await.is_err(),
        "there is no room"
    );
    for _ in 0..600 {
        if !cluster.data("n1").join("postmaster.pid").exists() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let loss = "accept_loss=the test: what did not fit on the disk";
    cluster
        .pgbaton(&["run", "failover", "-p", loss])
        .await
        .expect(0);
    assert_eq!(cluster.primary().await, "n2");
    drop(cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settings_file_that_cannot_be_changed_refuses_a_follow() {
    if !is_root() {
        return;
    }
    let cluster = Cluster::asynchronous("pc-conf", 2).await;
    let file = cluster.data("n3").join("postgresql.auto.conf");
    let kept = cluster.data("n3").join("kept.conf");
    // A link to nowhere.
    std::fs::rename(&file, &kept).unwrap();
    symlink("/nowhere/auto.conf", &file).unwrap();
    let words = [
        "n3 is not fit to follow n2",
        "postgresql.auto.conf is a link to /nowhere/auto.conf",
    ];
    assert_refused(follow(&cluster, "n3", "n2").await, &words);
    std::fs::remove_file(&file).unwrap();
    // Of another owner, who keeps it to himself.
    std::fs::copy(&kept, &file).unwrap();
    chown(&file, Some(0), Some(0)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let words = ["postgresql.auto.conf belongs to", "may not be read"];
    assert_refused(follow(&cluster, "n3", "n2").await, &words);
    std::fs::remove_file(&file).unwrap();
    std::fs::rename(&kept, &file).unwrap();
    // Mounted from elsewhere: it cannot be replaced.
    let mounted = Mounted::new(&["--bind", file.to_str().unwrap()], &file);
    assert_refused(
        follow(&cluster, "n3", "n2").await,
        &["is mounted there and cannot be replaced"],
    );
    drop(mounted);
    cluster.assert_streams("n3", "n1").await;
    follow(&cluster, "n3", "n2").await.expect(0);
    cluster.assert_streams("n3", "n2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_lower_than_the_next_primarys_are_named_by_a_failover_and_mended_by_a_restart() {
    let higher = ("max_connections".to_owned(), "150".to_owned());
    let options = LabOptions {
        node_settings: [(name("n2"), vec![higher])].into(),
        ..LabOptions::default()
    };
    let cluster = Cluster::with("pc-lower", options).await;
    let low = cluster.ask("n3", "SHOW max_connections").await;
    cluster.until_replayed("n1", &["n2", "n3"]).await;
    cluster.fault("n1", Fault::Stop).await;
    let arguments = ["--json", "run", "failover", "-p", "candidate=n2"];
    let said = cluster.pgbaton(&arguments).await.expect(0);
    let named = format!("n3: max_connections is {low}, 150 on n2");
    assert!(said.all().contains(&named), "{}", said.all());
    // It stands still, and is told what to do.
    cluster
        .until("n3", "SELECT pg_is_wal_replay_paused()", "t")
        .await;
    let words = ["n3 is not fit to follow n2", "raise it"];
    assert_refused(follow(&cluster, "n3", "n2").await, &words);
    cluster
        .tell("n3", "ALTER SYSTEM SET max_connections = 150")
        .await;
    cluster.fault("n3", Fault::Stop).await;
    follow(&cluster, "n3", "n2").await.expect(0);
    cluster.tell("n2", "CREATE TABLE since ()").await;
    cluster.until_replayed("n2", &["n3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_lower_than_the_next_primarys_refuse_a_switchover() {
    let higher = ("max_connections".to_owned(), "150".to_owned());
    let options = LabOptions {
        node_settings: [(name("n2"), vec![higher])].into(),
        ..LabOptions::default()
    };
    let cluster = Cluster::with("pc-low", options).await;
    let arguments = ["--json", "run", "switchover", "-p", "candidate=n2"];
    let said = cluster.pgbaton(&arguments).await;
    let low = cluster.ask("n3", "SHOW max_connections").await;
    let words = [
        "n3 is not fit to follow n2",
        "n1 is not fit to follow n2",
        &format!("max_connections is {low}, 150 on n2"),
    ];
    assert_refused(said, &words);
    assert_eq!(cluster.primary().await, "n1");
    // Below a standby that is no primary its settings do not matter.
    follow(&cluster, "n3", "n2").await.expect(0);
    follow(&cluster, "n3", "n1").await.expect(0);
    // What would not start again is not restarted.
    cluster
        .tell("n3", "ALTER SYSTEM SET max_connections = 20")
        .await;
    let arguments = [
        "--json",
        "run",
        "follow",
        "-p",
        "node=n3",
        "-p",
        "upstream=n2",
        "-p",
        "apply=restart",
    ];
    let words = [
        "n3 is not fit to follow n2",
        "max_connections is 20 in its files",
    ];
    assert_refused(cluster.pgbaton(&arguments).await, &words);
    cluster.assert_streams("n3", "n1").await;
    cluster.fault("n3", Fault::Stop).await;
    let words = [
        "n3 is not fit to follow n1",
        "max_connections is 20 in its files",
    ];
    assert_refused(follow(&cluster, "n3", "n1").await, &words);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_receiver_of_its_name_refuses_a_follow() {
    let cluster = Cluster::asynchronous("pc-double", 2).await;
    let endpoint = cluster.endpoint("n2");
    let into = tempfile::tempdir().unwrap();
    let mut thief = Command::new(format!("{BIN}/pg_receivewal"))
        .args(["-h", &endpoint.host, "-p", &endpoint.port.to_string()])
        .args(["-U", &endpoint.user, "-D"])
        .arg(into.path())
        .env("PGAPPNAME", "n3")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    cluster.assert_streams("n3", "n2").await;
    let said = follow(&cluster, "n3", "n2").await;
    thief.kill().unwrap();
    thief.wait().unwrap();
    let words = [
        "another program receives from n2 under its name (`n3`",
        "application_name",
    ];
    assert_refused(said, &words);
    let gone = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'n3'";
    cluster.until("n2", gone, "0").await;
    follow(&cluster, "n3", "n2").await.expect(0);
    // Its own stream is no stranger.
    follow(&cluster, "n3", "n2").await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stray_history_file_refuses_a_follow_and_so_does_one_that_is_missing_upstream() {
    let cluster = Cluster::asynchronous("pc-history", 2).await;
    let own = |node: &str, timeline: u32| {
        let file = format!("pg_wal/{timeline:08X}.history");
        cluster.data(node).join(file)
    };
    // Somebody restored an archive of another life of this cluster into its WAL.
    let stray = own("n3", 7);
    std::fs::write(&stray, "1\t0/1000000\tno recovery target specified\n").unwrap();
    let about = std::fs::metadata(cluster.data("n3")).unwrap();
    chown(&stray, Some(about.uid()), Some(about.gid())).unwrap();
    let words = [
        "n3 has a history file of timeline 7",
        "take 00000007.history out of pg_wal of n3",
    ];
    assert_refused(follow(&cluster, "n3", "n2").await, &words);
    cluster.assert_streams("n3", "n1").await;
    std::fs::remove_file(&stray).unwrap();
    // Now the other way round: the new primary lost the file that says where it comes from.
    cluster.until_replayed("n1", &["n2", "n3"]).await;
    cluster.fault("n1", Fault::Stop).await;
    let arguments = ["run", "failover", "-p", "candidate=n2"];
    cluster.pgbaton(&arguments).await.expect(0);
    let kept = own("n2", 2).with_extension("kept");
    std::fs::rename(own("n2", 2), &kept).unwrap();
    let words = [
        "failed to read the history of timeline 2",
        "00000002.history",
        "put it back",
    ];
    let said = follow(&cluster, "n1", "n2").await;
    assert!(said.intended().is_empty(), "{:?}", said.intended());
    assert_ne!(said.code, 0);
    for word in words {
        assert!(said.all().contains(word), "`{word}`: {}", said.all());
    }
    std::fs::rename(&kept, own("n2", 2)).unwrap();
    follow(&cluster, "n1", "n2").await.expect(0);
}

/// Processes of a node by their title.
fn processes(cluster: &Cluster, node: &str, title: &str) -> Vec<rustix::process::Pid> {
    let data = cluster.data(node);
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let pid: Option<i32> = entry.file_name().to_str().and_then(|n| n.parse().ok());
        let here = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == data);
        let said = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).replace('\0', " ");
        if let Some(pid) = pid
            && here
            && said.contains(title)
        {
            found.extend(rustix::process::Pid::from_raw(pid));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_that_waits_for_replay_says_how_much_there_is_and_holds_in_the_end() {
    let cluster = Cluster::asynchronous("pc-backlog", 1).await;
    let startup = processes(&cluster, "n2", "startup");
    let [startup] = startup[..] else {
        panic!("{startup:?}")
    };
    rustix::process::kill_process(startup, rustix::process::Signal::STOP).unwrap();
    let fill = "CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)";
    cluster.tell("n1", fill).await;
    let end = cluster.ask("n1", "SELECT pg_current_wal_flush_lsn()").await;
    let received = format!("SELECT flush_lsn >= '{end}' FROM pg_stat_replication");
    cluster.until("n1", &received, "t").await;
    cluster.fault("n1", Fault::Stop).await;
    let hasty = swap(
        &stock("failover"),
        "proof }}\" }\n    timeout: 90s",
        "proof }}\" }\n    timeout: 5s",
    );
    let playbook = cluster.lab.dir().join("hasty.yaml");
    std::fs::write(&playbook, hasty).unwrap();
    let arguments = ["--json", "run", playbook.to_str().unwrap()];
    let said = cluster.pgbaton(&arguments).await.expect(6);
    rustix::process::kill_process(startup, rustix::process::Signal::CONT).unwrap();
    assert!(said.all().contains("still to replay"), "{}", said.all());
    let noted = said.events().into_iter().find_map(|e| {
        let evidence = &e["event"]["evidence"];
        (evidence["topic"] == "backlog").then(|| evidence["data"]["bytes"].as_i64().unwrap())
    });
    assert!(noted.is_some_and(|bytes| bytes > 10_000_000), "{noted:?}");
    // It was heard, and completes.
    cluster.until("n2", "SELECT pg_is_in_recovery()", "f").await;
    cluster
        .until("n2", "SELECT count(*) FROM big", "20000")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_command_that_fails_is_of_no_account_and_one_that_hangs_is_not_waited_for() {
    let cluster = Cluster::asynchronous("pc-restore", 2).await;
    for (node, command) in [("n2", "sleep 25; false"), ("n3", "false")] {
        let set = format!("ALTER SYSTEM SET restore_command = '{command}'");
        cluster.tell(node, &set).await;
        cluster.tell(node, "SELECT pg_reload_conf()").await;
        cluster.until(node, "SHOW restore_command", command).await;
    }
    cluster.until_replayed("n1", &["n2", "n3"]).await;
    cluster.fault("n1", Fault::Stop).await;
    // Without its upstream it turns to its archive.
    let waits = "SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'";
    cluster.until("n2", waits, "RestoreCommand").await;
    let said = cluster
        .pgbaton(&["--json", "run", "failover"])
        .await
        .expect(0);
    assert_eq!(cluster.primary().await, "n3", "{}", said.all());
    cluster.assert_streams("n2", "n3").await;
    for (node, command) in [("n2", "sleep 25; false"), ("n3", "false")] {
        assert_eq!(cluster.ask(node, "SHOW restore_command").await, command);
    }
}
