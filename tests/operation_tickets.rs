//! An operation that is asked for again with the same ticket, on real servers: by the same way, and by another one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod live_support;

use live_support::sshd::Sshd;
use live_support::{Pair, name};
use pgbaton::cluster::{
    Cluster, CustomEffect, ExecPlace, Operation, Outcome, StopMode, Ticket, Transport, Trouble,
    TroubleKind,
};
use pgbaton::postgres::LiveCluster;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

fn ticket(effect: u64, token: u64) -> Ticket {
    Ticket {
        run: "20261127-080000-7k3q".into(),
        effect,
        token: Some(token),
        again: false,
    }
}

/// Everybody may write there: commands on nodes run as the user who owns the servers.
fn open_dir() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::Builder::new().prefix("pgr").tempdir_in("/tmp");
    let dir = dir.unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
    dir
}

/// The same servers, whose hosts are reached by ssh.
fn by_ssh(pair: &Pair, sshd: &Sshd, records: &Path) -> LiveCluster {
    let options = sshd.options();
    let mut inventory = pair.inventory.clone();
    for node in inventory.nodes.values_mut() {
        let user = match &node.transport {
            Transport::Local { user } => user.clone(),
            other => panic!("{other:?}"),
        };
        node.transport = Transport::Ssh {
            host: None,
            user,
            port: options.port,
            identity: options.identity.clone(),
            config: options.config.clone(),
            known_hosts: options.known_hosts.clone(),
        };
    }
    LiveCluster::new(inventory.into()).recording_in(records)
}

fn failed(outcome: Outcome) -> Trouble {
    match outcome {
        Outcome::Failed(trouble) => trouble,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stop_that_was_done_is_not_done_again_whichever_way_it_is_asked_for() {
    let (records, sshd, pair) = (open_dir(), Sshd::new().await, Pair::new().await);
    let near = pair.live().recording_in(records.path());
    let far = by_ssh(&pair, &sshd, records.path());
    let node = name("n2");
    let stop = Operation::Stop {
        node: node.clone(),
        mode: StopMode::Fast,
        deadline: LIMIT,
    };
    let start = Operation::Start {
        node: node.clone(),
        deadline: LIMIT,
    };
    let was = |what: &str| Outcome::Done(serde_json::json!({ "was": what }));
    // What is done without a shell, and what is done by one, leave the same record.
    let both = [(&near, &far), (&far, &near)];
    for ((first, second), number) in both.into_iter().zip([0, 10]) {
        let (stopped, started) = (ticket(number, 5), ticket(number + 1, 5));
        assert_eq!(first.perform(&stop, Some(&stopped)).await, was("running"));
        assert_eq!(first.perform(&start, Some(&started)).await, was("stopped"));
        let postmaster = pair.postmaster("n2");
        for live in [second, first] {
            assert_eq!(live.perform(&stop, Some(&stopped)).await, was("running"));
            assert_eq!(live.perform(&start, Some(&started)).await, was("stopped"));
            assert_eq!(pair.postmaster("n2"), postmaster, "it was left alone");
        }
        for live in [first, second] {
            let late = failed(live.perform(&stop, Some(&ticket(number + 2, 4))).await);
            assert_eq!(late.kind, TroubleKind::Denied, "{late}");
            let help = late.help.clone().unwrap_or_default();
            assert!(help.contains("an old copy"), "{help}");
            assert_eq!(pair.postmaster("n2"), postmaster);
        }
    }
}

#[tokio::test]
async fn a_program_in_doubt_is_unknown_and_one_that_may_be_repeated_is_not() {
    let (records, sshd, pair) = (open_dir(), Sshd::new().await, Pair::prepared());
    let near = pair.live().recording_in(records.path());
    let far = by_ssh(&pair, &sshd, records.path());
    let count = records.path().join("count");
    // It ends its own leader, and then itself.
    let script =
        r#"echo ran >>"$1"; chmod a+w "$1"; [ "$(wc -l <"$1")" -gt "$2" ] || kill -9 "$PPID" $$"#;
    let places = [
        ("n1", ExecPlace::Node(name("n1")), &near),
        ("ssh", ExecPlace::Node(name("n1")), &far),
        ("runner", ExecPlace::Runner, &near),
    ];
    for (number, (case, place, live)) in (0..).step_by(10).zip(places) {
        let exec = |effect, spared: usize| Operation::Exec {
            place: place.clone(),
            argv: ["sh", "-c", script, "sh", count.to_str().unwrap()]
                .map(str::to_owned)
                .into_iter()
                .chain([spared.to_string()])
                .collect(),
            env: BTreeMap::new(),
            stdin: None,
            effect,
            deadline: LIMIT,
        };
        let _ = std::fs::remove_file(&count);
        let ran = || std::fs::read_to_string(&count).unwrap().lines().count();
        for _ in 0..2 {
            let once = exec(CustomEffect::Once, 1);
            match live.perform(&once, Some(&ticket(number, 5))).await {
                Outcome::Unknown(trouble) => assert!(trouble.help.is_some(), "{case}: {trouble}"),
                other => panic!("{case}: {other:?}"),
            }
            assert_eq!(ran(), 1, "{case}");
        }
        let repeatable = exec(CustomEffect::Idempotent, 2);
        let repeated = Some(ticket(number + 1, 5));
        let doubt = live.perform(&repeatable, repeated.as_ref()).await;
        assert!(matches!(doubt, Outcome::Unknown(_)), "{case}: {doubt:?}");
        let done = live.perform(&repeatable, repeated.as_ref()).await;
        assert!(matches!(done, Outcome::Done(_)), "{case}: {done:?}");
        assert_eq!(ran(), 3, "{case}");
        let late = live
            .perform(&repeatable, Some(&ticket(number + 2, 4)))
            .await;
        assert_eq!(failed(late).kind, TroubleKind::Denied, "{case}");
        assert_eq!(ran(), 3, "{case}");
    }
}

#[tokio::test]
async fn tokens_that_cannot_be_compared_let_nothing_run() {
    let (records, pair) = (open_dir(), Pair::prepared());
    let live = pair
        .live()
        .recording_in(records.path())
        .fenced_by(|| Err(std::io::Error::other("no such folder")));
    let touched = records.path().join("touched");
    let exec = Operation::Exec {
        place: ExecPlace::Runner,
        argv: vec!["touch".into(), touched.display().to_string()],
        env: BTreeMap::new(),
        stdin: None,
        effect: CustomEffect::Idempotent,
        deadline: LIMIT,
    };
    let trouble = failed(live.perform(&exec, Some(&ticket(0, 1))).await);
    assert!(trouble.message.contains("no such folder"), "{trouble}");
    assert!(!touched.exists());
}
