//! What the end-to-end tests share: a disposable cluster, the real binary, and plain questions to the servers.
#![allow(dead_code, reason = "each test file uses its own part")]

use pgbaton::cluster::{NodeName, SyncMode, Synchronous};
use pgbaton::lab::{Disposable, Endpoint, Fault, Lab, LabOptions, Writer, WriterReport};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

/// A bound on anything that the binary does in a test; far beyond what it takes, so that a hang is a failure.
const PATIENCE: Duration = Duration::from_mins(3);

/// A cluster that goes away with the test, however the test ends.
pub(crate) struct Cluster {
    pub lab: Disposable,
}

/// What the binary said.
#[derive(Debug)]
pub(crate) struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// Everything it printed.
    pub(crate) fn all(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    /// The events of a run with `--json`.
    pub(crate) fn events(&self) -> Vec<serde_json::Value> {
        self.stdout
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The operations that were intended, in order, as `(path, operation)`.
    pub(crate) fn intended(&self) -> Vec<(String, serde_json::Value)> {
        self.events()
            .iter()
            .filter(|e| e["event"]["event"] == "effect_intended")
            .map(|e| {
                (
                    e["event"]["path"].as_str().unwrap().to_owned(),
                    e["event"]["forecast"]["operation"].clone(),
                )
            })
            .collect()
    }

    /// Asserts the exit code; shows everything that was printed when it is another.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "exit code\n--- stdout\n{}\n--- stderr\n{}",
            self.stdout, self.stderr
        );
        self
    }
}

pub(crate) fn name(node: &str) -> NodeName {
    NodeName::parse(node).unwrap()
}

impl Cluster {
    pub(crate) async fn up(test: &str, standbys: u32) -> Self {
        Self::with(
            test,
            LabOptions {
                standbys,
                ..LabOptions::default()
            },
        )
        .await
    }

    pub(crate) async fn asynchronous(test: &str, standbys: u32) -> Self {
        let synchronous = Synchronous {
            mode: SyncMode::Off,
            acks: 1,
        };
        Self::with(
            test,
            LabOptions {
                standbys,
                synchronous,
                ..LabOptions::default()
            },
        )
        .await
    }

    pub(crate) async fn with(test: &str, options: LabOptions) -> Self {
        let options = LabOptions {
            name: format!("{test}-{}", std::process::id()),
            ..options
        };
        Self {
            lab: Lab::up(options).await.unwrap().disposable(),
        }
    }

    pub(crate) async fn fault(&self, node: &str, fault: Fault) {
        self.lab.fault(&name(node), fault).await.unwrap();
    }

    pub(crate) fn endpoint(&self, node: &str) -> Endpoint {
        self.lab.endpoint(node).unwrap()
    }

    pub(crate) fn data(&self, node: &str) -> PathBuf {
        self.lab.data(&name(node))
    }

    /// Runs the binary on this cluster.
    pub(crate) async fn pgbaton(&self, arguments: &[&str]) -> Said {
        let site = self.lab.site_file().to_owned();
        let mut all = vec!["--site", site.to_str().unwrap()];
        all.extend_from_slice(arguments);
        pgbaton(&all).await
    }

    /// A connection of the test's own.
    pub(crate) async fn client(&self, node: &str) -> tokio_postgres::Client {
        let endpoint = self.endpoint(node);
        let (client, connection) = tokio_postgres::Config::new()
            .host(&endpoint.host)
            .port(endpoint.port)
            .user(&endpoint.user)
            .dbname(&endpoint.dbname)
            .connect_timeout(Duration::from_secs(5))
            .connect(tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }

    /// The first column of the first row, as text.
    pub(crate) async fn ask(&self, node: &str, statement: &str) -> String {
        let messages = self
            .client(node)
            .await
            .simple_query(statement)
            .await
            .unwrap();
        for message in messages {
            if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
                return row.get(0).unwrap_or("").to_owned();
            }
        }
        String::new()
    }

    /// All rows, as texts.
    pub(crate) async fn rows(&self, node: &str, statement: &str) -> Vec<Vec<Option<String>>> {
        let messages = self.client(node).await.simple_query(statement).await;
        let rows = messages.unwrap().into_iter().filter_map(|message| {
            let tokio_postgres::SimpleQueryMessage::Row(row) = message else {
                return None;
            };
            let fields = (0..row.len()).map(|index| row.get(index).map(str::to_owned));
            Some(fields.collect())
        });
        rows.collect()
    }

    /// Executes statements.
    pub(crate) async fn tell(&self, node: &str, statements: &str) {
        self.client(node)
            .await
            .batch_execute(statements)
            .await
            .unwrap();
    }

