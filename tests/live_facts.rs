//! What is read from real servers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod live_support;

use live_support::{BIN, Pair, name, run};
use pgbaton::cluster::{
    ControlState, Lsn, Observe, Reach, SecretSource, StartupState, Timeline, TroubleKind, WalStatus,
};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_primary_and_its_standby_are_seen_as_they_are() {
    let pair = Pair::new().await;
    let live = pair.live();
    let (n1, n2) = (name("n1"), name("n2"));
    assert_eq!(live.warm().await, vec![]);

    let primary = live.server(&n1).await.unwrap();
    assert!(!primary.in_recovery);
    assert_eq!(primary.version / 10_000, 15);
    assert!(primary.written.is_some() && primary.received.is_none());
    assert_eq!((primary.senders, primary.receiver_pid), (1, None));
    assert_eq!(primary.startup, StartupState::NotSeen);

    pair.until("n2 has drained", async |live| {
        live.server(&n2).await.is_ok_and(|s| s.drained())
    })
    .await;
    let standby = live.server(&n2).await.unwrap();
    assert!(standby.in_recovery && standby.written.is_none());
    let receiver = standby.receiver.unwrap();
    assert_eq!(receiver.status, "streaming");
    assert_eq!(
        (receiver.host.as_str(), receiver.port),
        ("127.0.0.1", pair.port("n1"))
    );
    assert_eq!(receiver.slot.unwrap(), n2.slot());
    assert_eq!(receiver.timeline, Some(Timeline(1)));
    assert!(receiver.silent_ms.unwrap() >= 0);
    assert_eq!(standby.receiver_pid, Some(receiver.pid));

    let identity = live.identify(&n1).await.unwrap();
    assert_eq!(identity.timeline, Timeline(1));
    assert_eq!(identity.system, live.identify(&n2).await.unwrap().system);
    assert!(
        live.history(&n1, Timeline(1))
            .await
            .unwrap()
            .forks
            .is_empty()
    );
    let missing = live.history(&n1, Timeline(7)).await.unwrap_err();
    assert_eq!(missing.kind, TroubleKind::Failed, "{missing}");

    let senders = live.senders(&n1).await.unwrap();
    assert_eq!((senders.len(), senders[0].application.as_str()), (1, "n2"));
    let (slots, limit) = live.slots(&n1).await.unwrap();
    assert_eq!((slots.len(), limit), (1, 4));
    assert!(slots[0].physical && slots[0].active_pid.is_some());
    assert_eq!(slots[0].wal_status, WalStatus::Reserved);
    assert_eq!(live.slots(&n2).await.unwrap(), (vec![], 4));

    assert_eq!(live.upstream(&n1).await.unwrap(), None);
    let upstream = live.upstream(&n2).await.unwrap();
    assert_eq!(upstream, Some(("127.0.0.1".to_owned(), pair.port("n1"))));

    let remembered = live.remembered(&n1);
    assert_eq!(remembered.receivers.unwrap().value, ["n2"]);
    assert_eq!(remembered.synchronous_commit.unwrap().value, "on");
    assert_eq!(remembered.position.unwrap().value.0, Timeline(1));
    assert!(
        live.remembered(&n2).position.is_none(),
        "a standby is not remembered"
    );
}

#[tokio::test]
async fn a_setting_that_may_hold_a_password_stays_on_the_server() {
    let pair = Pair::new().await;
    let n2 = name("n2");
    let names = [
        "primary_conninfo",
        "primary_slot_name",
        "no_such_setting",
        "port",
    ];
    let settings = pair.live().settings(&n2, &names).await.unwrap();
    assert_eq!(settings.len(), 3);
    let conninfo = &settings["primary_conninfo"];
    assert!(conninfo.secret && conninfo.set && conninfo.value.is_empty());
    assert_eq!(conninfo.context, "sighup");
    assert_eq!(settings["primary_slot_name"].value, "pgbaton_n2");
    assert_eq!(settings["port"].source, "configuration file");
}

