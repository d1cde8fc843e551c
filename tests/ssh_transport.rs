//! Commands by ssh, through a real server.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod live_support;

use live_support::sshd::Sshd;
use live_support::{PATIENCE, Pair, free_port, name};
use pgbaton::cluster::{self, Cluster, Observe, Operation, Outcome, StopMode};
use pgbaton::transport::{Command, Ssh, Transport, TransportError};
use std::path::Path;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);
const CONNECT: Duration = Duration::from_secs(10);

/// Waits until a process writes its id into a file.
async fn pid_in(file: &Path) -> u32 {
    let end = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if let Some(pid) = text.strip_suffix('\n') {
            return pid.parse().unwrap();
        }
        assert!(Instant::now() < end, "no process wrote {}", file.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn ends(pid: u32) {
    let end = Instant::now() + PATIENCE;
    while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z ")) {
        assert!(Instant::now() < end, "process {pid} does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn statuses_streams_and_arguments_pass_through_one_login() {
    let sshd = Sshd::new().await;
    let ssh = Ssh::new(sshd.options(), CONNECT);
    ssh.warm().await.unwrap();
    for status in [0, 1, 124, 126, 127, 137, 255] {
        let command = Command::script(&format!("echo o; echo e >&2; exit {status}"), &[], LIMIT);
        let finished = ssh.run(command).await.unwrap();
        assert_eq!(finished.status, status);
        assert_eq!(
            (finished.stdout, finished.stderr),
            (b"o\n".to_vec(), b"e\n".to_vec())
        );
    }
    let odd = "a'b \"c\" $d `e` \\ \n * ~ é";
    let command = Command::script(r#"printf '%s|%s|' "$1" "$X"; wc -c"#, &[odd], LIMIT)
        .with_stdin(vec![b'x'; 300_000])
        .with_env([("X".to_owned(), odd.to_owned())].into());
    let finished = ssh.run(command).await.unwrap();
    assert_eq!(finished.out(), format!("{odd}|{odd}|300000\n"));
    let finished = ssh
        .run(Command::new(["/no/such/program"], LIMIT))
        .await
        .unwrap();
    assert_eq!(finished.status, 127);
    assert_eq!(sshd.logins(), 1, "{}", sshd.log());
}

#[tokio::test]
async fn commands_share_the_connection_at_the_same_time() {
    let sshd = Sshd::new().await;
    let ssh = Ssh::new(sshd.options(), CONNECT);
    let runs = (0..6).map(|n| ssh.run(Command::new(["echo".to_owned(), n.to_string()], LIMIT)));
    let finished = futures_util::future::join_all(runs).await;
    for (n, finished) in finished.into_iter().enumerate() {
        assert_eq!(finished.unwrap().out(), format!("{n}\n"));
    }
    assert_eq!(sshd.logins(), 1);
}

#[tokio::test]
async fn the_deadline_ends_the_process_over_there() {
    let sshd = Sshd::new().await;
    let ssh = Ssh::new(sshd.options(), CONNECT);
    ssh.warm().await.unwrap();
    let file = sshd.path("pid");
    let script = r#"echo $$ >"$1"; sleep 300; :"#;
    let command = Command::script(script, &[file.to_str().unwrap()], Duration::from_secs(1));
    let error = ssh.run(command).await.unwrap_err();
    assert!(
        matches!(error, TransportError::Deadline { .. }),
        "{error:?}"
    );
    ends(pid_in(&file).await).await;
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_any_more_ends_by_its_deadline_too() {
    let sshd = Sshd::new().await;
    let ssh = Ssh::new(sshd.options(), CONNECT);
    ssh.warm().await.unwrap();
    let file = sshd.path("pid");
    let command = Command::script(
        r#"echo $$ >"$1"; sleep 300; :"#,
        &[file.to_str().unwrap()],
        Duration::from_secs(2),
    );
    let pid = tokio::select! {
        ended = ssh.run(command) => panic!("{ended:?}"),
        pid = pid_in(&file) => pid,
    };
    drop(ssh);
    ends(pid).await;
}

#[tokio::test]
async fn a_connection_lost_under_a_command_is_told_and_the_next_command_gets_a_new_one() {
    let sshd = Sshd::new().await;
    let ssh = Ssh::new(sshd.options(), CONNECT);
    // Walks up to the process of the ssh server that serves this connection, and ends it.
    let script = r#"p=$$; while IFS= read -r c <"/proc/$p/comm"; case $c in sshd*) false ;; esac; do
        IFS= read -r l <"/proc/$p/stat"; set -- ${l##*) }; p=$2; done; kill -9 "$p"; sleep 60"#;
    let error = ssh
        .run(Command::script(script, &[], LIMIT))
        .await
        .unwrap_err();
    assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
    let finished = ssh
        .run(Command::new(["echo", "again"], LIMIT))
        .await
        .unwrap();
    assert_eq!(finished.stdout, b"again\n");
    assert_eq!(sshd.logins(), 2);
}

#[tokio::test]
async fn a_connection_that_died_while_it_was_idle_is_replaced() {
    let sshd = Sshd::new().await;
    let ssh = Ssh::new(sshd.options(), CONNECT);
    let script = r#"p=$$; while IFS= read -r c <"/proc/$p/comm"; case $c in sshd*) false ;; esac; do
        IFS= read -r l <"/proc/$p/stat"; set -- ${l##*) }; p=$2; done; echo "$p""#;
    let finished = ssh.run(Command::script(script, &[], LIMIT)).await.unwrap();
    let server = finished.out().trim().to_owned();
    live_support::run_as_self(&["kill", "-9", &server]);
    ends(server.parse().unwrap()).await;
    let finished = ssh.run(Command::new(["true"], LIMIT)).await.unwrap();
    assert_eq!((finished.status, sshd.logins()), (0, 2));
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_never_ran_anything() {
    let sshd = Sshd::new().await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stranger = {
        let other = Sshd::new().await;
        other.options().known_hosts
    };
    let quick = Duration::from_secs(2);
    let cases = [
        ("refused", {
            let mut o = sshd.options();
            o.port = Some(free_port());
            o
        }),
        ("silent", {
            let mut o = sshd.options();
            o.port = Some(silent.local_addr().unwrap().port());
            o
        }),
        ("unknown key", {
            let mut o = sshd.options();
            o.known_hosts = stranger;
            o
        }),
        ("no such user", {
            let mut o = sshd.options();
            o.user = Some("nobody-of-that-name".into());
            o
        }),
    ];
    for (what, options) in cases {
        let before = Instant::now();
        let error = Ssh::new(options, quick)
            .run(Command::new(["true"], LIMIT))
            .await
            .unwrap_err();
        let TransportError::NotStarted { why } = &error else {
            panic!("{what}: {error:?}")
        };
        assert!(why.contains("127.0.0.1"), "{what}: {why}");
        assert!(
            before.elapsed() < Duration::from_secs(8),
            "{what} must be bounded"
        );
    }
}

#[tokio::test]
async fn a_silent_host_is_waited_for_once_and_not_by_every_command_in_turn() {
    let sshd = Sshd::new().await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let mut options = sshd.options();
    options.port = Some(silent.local_addr().unwrap().port());
    let ssh = Ssh::new(options, Duration::from_secs(2));
    let mut told = Vec::new();
    for _ in 0..3 {
        let error = ssh.run(Command::new(["true"], LIMIT)).await.unwrap_err();
        told.push(error.to_string());
    }
    assert!(told.iter().all(|why| *why == told[0]), "{told:?}");
    let came = || std::iter::from_fn(|| silent.accept().ok()).count();
    assert_eq!(came(), 1);
    // Later it is asked anew.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    ssh.run(Command::new(["true"], LIMIT)).await.unwrap_err();
    assert_eq!(came(), 1);
}

#[tokio::test]
async fn a_server_that_was_started_by_ssh_outlives_the_connection() {
    let sshd = Sshd::new().await;
    let mut pair = Pair::new().await;
    let options = sshd.options();
    for node in pair.inventory.nodes.values_mut() {
        let user = match &node.transport {
            cluster::Transport::Local { user } => user.clone(),
            _ => None,
        };
        node.transport = cluster::Transport::Ssh {
            host: None,
            user,
            port: options.port,
            identity: options.identity.clone(),
            config: options.config.clone(),
            known_hosts: options.known_hosts.clone(),
        };
    }
    let live = pair.live();
    assert_eq!(live.warm().await, vec![]);
    let (n1, deadline) = (name("n1"), LIMIT);
    for operation in [
        Operation::Stop {
            node: n1.clone(),
            mode: StopMode::Fast,
            deadline,
        },
        Operation::Start {
            node: n1.clone(),
            deadline,
        },
    ] {
        let outcome = live.perform(&operation, None).await;
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }
    assert!(live.host(&n1).await.unwrap().postmaster.is_some());
    assert_eq!(sshd.logins(), 2, "one for each node");
    drop(live);
    drop(sshd);
    assert!(pair.live().server(&n1).await.is_ok());
}
