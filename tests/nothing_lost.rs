//! What a promotion would lose is found out, whatever the standbys and the tools say, or nothing is promoted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod support;

use pgbaton::lab::Fault;
use std::path::PathBuf;
use support::{Cluster, stock, swap};

/// The directory of the server's programs, as the site file names it.
fn bin(cluster: &Cluster) -> PathBuf {
    let site = std::fs::read_to_string(cluster.lab.site_file()).unwrap();
    let line = site
        .lines()
        .find_map(|line| line.trim().strip_prefix("bin: "));
    PathBuf::from(line.unwrap())
}

/// `pg_ctl` on a node's data directory, as the user who owns it.
fn pg_ctl(cluster: &Cluster, node: &str, arguments: &[&str]) {
    let data = cluster.data(node);
    let owner = std::os::unix::fs::MetadataExt::uid(&data.metadata().unwrap()).to_string();
    let mut command = std::process::Command::new("setpriv");
    command
        .args([&format!("--reuid={owner}"), "--clear-groups", "--"])
        .arg(bin(cluster).join("pg_ctl"))
        .args(["-w", "-s", "-D"])
        .arg(&data)
        .arg("-l")
        .arg(data.join("test.log"))
        .args(arguments)
        .current_dir("/");
    let status = command
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{command:?}");
}

