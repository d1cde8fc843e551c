//! A stop that does not end: what of the server is ended, in which order, and what is left when it does not start again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod live_support;
mod support;

use live_support::{Pair, name};
use pgbaton::cluster::{
    Cluster as _, ControlState, Observe, Operation, Outcome, StopMode, Transport,
};
use pgbaton::postgres::LiveCluster;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::time::Duration;
use support::{Cluster, stock, swap};

const SOON: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);

/// Both ways in which a host is reached: without a shell, and by scripts.
async fn pairs() -> [Pair; 2] {
    let (here, mut by_script) = tokio::join!(Pair::new(), Pair::new());
    for node in by_script.inventory.nodes.values_mut() {
        let user = rustix::process::geteuid().is_root();
        let become_user = ["runuser", "-u", "postgres", "--"];
        let argv = become_user.iter().filter(|_| user).chain(&["sh", "-c"]);
        node.transport = Transport::Template {
            argv: argv.map(|word| (*word).to_owned()).collect(),
        };
    }
    [here, by_script]
}

async fn client(pair: &Pair, node: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::Config::new()
        .host("127.0.0.1")
        .port(pair.port(node))
        .user("postgres")
        .dbname("postgres")
        .connect(tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

fn halt(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP).unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    while !state().contains(") T ") {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A session whose process is stopped by a signal, for as long as what is returned lives.
async fn frozen_session(pair: &Pair, node: &str) -> tokio_postgres::Client {
    let client = client(pair, node).await;
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
    halt(row.unwrap().get(0));
    client
}

async fn stop(live: &LiveCluster, node: &str, mode: StopMode, deadline: Duration) -> Outcome {
    let node = name(node);
    let stop = Operation::Stop {
        node,
        mode,
        deadline,
    };
    live.perform(&stop, None).await
}

async fn start(live: &LiveCluster, node: &str) {
    let (node, deadline) = (name(node), LIMIT);
    let outcome = live
        .perform(&Operation::Start { node, deadline }, None)
        .await;
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
}

/// Its control data, once nothing of the server is left.
async fn state_when_gone(live: &LiveCluster, node: &str) -> ControlState {
    let host = live.host(&name(node)).await.unwrap();
    assert_eq!(host.postmaster, None);
    host.control.unwrap().state
}

#[track_caller]
fn assert_pending(outcome: &Outcome, why: &str) {
    match outcome {
        Outcome::Unknown(trouble) => assert!(trouble.to_string().contains(why), "{trouble}"),
        other => panic!("it must still be stopping: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_a_signal_has_stopped_goes_on_and_the_shutdown_is_clean() {
    for pair in pairs().await {
        let live = pair.live();
        for (node, clean) in [
            ("n2", ControlState::ShutDownInRecovery),
            ("n1", ControlState::ShutDown),
        ] {
            let session = frozen_session(&pair, node).await;
            assert_pending(&stop(&live, node, StopMode::Fast, SOON).await, "stopping");
            let ended = stop(&live, node, StopMode::Terminate, LIMIT).await;
            assert_eq!(ended, Outcome::Done(json!({ "was": "running" })));
            assert_eq!(state_when_gone(&live, node).await, clean);
            start(&live, node).await;
            drop(session);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_heeds_nothing_is_killed_and_the_server_ends_with_it() {
    for pair in pairs().await {
        let live = pair.live();
        for (node, crashed) in [
            ("n2", ControlState::ArchiveRecovery),
            ("n1", ControlState::InProduction),
        ] {
            let session = client(&pair, node).await;
            let row = session.query_one("SELECT pg_backend_pid()", &[]).await;
            let pid: i32 = row.unwrap().get(0);
            let copy = async move {
                let _ = session
                    .batch_execute("COPY (SELECT 1) TO PROGRAM 'trap \"\" TERM; exec sleep 600'")
                    .await;
            };
            let copy = tokio::spawn(copy);
            let waits = format!(
                "SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND state = 'active'"
            );
            pair.until("the program runs", async |_| pair.sql(node, &waits) == "1")
                .await;
            assert_pending(&stop(&live, node, StopMode::Fast, SOON).await, "stopping");
            let ended = stop(&live, node, StopMode::Terminate, LIMIT).await;
            assert_eq!(ended, Outcome::Done(json!({ "was": "running" })));
            assert_eq!(state_when_gone(&live, node).await, crashed);
            copy.await.unwrap();
            start(&live, node).await;
        }
        let again = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        pair.until("n2 streams again", async |_| pair.sql("n1", again) == "1")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_ended_where_no_session_holds_it_up() {
    for pair in pairs().await {
        let live = pair.live();
        let sender: i32 = pair
            .sql("n1", "SELECT pid FROM pg_stat_replication")
            .parse()
            .unwrap();
        halt(sender);
        assert_pending(&stop(&live, "n1", StopMode::Fast, SOON).await, "stopping");
        let ended = stop(&live, "n1", StopMode::Terminate, LIMIT).await;
        assert_pending(&ended, "no session is left that could be ended");
        let alive = format!("/proc/{sender}");
        assert!(std::path::Path::new(&alive).exists(), "it was killed");
        kill_process(Pid::from_raw(sender).unwrap(), Signal::CONT).unwrap();
        stop(&live, "n1", StopMode::Fast, LIMIT).await;
        assert_eq!(state_when_gone(&live, "n1").await, ControlState::ShutDown);
    }
}

/// Were a session killed before the postmaster knows that it is to stop, it would start anew in place of ending.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_ended_under_a_postmaster_that_does_not_know_of_it() {
    for pair in pairs().await {
        let live = pair.live();
        let session = frozen_session(&pair, "n2").await;
        halt(pair.postmaster("n2"));
        let ended = stop(&live, "n2", StopMode::Terminate, LIMIT).await;
        assert_pending(&ended, "the postmaster itself is stopped by a signal");
        let killed = stop(&live, "n2", StopMode::Kill, LIMIT).await;
        assert_eq!(killed, Outcome::Done(json!({ "was": "running" })));
        drop(session);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_sessions_that_end_by_themselves_it_is_a_fast_stop() {
    for pair in pairs().await {
        let live = pair.live();
        let session = client(&pair, "n1").await;
        let ended = stop(&live, "n1", StopMode::Terminate, LIMIT).await;
        assert_eq!(ended, Outcome::Done(json!({ "was": "running" })));
        assert_eq!(state_when_gone(&live, "n1").await, ControlState::ShutDown);
        drop(session);
    }
}

/// A session of a lab's server whose process is stopped by a signal.
async fn freeze_one(cluster: &Cluster, node: &str) -> tokio_postgres::Client {
    let client = cluster.client(node).await;
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
    halt(row.unwrap().get(0));
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_is_stopped_as_far_as_the_playbook_says_and_no_further() {
    let cluster = Cluster::up("st-primary", 2).await;
    let text = swap(
        &stock("switchover"),
        "with: { mode: fast }\n    timeout: 60s",
        "with: { mode: fast }\n    timeout: 3s",
    );
    let file = cluster.lab.dir().join("hasty.yaml");
    std::fs::write(&file, &text).unwrap();
    let run = |file: &std::path::Path| {
        let file = file.to_str().unwrap().to_owned();
        let cluster = &cluster;
        async move {
            let arguments = ["--json", "run", &file, "-p", "candidate=n2"];
            cluster.pgbaton(&arguments).await
        }
    };
    let modes = |said: &support::Said| -> Vec<String> {
        let stops = said
            .intended()
            .into_iter()
            .filter(|(path, o)| path == "stop" && o["operation"] == "stop");
        stops
            .map(|(_, o)| o["mode"].as_str().unwrap().to_owned())
            .collect()
    };
    let session = freeze_one(&cluster, "n1").await;
    let said = run(&file).await;
    assert_ne!(said.code, 0, "{}", said.all());
    // What comes after the first is its undo, which starts it again.
    assert_eq!(modes(&said)[0], "fast");
    assert_eq!(cluster.primary().await, "n1", "{}", said.all());
    cluster.assert_streams("n2", "n1").await;
    cluster.assert_streams("n3", "n1").await;
    drop(session);

    // A site that would rather wake such a session says so.
    let text = swap(
        &text,
        "with: { mode: fast }",
        "with: { mode: fast, escalate: [terminate] }",
    );
    std::fs::write(&file, text).unwrap();
    let session = freeze_one(&cluster, "n1").await;
    let said = run(&file).await.expect(0);
    assert_eq!(modes(&said), ["fast", "terminate"]);
    assert_eq!(cluster.primary().await, "n2");
    drop(session);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_server_does_not_start_again_all_else_is_put_back_and_the_rest_is_named() {
    let cluster = Cluster::up("st-start", 2).await;
    let text = swap(
        &stock("follow"),
        "retry: { attempts: 3, delay: 2s, factor: 2 }",
        "retry: { attempts: 2, delay: 100ms }",
    );
    let file = cluster.lab.dir().join("hasty.yaml");
    std::fs::write(&file, text).unwrap();
    let conf = cluster.data("n3").join("postgresql.conf");
    let good = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, format!("{good}\nno_such_setting = 1\n")).unwrap();
    let own = cluster.data("n3").join("postgresql.auto.conf");
    let lines = || {
        let text = std::fs::read_to_string(&own).unwrap();
        let settings = text.lines().filter(|line| !line.starts_with('#'));
        let mut lines: Vec<String> = settings.map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let before = lines();
    let arguments = [
        "run",
        file.to_str().unwrap(),
        "-p",
        "node=n3",
        "-p",
        "upstream=n2",
        "-p",
        "apply=restart",
    ];
    let said = cluster.pgbaton(&arguments).await;
    assert_ne!(said.code, 0, "{}", said.all());
    for told in [
        "no_such_setting",
        "n3 is left stopped: look at its log, and start it",
    ] {
        assert!(said.all().contains(told), "{told}: {}", said.all());
    }
    assert_eq!(lines(), before, "it is to follow n1, as before");
    let slots = "SELECT count(*) FROM pg_replication_slots";
    assert_eq!(cluster.ask("n2", slots).await, "0", "{}", said.all());
    // What is named is all that is left to do.
    std::fs::write(&conf, good).unwrap();
    cluster.fault("n3", pgbaton::lab::Fault::Start).await;
    cluster.assert_streams("n3", "n1").await;
}