#[tokio::test]
async fn the_host_tells_what_runs_and_what_the_control_file_says() {
    let pair = Pair::new().await;
    let live = pair.live();
    let (n1, n2) = (name("n1"), name("n2"));
    let host = live.host(&n2).await.unwrap();
    assert_eq!(host.postmaster, u32::try_from(pair.postmaster("n2")).ok());
    assert_eq!(host.postmaster_status.as_deref(), Some("ready"));
    assert_eq!(host.orphans, vec![]);
    assert!(host.standby_signal);
    assert!(host.shared_memory_attached.unwrap() > 1);
    let control = host.control.unwrap();
    assert_eq!(control.state, ControlState::ArchiveRecovery);
    assert_eq!(control.system, live.identify(&n1).await.unwrap().system);

    run(&[
        &format!("{BIN}/pg_ctl"),
        "-D",
        &pair.data("n1"),
        "-m",
        "fast",
        "-w",
        "-s",
        "stop",
    ]);
    let stopped = live.host(&n1).await.unwrap();
    assert_eq!((stopped.postmaster, stopped.orphans.len()), (None, 0));
    let control = stopped.control.unwrap();
    assert_eq!(control.state, ControlState::ShutDown);
    // As the program that came with the server reads the file.
    let printed = std::process::Command::new(format!("{BIN}/pg_controldata"))
        .args(["-D", &pair.data("n1")])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let says = |name: &str| {
        let mut printed = printed.lines();
        let value = printed.find_map(|text| text.strip_prefix(name));
        value.unwrap().trim().to_owned()
    };
    assert_eq!(
        says("Database system identifier:"),
        control.system.to_string()
    );
    assert_eq!(
        says("Latest checkpoint location:"),
        control.checkpoint.to_string()
    );
    assert_eq!(
        says("Latest checkpoint's REDO location:"),
        control.redo.to_string()
    );
    assert_eq!(
        says("Latest checkpoint's TimeLineID:"),
        control.timeline.to_string()
    );
    assert_eq!(stopped.shared_memory_attached, None);
    // Told from the files when the server is down.
    assert_eq!(live.upstream(&n1).await.unwrap(), None);
    let gone = live.server(&n1).await.unwrap_err();
    assert_eq!(gone.kind, TroubleKind::Unreachable, "{gone}");
}

#[tokio::test]
async fn a_data_directory_that_may_not_be_read_is_an_error_and_not_an_empty_one() {
    let mut pair = Pair::prepared();
    let node = pair.inventory.nodes.get_mut(&name("n1")).unwrap();
    node.data = pair.dir.path().join("nowhere");
    let trouble = pair.live().host(&name("n1")).await.unwrap_err();
    assert_eq!(trouble.kind, TroubleKind::Denied, "{trouble}");
    assert!(trouble.help.is_some());
}

#[tokio::test]
async fn a_new_connection_is_tried_from_here_and_from_another_host() {
    let pair = Pair::new().await;
    let live = pair.live();
    let (n1, n2) = (name("n1"), name("n2"));
    for from in [None, Some(&n2)] {
        assert_eq!(live.reach(from, &n1, SOON).await.unwrap(), Reach::Accepts);
    }
    // Everything that listens is still there, but nobody answers.
    let postmaster = pair.postmaster("n1");
    kill(postmaster, "STOP");
    let before = Instant::now();
    for from in [None, Some(&n2)] {
        let reach = live.reach(from, &n1, Duration::from_millis(800)).await;
        assert_eq!(reach.unwrap(), Reach::Silent);
    }
    let hung = pair.live().server(&n1).await.unwrap_err();
    assert!(
        matches!(hung.kind, TroubleKind::Unreachable | TroubleKind::Timeout),
        "{hung}"
    );
    assert!(
        before.elapsed() < Duration::from_secs(15),
        "a silent server must not be waited for"
    );
    kill(postmaster, "CONT");
    run(&[
        &format!("{BIN}/pg_ctl"),
        "-D",
        &pair.data("n1"),
        "-m",
        "fast",
        "-w",
        "-s",
        "stop",
    ]);
    for from in [None, Some(&n2)] {
        assert_eq!(live.reach(from, &n1, SOON).await.unwrap(), Reach::Silent);
    }
}

fn kill(pid: i32, signal: &str) {
    run(&["kill", &format!("-{signal}"), &pid.to_string()]);
}

#[tokio::test]
async fn a_session_that_the_server_ended_is_replaced_without_a_word() {
    let pair = Pair::new().await;
    let live = pair.live();
    let n1 = name("n1");
    live.warm().await;
    run(&[
        &format!("{BIN}/pg_ctl"),
        "-D",
        &pair.data("n1"),
        "-m",
        "fast",
        "-w",
        "-s",
        "restart",
        "-l",
        "/dev/null",
    ]);
    let (server, identity) = (live.server(&n1).await, live.identify(&n1).await);
    assert!(
        server.is_ok() && identity.is_ok(),
        "{server:?} {identity:?}"
    );
}

