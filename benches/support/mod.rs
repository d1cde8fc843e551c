//! What the benches on real servers share: labs, warm connections, the two bare scripts, the watcher, medians.
#![allow(dead_code, reason = "each bench uses its own part")]

use pgbaton::cluster::NodeName;
use pgbaton::lab::{Disposable, Endpoint, Fault, Lab, LabOptions};
use std::time::{Duration, Instant};
use tokio_postgres::Client;

/// One lab with a connection to every node, opened beforehand.
pub(crate) struct Rig {
    pub lab: Disposable,
    pub nodes: Vec<(String, Endpoint, Client)>,
}

pub(crate) fn name(node: &str) -> NodeName {
    NodeName::parse(node).expect("node name")
}

pub(crate) async fn connect(endpoint: &Endpoint) -> Client {
    let (client, connection) = tokio_postgres::Config::new()
        .host(&endpoint.host)
        .port(endpoint.port)
        .user(&endpoint.user)
        .dbname(&endpoint.dbname)
        .connect(tokio_postgres::NoTls)
        .await
        .expect("connect");
    tokio::spawn(connection);
    client
}

impl Rig {
    pub(crate) async fn up(tag: &str, standbys: u32) -> Self {
        Self::on(tag, standbys, false).await
    }

    /// The same, with every node on a host of its own where that is asked for; needs root.
    pub(crate) async fn on(tag: &str, standbys: u32, hosts: bool) -> Self {
        let options = LabOptions {
            name: format!("bench-{tag}-{}", std::process::id()),
            standbys,
            hosts,
            ..LabOptions::default()
        };
        let lab = Lab::up(options).await.expect("lab up").disposable();
        let mut nodes = Vec::new();
        for node in lab.nodes().cloned().collect::<Vec<_>>() {
            let endpoint = lab.endpoint(node.as_str()).expect("endpoint");
            let client = connect(&endpoint).await;
            nodes.push((node.to_string(), endpoint, client));
        }
        Self { lab, nodes }
    }

    /// `kill -9` of n1, and a moment for its senders to notice: the clock of every variant starts after it.
    pub(crate) async fn kill_primary(&self) {
        self.lab
            .fault(&name("n1"), Fault::Kill)
            .await
            .expect("kill");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    pub(crate) fn client(&self, node: &str) -> &Client {
        &self
            .nodes
            .iter()
            .find(|(n, _, _)| n == node)
            .expect("node")
            .2
    }

    pub(crate) fn endpoint(&self, node: &str) -> &Endpoint {
        &self
            .nodes
            .iter()
            .find(|(n, _, _)| n == node)
            .expect("node")
            .1
    }

    pub(crate) fn standbys(&self) -> Vec<&str> {
        self.nodes
            .iter()
            .map(|(n, _, _)| n.as_str())
            .filter(|n| *n != "n1")
            .collect()
    }

    /// Watches, over connections of its own, until one of `candidates` is out of recovery with `followers` streaming
    /// from it. The same watcher times every variant.
    pub(crate) async fn watch(&self, candidates: &[&str], followers: usize) -> Watched {
        let mut watchers = Vec::new();
        for node in candidates {
            let client = connect(self.endpoint(node)).await;
            // Planned once: a watcher that keeps a core busy would slow down what it measures.
            let question = client.prepare(QUESTION).await.expect("question");
            watchers.push((client, question));
        }
        Watched {
            watchers,
            followers,
        }
    }
}

/// What the watcher asks.
const QUESTION: &str = "SELECT NOT pg_is_in_recovery(), \
     (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming')";

/// Between two looks of the watcher, which it does not see more closely than that.
const LOOK: Duration = Duration::from_millis(2);

/// A watcher that is ready.
pub(crate) struct Watched {
    watchers: Vec<(Client, tokio_postgres::Statement)>,
    followers: usize,
}

impl Watched {
    /// Waits until everybody is attached; gives the moments of the first node out of recovery and of the last attachment.
    pub(crate) async fn attached(self, began: Instant) -> (Duration, Duration) {
        let mut promoted = None;
        loop {
            for (client, question) in &self.watchers {
                let Ok(row) = client.query_one(question, &[]).await else {
                    continue;
                };
                if !row.get::<_, bool>(0) {
                    continue;
                }
                promoted.get_or_insert_with(|| began.elapsed());
                if row.get::<_, i64>(1) >= i64::try_from(self.followers).expect("few") {
                    return (promoted.unwrap_or_default(), began.elapsed());
                }
            }
            assert!(
                began.elapsed() < Duration::from_mins(2),
                "nobody attached within two minutes"
            );
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The median of some figures, in milliseconds.
pub(crate) fn median(figures: &[Duration]) -> f64 {
    let mut sorted: Vec<f64> = figures.iter().map(|d| d.as_secs_f64() * 1e3).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

/// A line of the result: median, smallest, largest.
pub(crate) fn line(what: &str, figures: &[Duration]) -> String {
    let min = figures.iter().min().map_or(0.0, |d| d.as_secs_f64() * 1e3);
    let max = figures.iter().max().map_or(0.0, |d| d.as_secs_f64() * 1e3);
    format!(
        "{what:<46} {:>8.1} ms  ({min:.1} to {max:.1}, n = {})",
        median(figures),
        figures.len()
    )
}

/// The value after `--name`, for the few options that benches have.
pub(crate) fn option(wanted: &str, default: u32) -> u32 {
    let arguments: Vec<String> = std::env::args().collect();
    arguments
        .windows(2)
        .find(|pair| pair[0] == format!("--{wanted}"))
        .and_then(|pair| pair[1].parse().ok())
        .unwrap_or(default)
}