async fn assert_nobody_was_promoted(cluster: &Cluster, standbys: &[&str]) {
    for node in standbys {
        let standby = cluster.ask(node, "SELECT pg_is_in_recovery()").await;
        assert_eq!(standby, "t", "{node} was promoted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn standbys_of_an_older_timeline_do_not_replace_what_was_written_since() {
    let cluster = Cluster::asynchronous("nl-timeline", 2).await;
    cluster.fault("n3", Fault::Stop).await;
    cluster.fault("n1", Fault::Kill).await;
    cluster.pgbaton(&["run", "failover"]).await.expect(4);
    assert_eq!(cluster.primary().await, "n2");
    // Only n2 has this, and it is a small part of a segment: by positions alone n3 would lack nothing.
    cluster.tell("n2", "CREATE TABLE only_here (id int)").await;
    cluster.fault("n2", Fault::Kill).await;
    cluster.fault("n3", Fault::Start).await;
    let said = cluster
        .pgbaton(&["run", "failover", "-p", "old_primary=n2"])
        .await
        .expect(6);
    assert!(
        said.all()
            .contains("n2 was on timeline 2, the standbys are on 1"),
        "{}",
        said.all()
    );
    assert_nobody_was_promoted(&cluster, &["n3"]).await;
    let conninfo = cluster.ask("n3", "SHOW primary_conninfo").await;
    assert_ne!(conninfo, "", "it is unfrozen: {}", said.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_standby_holds_is_streamed_whole_or_nobody_is_promoted() {
    let cluster = Cluster::up("nl-delayed", 2).await;
    cluster.fault("n2", Fault::Stop).await;
    cluster
        .tell("n3", "ALTER SYSTEM SET recovery_min_apply_delay = '1h'; ")
        .await;
    cluster.tell("n3", "SELECT pg_reload_conf()").await;
    // Acknowledged by n3, which has it on disk and does not replay it.
    cluster
        .tell(
            "n1",
            "CREATE TABLE late AS SELECT generate_series(1, 50000)",
        )
        .await;
    cluster.fault("n1", Fault::Kill).await;
    // After a restart it does not count as received what it has yet to replay.
    pg_ctl(&cluster, "n3", &["-m", "fast", "restart"]);
    cluster.fault("n2", Fault::Start).await;
    let site = std::fs::read_to_string(cluster.lab.site_file()).unwrap();
    let at = site.find("n3:").unwrap();
    let line = at + site[at..].find('\n').unwrap() + 1;
    let never = format!("{}        promote: never\n{}", &site[..line], &site[line..]);
    std::fs::write(cluster.lab.site_file(), never).unwrap();
    let playbook = cluster.lab.dir().join("failover.yaml");
    let hasty = swap(
        &stock("failover"),
        "to: \"{{ steps.choose.position }}\" }\n    timeout: 60s",
        "to: \"{{ steps.choose.position }}\" }\n    timeout: 3s",
    );
    std::fs::write(&playbook, hasty).unwrap();
    let said = cluster
        .pgbaton(&["run", playbook.to_str().unwrap()])
        .await
        .expect(1);
    assert!(said.all().contains("n3 holds up to"), "{}", said.all());
    assert!(
        said.all().contains("recovery_min_apply_delay"),
        "{}",
        said.all()
    );
    assert_nobody_was_promoted(&cluster, &["n2", "n3"]).await;
    // Once it replays, the same playbook loses nothing.
    cluster
        .tell("n3", "ALTER SYSTEM RESET recovery_min_apply_delay")
        .await;
    cluster.tell("n3", "SELECT pg_reload_conf()").await;
    let replayed = "SELECT count(*) FROM pg_tables WHERE tablename = 'late'";
    cluster.until("n3", replayed, "1").await;
    cluster
        .pgbaton(&["run", "failover", "-p", "old_primary=n1"])
        .await
        .expect(0);
    assert_eq!(cluster.primary().await, "n2");
    assert_eq!(
        cluster.ask("n2", "SELECT count(*) FROM late").await,
        "50000"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wal_that_cannot_be_read_is_not_taken_for_wal_that_is_not_there() {
    let cluster = Cluster::asynchronous("nl-waldump", 1).await;
    cluster.fault("n2", Fault::Stop).await;
    cluster
        .tell(
            "n1",
            "CREATE TABLE many AS SELECT generate_series(1, 50000)",
        )
        .await;
    cluster.fault("n1", Fault::Kill).await;
    cluster.fault("n2", Fault::Start).await;
    // The server's programs, but one that reads WAL and does not get to its end.
    let bin = bin(&cluster);
    let less = cluster.lab.dir().join("less");
    std::fs::create_dir(&less).unwrap();
    for program in std::fs::read_dir(&bin).unwrap().flatten() {
        if program.file_name() != "pg_waldump" {
            std::os::unix::fs::symlink(program.path(), less.join(program.file_name())).unwrap();
        }
    }
    let broken = less.join("pg_waldump");
    std::fs::write(
        &broken,
        "#!/bin/sh\necho 'pg_waldump: error: could not open file' >&2\nexit 1\n",
    )
    .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&broken, mode).unwrap();
    let site = std::fs::read_to_string(cluster.lab.site_file()).unwrap();
    let without = cluster.lab.dir().join("without.yaml");
    let text = swap(&site, bin.to_str().unwrap(), less.to_str().unwrap());
    std::fs::write(&without, text).unwrap();
    let said = support::pgbaton(&["--site", without.to_str().unwrap(), "run", "failover"])
        .await
        .expect(3);
    assert!(said.all().contains("unknown, at least"), "{}", said.all());
    assert!(said.all().contains("could not open file"), "{}", said.all());
    assert_nobody_was_promoted(&cluster, &["n2"]).await;
    // Without the program the records are followed one by one; with it, it is asked. The loss is a number, and too great.
    std::fs::remove_file(&broken).unwrap();
    let said = support::pgbaton(&["--site", without.to_str().unwrap(), "run", "failover"])
        .await
        .expect(3);
    assert!(
        said.all().contains("promotion would lose WAL: "),
        "{}",
        said.all()
    );
    let said = cluster.pgbaton(&["run", "failover"]).await.expect(3);
    assert!(
        said.all().contains("promotion would lose WAL: "),
        "{}",
        said.all()
    );
    assert!(!said.all().contains("unknown, at least"), "{}", said.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_only_this_host_cannot_reach_is_not_cut_off() {
    let cluster = Cluster::up("nl-alias", 2).await;
    // This host knows n1 by an address at which nobody listens, and commands reach no standby.
    let site = std::fs::read_to_string(cluster.lab.site_file()).unwrap();
    let n1 = site.find("n1:").unwrap();
    let moved = format!(
        "{}{}",
        &site[..n1],
        site[n1..].replacen("127.0.0.1", "127.0.0.2", 1)
    );
    let file = cluster.lab.dir().join("alias.yaml");
    let run = async |text: &str| {
        std::fs::write(&file, text).unwrap();
        let fence = [
            "-p",
            "fence_command=[\"true\"]",
            "-p",
            "fence_check=[\"true\"]",
        ];
        let all = [
            &[
                "--site",
                file.to_str().unwrap(),
                "--json",
                "run",
                "failover",
                "-p",
                "old_primary=n1",
            ][..],
            &fence,
        ];
        support::pgbaton(&all.concat()).await.expect(3)
    };
    for text in [moved.clone(), without_commands(&moved)] {
        let said = run(&text).await;
        assert!(said.intended().is_empty(), "{:?}", said.intended());
        assert!(
            said.all().contains("it may be alive under another address")
                || said.all().contains("may be n1 under another name")
                || said
                    .all()
                    .contains("no standby could try a connection of its own"),
            "{}",
            said.all()
        );
    }
    assert_eq!(cluster.primary().await, "n1");
}

/// The site file with commands to every node switched off.
fn without_commands(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| match line.split_once("transport:") {
            Some((before, _)) => format!("{before}transport: none"),
            None => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_may_receive_from_several_hosts_is_frozen_and_follows() {
    let cluster = Cluster::asynchronous("nl-hosts", 2).await;
    let ports = ["n2", "n3", "n1"].map(|n| cluster.endpoint(n).port.to_string());
    let conninfo = cluster.ask("n3", "SHOW primary_conninfo").await;
    let port = format!("port={}", ports[2]);
    let several = swap(&conninfo, &port, &format!("port={}", ports.join(",")))
        .replace("host=127.0.0.1", "host=127.0.0.1,127.0.0.1,127.0.0.1")
        + " target_session_attrs=read-write";
    let several = several.replace('\'', "''");
    cluster
        .tell(
            "n3",
            &format!("ALTER SYSTEM SET primary_conninfo = '{several}'"),
        )
        .await;
    cluster.tell("n3", "SELECT pg_reload_conf()").await;
    cluster.assert_streams("n3", "n1").await;
    cluster.fault("n1", Fault::Kill).await;
    let said = cluster
        .pgbaton(&[
            "run",
            "failover",
            "-p",
            "candidate=n2",
            "-p",
            "old_primary=n1",
        ])
        .await
        .expect(0);
    assert!(said.all().contains("follow[n3]"), "{}", said.all());
    cluster.assert_streams("n3", "n2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_cannot_be_frozen_does_not_count_and_is_named() {
    let cluster = Cluster::asynchronous("nl-stubborn", 2).await;
    let conninfo = cluster.ask("n3", "SHOW primary_conninfo").await;
    let option = format!("-c \"primary_conninfo={}\"", conninfo.replace('\'', ""));
    pg_ctl(&cluster, "n3", &["-m", "fast", "stop"]);
    pg_ctl(&cluster, "n3", &["-o", &option, "start"]);
    cluster.assert_streams("n3", "n1").await;
    cluster.fault("n1", Fault::Kill).await;
    let said = cluster.pgbaton(&["run", "failover"]).await.expect(4);
    assert_eq!(cluster.primary().await, "n2", "{}", said.all());
    assert!(
        said.all().contains("n3: it is not frozen"),
        "{}",
        said.all()
    );
    assert!(said.all().contains("freeze[n3]"), "{}", said.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_started_gets_nothing_of_our_environment() {
    let cluster = Cluster::asynchronous("nl-environ", 1).await;
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgbaton"))
        .args([
            "--site",
            cluster.lab.site_file().to_str().unwrap(),
            "run",
            "follow",
        ])
        .args(["-p", "node=n2", "-p", "upstream=n1", "-p", "apply=restart"])
        .env("PGSERVICE", "nosuch")
        .env("PGBATON_TEST_SECRET", "hunter2")
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    cluster.assert_streams("n2", "n1").await;
    let pid = std::fs::read_to_string(cluster.data("n2").join("postmaster.pid")).unwrap();
    let environ = format!("/proc/{}/environ", pid.lines().next().unwrap());
    let environ = String::from_utf8(std::fs::read(environ).unwrap()).unwrap();
    assert!(environ.contains("PATH="), "{environ}");
    for leaked in ["nosuch", "hunter2"] {
        assert!(!environ.contains(leaked), "{environ}");
    }
}
