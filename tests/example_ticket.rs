//! docs/examples/ticket, with a small ticket system: opened before a person is asked, closed with what came of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod examples_support;
mod live_support;
mod support;

use examples_support::{Daemon, dress, place};
use live_support::free_port;
use pgbaton::lab::Fault;
use serde_json::Value as Json;
use std::process::Command;
use std::time::Duration;
use support::{Cluster, UnderWay};

const TOKEN: &str = "hunter2-of-the-tickets";

/// A ticket system, and a lab whose primary is dead.
struct Ticketed {
    cluster: Cluster,
    place: tempfile::TempDir,
    _system: Daemon,
}

impl Ticketed {
    async fn up(test: &str) -> Self {
        let cluster = Cluster::up(test, 2).await;
        let (place, port) = (place(), free_port());
        let token = place.path().join("token");
        std::fs::write(&token, format!("Bearer {TOKEN}\n")).unwrap();
        let mut command = Command::new("/usr/bin/python3");
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        command.arg(root.join("tests/examples_support/tickets.py"));
        command.arg(port.to_string()).arg(place.path()).arg(TOKEN);
        let system = Daemon::start(command, &place.path().join("system.log"));
        for _ in 0..600 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        dress(
            &cluster,
            "ticket",
            &format!("{{ tickets: 'http://127.0.0.1:{port}/tickets' }}"),
        );
        cluster.fault("n1", Fault::Kill).await;
        Self {
            cluster,
            place,
            _system: system,
        }
    }

    /// A run that has come to its question, and its id.
    async fn asking(&self, token: &std::path::Path) -> (UnderWay, String) {
        let token = format!("ticket_token=file:{}", token.display());
        let words = ["approved_failover", "-p", &token];
        let mut run = UnderWay::start(self.cluster.lab.site_file(), &words);
        let started = run.until(|e| e["event"] == "run_started").await;
        run.until(|e| e["evidence"]["topic"] == "question").await;
        (run, started["run"].as_str().unwrap().to_owned())
    }

    fn ticket(&self, id: &str) -> Option<Json> {
        let text = std::fs::read_to_string(self.place.path().join(format!("{id}.json"))).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    async fn answer(&self, word: &str, run: &str) {
        let words = ["runs", word, run, "--reason", "OPS-4711"];
        self.cluster.pgbaton(&words).await.expect(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_open_while_a_person_is_asked_and_closed_with_the_new_primary() {
    let ticketed = Ticketed::up("ex-tick-yes").await;
    let (run, id) = ticketed.asking(&ticketed.place.path().join("token")).await;
    let open = ticketed.ticket(&id).expect("it is there before the answer");
    assert_eq!(
        (&open["state"], &open["primary"]),
        (&"open".into(), &"n1".into())
    );
    assert!(open["approve"].as_str().unwrap().contains(&id));
    ticketed.answer("approve", &id).await;
    let said = run.end().await.expect(0);
    let new = ticketed.cluster.primary().await;
    let closed = ticketed.ticket(&id).unwrap();
    let told = |key: &str| closed[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        [
            told("state"),
            told("outcome"),
            told("new_primary"),
            told("reason")
        ],
        ["closed", "replaced", &new, "OPS-4711"],
        "{closed}"
    );
    assert!(
        !said.all().contains(TOKEN),
        "the token stays out of what is told"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_denies_closes_the_ticket_and_nobody_is_promoted() {
    let ticketed = Ticketed::up("ex-tick-no").await;
    let (run, id) = ticketed.asking(&ticketed.place.path().join("token")).await;
    ticketed.answer("deny", &id).await;
    run.end().await.expect(3);
    let closed = ticketed.ticket(&id).unwrap();
    assert_eq!(closed["state"], "closed", "{closed}");
    assert_eq!(closed["outcome"], "not replaced", "{closed}");
    assert_eq!(closed["ask"], "failed", "{closed}");
    for standby in ["n2", "n3"] {
        assert_eq!(
            ticketed
                .cluster
                .ask(standby, "SELECT pg_is_in_recovery()")
                .await,
            "t"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_system_that_refuses_keeps_nobody_from_deciding() {
    let ticketed = Ticketed::up("ex-tick-401").await;
    let wrong = ticketed.place.path().join("wrong");
    std::fs::write(&wrong, "Bearer something-else\n").unwrap();
    let (run, id) = ticketed.asking(&wrong).await;
    ticketed.answer("approve", &id).await;
    let said = run.end().await;
    assert_ne!(ticketed.cluster.primary().await, "n1");
    assert!(ticketed.ticket(&id).is_none());
    assert!(said.stdout.contains("401"), "{}", said.all());
    // It answers with the token that it was given; that is not shown.
    assert!(!said.all().contains("something-else"), "{}", said.all());
}