#[tokio::test]
async fn the_end_of_the_wal_is_read_from_the_files() {
    let mut pair = Pair::new().await;
    let live = pair.live();
    let n1 = name("n1");
    let from = live.server(&n1).await.unwrap().written.unwrap();
    // More than a segment, so that page and segment headers are crossed; then a record of no particular length.
    pair.sql(
        "n1",
        "CREATE TABLE t AS SELECT repeat('x', 700) FROM generate_series(1, 30000)",
    );
    pair.sql(
        "n1",
        "SELECT pg_logical_emit_message(false, 'x', repeat('y', 8191 + 13))",
    );
    run(&[
        &format!("{BIN}/pg_ctl"),
        "-D",
        &pair.data("n1"),
        "-m",
        "fast",
        "-w",
        "-s",
        "stop",
    ]);
    let checkpoint = live.host(&n1).await.unwrap().control.unwrap().checkpoint;
    let end = live.wal_end(&n1, Timeline(1), from).await.unwrap();
    assert!(end > checkpoint, "{end} {checkpoint}");
    assert!(
        end.bytes_since(checkpoint) <= 160,
        "the shutdown checkpoint is the last record"
    );
    // From the very end there is nothing more, and that is an answer.
    assert_eq!(live.wal_end(&n1, Timeline(1), end).await.unwrap(), end);
    // Whatever is told without the program is what the program tells: from anywhere before the last record, the same end.
    for before in (1..=64).map(|step| step * 8) {
        let from = Lsn(end.0 - before);
        let told = live.wal_end(&n1, Timeline(1), from).await.unwrap();
        assert!(
            told == end || (from > checkpoint && told == from),
            "from {from}: {told}, not {end}"
        );
    }
    // A server that came without the program: the same, by following the records from wherever.
    pair.inventory.nodes.get_mut(&n1).unwrap().bin = pair.dir.path().join("nowhere");
    let without = pair.live();
    let everywhere = (0..64).map(|step| Lsn(end.0 - step * 8));
    for from in everywhere.chain([from, Lsn(from.0 + 8192), checkpoint]) {
        let told = without.wal_end(&n1, Timeline(1), from).await;
        assert_eq!(told.unwrap(), end, "from {from}");
    }
    let beyond = Lsn(end.0 + (1 << 30));
    let trouble = live.wal_end(&n1, Timeline(1), beyond).await.unwrap_err();
    assert_eq!(trouble.kind, TroubleKind::Failed, "{trouble}");
}

#[tokio::test]
async fn passwords_are_checked_and_never_told() {
    let mut pair = Pair::new().await;
    pair.sql(
        "n1",
        "CREATE ROLE watcher LOGIN REPLICATION PASSWORD 'correct horse'",
    );
    pair.sql("n1", "GRANT pg_monitor TO watcher");
    pair.sql("n1", "CREATE ROLE nobody LOGIN PASSWORD 'correct horse'");
    let hba = std::path::Path::new(&pair.data("n1")).join("pg_hba.conf");
    for (method, encryption) in [
        ("scram-sha-256", "scram-sha-256"),
        ("md5", "md5"),
        ("password", "md5"),
    ] {
        pair.sql("n1", &format!("SET password_encryption = '{encryption}'; ALTER ROLE watcher PASSWORD 'correct horse'"));
        let rules = format!(
            "host all postgres all trust\nhost all all all {method}\nhost replication postgres all trust\nhost replication all all {method}\n"
        );
        std::fs::write(&hba, rules).unwrap();
        pair.sql("n1", "SELECT pg_reload_conf()");
        pair.inventory.sql.user = "watcher".into();
        let passfile = pair.dir.path().join("pgpass");
        for (line, good) in [
            ("*:*:*:watcher:correct horse", true),
            ("*:*:*:watcher:hunter2", false),
            ("", false),
        ] {
            std::fs::write(&passfile, line).unwrap();
            std::fs::set_permissions(
                &passfile,
                std::os::unix::fs::PermissionsExt::from_mode(0o600),
            )
            .unwrap();
            pair.inventory.sql.passfile = Some(passfile.clone());
            let live = pair.live();
            let n1 = name("n1");
            let (server, identity) = (live.server(&n1).await, live.identify(&n1).await);
            if good {
                assert!(
                    server.is_ok() && identity.is_ok(),
                    "{method}: {server:?} {identity:?}"
                );
            } else {
                let trouble = server.unwrap_err();
                assert_eq!(trouble.kind, TroubleKind::Denied, "{method}: {trouble}");
                assert!(!format!("{trouble:?}{live:?}").contains("hunter2"));
                assert_eq!(identity.unwrap_err().kind, TroubleKind::Denied);
            }
        }
    }
    // A user who may not see other sessions would take a receiver that exists for one that is gone.
    let secret = pair.dir.path().join("secret");
    std::fs::write(&secret, "correct horse\n").unwrap();
    pair.inventory.sql.user = "nobody".into();
    pair.inventory.sql.password = Some(SecretSource::File(secret));
    let trouble = pair.live().server(&name("n1")).await.unwrap_err();
    assert_eq!(trouble.kind, TroubleKind::Denied, "{trouble}");
    assert!(trouble.help.unwrap().contains("pg_monitor"));
}
