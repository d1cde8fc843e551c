//! `pgbaton serve` as a process of its own.
#![allow(dead_code, reason = "each test file uses its own part")]

use super::support::{Cluster, swap};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::watch;

/// Longer than anything takes that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Lets the site file say this of its cluster's detector.
pub(crate) fn with_detector(cluster: &Cluster, detector: &str) {
    let site = cluster.lab.site_file();
    let text = std::fs::read_to_string(site).unwrap();
    let line = format!("    detector: {detector}\n    nodes:\n");
    std::fs::write(site, swap(&text, "    nodes:\n", &line)).unwrap();
}

/// A server that watches.
pub(crate) struct Serving {
    child: tokio::process::Child,
    said: Arc<Mutex<String>>,
    news: watch::Receiver<usize>,
}

impl Serving {
    /// Starts it, and waits until it has seen the primary.
    pub(crate) async fn start(cluster: &Cluster) -> Self {
        Self::start_with(cluster, |_| ()).await
    }

    /// The same, with something of the test's own about the process.
    pub(crate) async fn start_with(
        cluster: &Cluster,
        dress: impl FnOnce(&mut tokio::process::Command),
    ) -> Self {
        let site = cluster.lab.site_file().to_owned();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgbaton"));
        dress(&mut command);
        let mut child = command
            .args(["--site", site.to_str().unwrap(), "serve"])
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = Arc::new(Mutex::new(String::new()));
        let (tell, news) = watch::channel(0);
        let kept = Arc::clone(&said);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
                tell.send_modify(|lines| *lines += 1);
            }
        });
        let mut serving = Self { child, said, news };
        serving.until("is the primary").await;
        serving
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has said this.
    pub(crate) async fn until(&mut self, words: &str) {
        let told = Arc::clone(&self.said);
        let waiting = async {
            while !self.said().contains(words) {
                let goes_on = self.news.changed().await.is_ok();
                assert!(goes_on, "it ended without `{words}`:\n{}", self.said());
            }
        };
        let came = tokio::time::timeout(PATIENCE, waiting).await.is_ok();
        assert!(came, "`{words}` is not said:\n{}", told.lock().unwrap());
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().expect("it runs")).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Asks it to end, where it has not ended yet; its exit code.
    pub(crate) async fn stop(mut self) -> i32 {
        if let Some(id) = self.child.id() {
            // It may end at this moment by itself.
            let id = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
            let _ = kill_process(id, Signal::TERM);
        }
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended
            .expect("it does not end")
            .unwrap()
            .code()
            .unwrap_or(-1)
    }
}

/// The runs of the cluster.
pub(crate) async fn runs(cluster: &Cluster) -> Vec<serde_json::Value> {
    let said = cluster.pgbaton(&["--json", "runs", "list"]).await.expect(0);
    let all = said.events().into_iter();
    all.filter(|run| run["cluster"] == cluster.lab.name())
        .collect()
}

/// SIGHUP to the postmaster, for one that lets nobody in to ask.
pub(crate) fn reload(cluster: &Cluster, node: &str) {
    let file = cluster.data(node).join("postmaster.pid");
    let text = std::fs::read_to_string(file).unwrap();
    let pid: i32 = text.lines().next().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::HUP).unwrap();
}

/// Takes every connection that there is; they are given back when what is returned goes.
pub(crate) async fn crowd(cluster: &Cluster, node: &str) -> Vec<tokio_postgres::Client> {
    let endpoint = cluster.endpoint(node);
    let mut all = Vec::new();
    for _ in 0..200 {
        let opened = tokio_postgres::Config::new()
            .host(&endpoint.host)
            .port(endpoint.port)
            .user(&endpoint.user)
            .dbname(&endpoint.dbname)
            .connect(tokio_postgres::NoTls)
            .await;
        let Ok((client, connection)) = opened else {
            return all;
        };
        tokio::spawn(connection);
        all.push(client);
    }
    panic!("{node} never runs out of connections");
}