    /// Asks until the answer is as wanted; panics when it is not within the tests' patience.
    pub(crate) async fn until(&self, node: &str, statement: &str, wanted: &str) {
        let mut last = String::new();
        for _ in 0..1200 {
            last = self.ask(node, statement).await;
            if last == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("`{statement}` on {node} stays `{last}`, not `{wanted}`");
    }

    /// Waits until these have replayed all that is on `primary` now.
    pub(crate) async fn until_replayed(&self, primary: &str, standbys: &[&str]) {
        let at = self.ask(primary, "SELECT pg_current_wal_lsn()").await;
        let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{at}'");
        for standby in standbys {
            self.until(standby, &replayed, "t").await;
        }
    }

    pub(crate) async fn writer(&self) -> Writer {
        let writer = Writer::start(self.lab.endpoints()).await.unwrap();
        assert!(
            writer.wait_for(50, Duration::from_secs(30)).await,
            "the writer does not get going"
        );
        writer
    }

    /// Who is primary, by the binary's own `status --json`.
    pub(crate) async fn status(&self) -> serde_json::Value {
        let said = self.pgbaton(&["--json", "status"]).await;
        serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{e}: {}", said.all()))
    }

    pub(crate) async fn primary(&self) -> String {
        let status = self.status().await;
        let rows = status["rows"].as_array().unwrap();
        let primaries: Vec<&str> = rows
            .iter()
            .filter(|r| r["role"] == "primary")
            .map(|r| r["name"].as_str().unwrap())
            .collect();
        assert_eq!(primaries.len(), 1, "{status:#}");
        primaries[0].to_owned()
    }

    /// Asserts that `node` streams from `upstream`.
    pub(crate) async fn assert_streams(&self, node: &str, upstream: &str) {
        let statement = format!(
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = '{node}' AND state = 'streaming'"
        );
        self.until(upstream, &statement, "1").await;
    }
}

/// Asserts that no acknowledged row is missing on `primary`.
pub(crate) async fn assert_nothing_lost(cluster: &Cluster, report: &WriterReport, primary: &str) {
    let verdict = report.verify(&cluster.endpoint(primary)).await.unwrap();
    assert_eq!(
        verdict.lost.len(),
        0,
        "acknowledged rows are missing on {primary}: {:?}",
        verdict.lost
    );
}

/// The stock playbook of this name.
pub(crate) fn stock(playbook: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join(format!("playbooks/{playbook}.yaml"))).unwrap()
}

/// Replaces text that must be there.
#[track_caller]
pub(crate) fn swap(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "`{from}` is not in the text");
    text.replace(from, to)
}

/// A run under way, with `--json`.
pub(crate) struct UnderWay {
    child: tokio::process::Child,
    lines: tokio::io::Lines<tokio::io::BufReader<tokio::process::ChildStdout>>,
    stdout: String,
}

impl UnderWay {
    /// Starts `pgbaton --site SITE --json run …`.
    pub(crate) fn start(site: &std::path::Path, arguments: &[&str]) -> Self {
        Self::of(site, &[&["run"], arguments].concat())
    }

    /// Starts `pgbaton --site SITE --json …`.
    pub(crate) fn of(site: &std::path::Path, arguments: &[&str]) -> Self {
        Self::with(site, arguments, &[])
    }

    /// The same with these environment variables.
    pub(crate) fn with(
        site: &std::path::Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgbaton"))
            .args(["--site", site.to_str().unwrap(), "--json"])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdout = tokio::io::BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            lines: tokio::io::AsyncBufReadExt::lines(stdout),
            stdout: String::new(),
        }
    }

    /// Reads events up to the first that is as wanted; panics when the run ends before.
    pub(crate) async fn until(
        &mut self,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        loop {
            let line = tokio::time::timeout(PATIENCE, self.lines.next_line())
                .await
                .expect("the run says nothing any more")
                .unwrap();
            let Some(line) = line else {
                panic!("the run ended without the event:\n{}", self.stdout);
            };
            self.stdout.push_str(&line);
            self.stdout.push('\n');
            if let Ok(envelope) = serde_json::from_str::<serde_json::Value>(&line)
                && wanted(&envelope["event"])
            {
                return envelope["event"].clone();
            }
        }
    }

    /// Reads events up to the start of this step.
    pub(crate) async fn until_started(&mut self, path: &str) {
        self.until(|e| e["event"] == "step_started" && e["path"] == path)
            .await;
    }

    /// Sends a signal to it.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id().expect("it runs")).unwrap();
        let pid = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> Said {
        let rest = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.stdout.push_str(&line);
                self.stdout.push('\n');
            }
            self.child.wait_with_output().await.unwrap()
        };
        let output = tokio::time::timeout(PATIENCE, rest)
            .await
            .expect("pgbaton did not end");
        Said {
            code: output.status.code().unwrap_or(-1),
            stdout: self.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs the binary.
pub(crate) async fn pgbaton(arguments: &[&str]) -> Said {
    let command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgbaton"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .env_remove("PGBATON_SITE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, command)
        .await
        .expect("pgbaton did not end")
        .unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
