//! The case from production: one primary and four standbys, the primary's host is gone, and a standby that has to be
//! restarted does not stop, because one of its backends is stopped by a signal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod examples_support;
mod hosts_support;
mod support;

use examples_support::{Daemon, as_owner, dress, place};
use hosts_support::{can_have_hosts, on_hosts};
use pgbaton::lab::Fault;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use support::Cluster;

/// Opens a session on a node and stops its backend, which then heeds no signal but SIGKILL. The session is open for as long
/// as what is returned lives.
async fn stuck_backend(cluster: &Cluster, node: &str) -> tokio_postgres::Client {
    let client = cluster.client(node).await;
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
    stop(row.unwrap().get(0));
    client
}

fn stop(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP).unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    while !state().contains(") T ") {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn postmaster(cluster: &Cluster, node: &str) -> i32 {
    let file = cluster.data(node).join("postmaster.pid");
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

const FAILOVER: [&str; 11] = [
    "--json",
    "run",
    "failover",
    "-p",
    "candidate=n2",
    "-p",
    "apply=restart",
    "-p",
    "waive_fence=the host is gone, says the test",
    "-p",
    "accept_loss=nobody can tell, says the test",
];

#[tokio::test(flavor = "multi_thread")]
async fn all_that_are_left_follow_the_new_primary_also_the_one_that_does_not_stop() {
    if !can_have_hosts().await {
        return;
    }
    let cluster = on_hosts("seed", 4).await;
    // The candidate is asked for, so that the stuck one is among those that follow.
    let stuck = stuck_backend(&cluster, "n4").await;
    let was = postmaster(&cluster, "n4");
    cluster.fault("n1", Fault::Cut).await;
    let said = cluster.pgbaton(&FAILOVER).await.expect(0);
    assert_eq!(cluster.primary().await, "n2");
    for standby in ["n3", "n4", "n5"] {
        cluster.assert_streams(standby, "n2").await;
    }
    assert_ne!(postmaster(&cluster, "n4"), was, "it was started anew");
    let topics: Vec<String> = said
        .events()
        .iter()
        .filter_map(|e| e["event"]["evidence"]["topic"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(
        topics.iter().filter(|t| *t == "escalation").count(),
        1,
        "n4, and only n4, had to be stopped harder: {topics:?}"
    );
    assert!(
        topics.iter().any(|t| t == "debt"),
        "n1 may still run: {topics:?}"
    );
    drop(stuck);
}

/// With little time, so that the test has not to wait for the stock playbook's.
const STOP_AND_START: &str = "
playbook: restart
version: 1.0.0
summary: Stop a standby, whatever it takes, and start it.
timeout: 3m
steps:
  stop: { action: stop, node: n2, with: { mode: fast, escalate: [terminate, immediate, kill] }, timeout: 12s }
  start: { needs: [stop], action: start, node: n2, timeout: 60s }
outputs: { mode: steps.stop.mode }
";

#[tokio::test(flavor = "multi_thread")]
async fn where_the_postmaster_is_stuck_too_only_a_kill_helps_and_the_server_starts_afterwards() {
    if !can_have_hosts().await {
        return;
    }
    let cluster = on_hosts("seed-kill", 1).await;
    let stuck = stuck_backend(&cluster, "n2").await;
    stop(postmaster(&cluster, "n2"));
    let playbook = cluster.lab.dir().join("restart.yaml");
    std::fs::write(&playbook, STOP_AND_START).unwrap();
    let run = ["--json", "run", playbook.to_str().unwrap()];
    let said = cluster.pgbaton(&run).await.expect(0);
    let modes: Vec<String> = said
        .intended()
        .iter()
        .filter_map(|(_, o)| o["mode"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(modes, ["fast", "terminate", "immediate", "kill"]);
    cluster.assert_streams("n2", "n1").await;
    drop(stuck);
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o755)).unwrap();
}

/// The overlays of docs/examples/kingbase, with processes that are called kbha and do nothing, and with a command in the place
/// of the example's script, which knows them by the address of the host that it is run on.
#[tokio::test(flavor = "multi_thread")]
async fn kbha_rests_while_the_case_is_mended() {
    if !can_have_hosts().await {
        return;
    }
    let cluster = on_hosts("seed-kbha", 4).await;
    let place = place();
    let at = |file: &str| place.path().join(file);
    write(&at("kbha"), "#!/bin/sh\nwhile :; do sleep 1; done\n");
    let command = format!(
        "#!/bin/sh\ncd {}/$(ip -4 -o address show dev eth0 | awk '{{ sub(\"/.*\", \"\", $4); print $4 }}') || exit 1\n\
         [ $1 != pause ] || kill $(cat pid)\necho $1 >>calls\n",
        place.path().display()
    );
    write(&at("rest"), &command);
    let mut resting = Vec::new();
    for node in ["n1", "n2", "n3", "n4", "n5"] {
        let of = at(&cluster.endpoint(node).host);
        std::fs::create_dir(&of).unwrap();
        std::fs::set_permissions(&of, PermissionsExt::from_mode(0o777)).unwrap();
        let conf = format!("data_directory='{}'\n", cluster.data(node).display());
        write(&of.join("conf"), &conf);
        let mut kbha = as_owner(&cluster, at("kbha").to_str().unwrap());
        kbha.args(["-A", "daemon", "-f"]).arg(of.join("conf"));
        let kbha = Daemon::start(kbha, &of.join("log"));
        write(&of.join("pid"), &kbha.id().to_string());
        resting.push(kbha);
    }
    let calls = |node: &str| {
        let file = at(&cluster.endpoint(node).host).join("calls");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    cluster.fault("n1", Fault::Cut).await;
    let said = cluster.pgbaton(&FAILOVER).await.expect(3);
    assert!(said.all().contains("kbha"), "{}", said.all());

    let vars = format!("{{ kbha_command: {} }}", at("rest").display());
    dress(&cluster, "kingbase", &vars);
    // n1 could not be told.
    let said = cluster.pgbaton(&FAILOVER).await.expect(4);
    assert_eq!(cluster.primary().await, "n2", "{}", said.all());
    for standby in ["n3", "n4", "n5"] {
        cluster.assert_streams(standby, "n2").await;
    }
    assert!(calls("n1").is_empty());
    for node in ["n2", "n3", "n4", "n5"] {
        assert_eq!(calls(node), ["pause", "resume"], "{node}: {}", said.all());
    }
    drop(resting);
}
