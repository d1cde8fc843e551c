//! `pgbaton serve` under a service manager: it says when it is ready and that it lives, and reads its site file again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod serve_support;
mod support;

use pgbaton::lab::Fault;
use rustix::process::Signal;
use serve_support::{Serving, runs, with_detector};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use support::{Cluster, swap};
use tokio::net::UnixDatagram;

/// Reads what the service manager is told, until it is this, or begins so.
async fn until(socket: &UnixDatagram, word: &str) {
    let hear = async {
        let mut told = vec![0; 4096];
        loop {
            let length = socket.recv(&mut told).await.unwrap();
            let text = String::from_utf8_lossy(&told[..length]).into_owned();
            let is_it = |line: &str| match word.strip_suffix('…') {
                Some(begin) => line.starts_with(begin),
                None => line == word,
            };
            if text.lines().any(is_it) {
                return;
            }
        }
    };
    let heard = tokio::time::timeout(Duration::from_secs(30), hear).await;
    assert!(heard.is_ok(), "{word} is not told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_is_told_and_the_site_file_is_read_again() {
    let cluster = Cluster::up("sv-unit", 1).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut serving = Serving::start_with(&cluster, |command| {
        command.env("NOTIFY_SOCKET", &path);
    })
    .await;
    until(&socket, "READY=1").await;
    until(&socket, "WATCHDOG=1").await;
    // One that cannot be used is refused, and the old one kept.
    let site = cluster.lab.site_file();
    let good = std::fs::read_to_string(site).unwrap();
    std::fs::write(
        site,
        swap(&good, "    nodes:\n", "    detektor: auto\n    nodes:\n"),
    )
    .unwrap();
    serving.signal(Signal::HUP);
    serving.until("all stays as it was").await;
    until(&socket, "RELOADING=1").await;
    until(&socket, "READY=1").await;
    // Now it may act; what it knows of the primary goes on.
    std::fs::write(site, &good).unwrap();
    with_detector(&cluster, "auto");
    serving.signal(Signal::HUP);
    serving.until("(auto: it acts)").await;
    cluster.fault("n1", Fault::Kill).await;
    serving
        .until("`failover` was run and reached its goal")
        .await;
    assert_eq!(runs(&cluster).await.len(), 1);
    serving.signal(Signal::TERM);
    until(&socket, "STOPPING=1").await;
    assert_eq!(serving.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_can_read_every_line_that_serve_says() {
    let cluster = Cluster::up("sv-json", 1).await;
    with_detector(&cluster, "observe");
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_pgbaton"))
        .args(["token", "monitor", "--role", "view"])
        .output()
        .unwrap();
    let line = String::from_utf8(made.stderr).unwrap();
    std::fs::write(&tokens, line.lines().last().unwrap()).unwrap();
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o600)).unwrap();
    let site = cluster.lab.site_file();
    let text = std::fs::read_to_string(site).unwrap();
    let api = serde_json::json!({ "listen": "127.0.0.1:0", "tokens": tokens });
    std::fs::write(site, format!("api: {api}\n{text}")).unwrap();
    let mut serving = Serving::start_with(&cluster, |command| {
        command.env("PGBATON_LOG_FORMAT", "json");
    })
    .await;
    cluster.fault("n1", Fault::Kill).await;
    serving.until("`failover` would have been run").await;
    let said = serving.said();
    let lines: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    for words in ["the API listens on", "is the primary"] {
        let told = lines.iter().any(|line| {
            let text = line["fields"]["message"].as_str().unwrap();
            line["target"] == "said" && text.contains(words)
        });
        assert!(told, "{words}: {said}");
    }
    // What is logged beside it names the cluster in a field of its own.
    let logged = lines
        .iter()
        .any(|line| line["level"] == "WARN" && line["fields"]["cluster"] == cluster.lab.name());
    assert!(logged, "{said}");
    assert_eq!(serving.stop().await, 0);
}

#[test]
fn a_program_can_read_why_a_command_failed() {
    let failed = std::process::Command::new(env!("CARGO_BIN_EXE_pgbaton"))
        .args([
            "--site",
            "/nowhere/site.yaml",
            "--log-format",
            "json",
            "serve",
        ])
        .output()
        .unwrap();
    assert!(!failed.status.success());
    let said = String::from_utf8(failed.stderr).unwrap();
    let lines: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let last = lines.last().unwrap();
    assert_eq!(last["level"], "ERROR");
    let text = last["fields"]["message"].as_str().unwrap();
    assert!(text.contains("/nowhere/site.yaml"), "{text}");
}

/// `systemctl status` shows it. It is ready all the same: the watch goes on, and tells people.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_is_told_that_nothing_could_be_started() {
    let cluster = Cluster::asynchronous("sv-journal", 1).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let journal = cluster.lab.dir().join("journal");
    if journal.exists() {
        std::fs::remove_dir_all(&journal).unwrap();
    }
    std::fs::write(&journal, "").unwrap();
    let serving = Serving::start_with(&cluster, |command| {
        command.env("NOTIFY_SOCKET", &path);
    })
    .await;
    until(&socket, "READY=1").await;
    until(&socket, "STATUS=no run can be started…").await;
    std::fs::remove_file(&journal).unwrap();
    until(&socket, "STATUS=").await;
    assert_eq!(serving.stop().await, 0);
}
