//! A primary and a standby made for one test, on loopback, in a directory of their own.
#![allow(
    clippy::expect_used,
    dead_code,
    unreachable_pub,
    reason = "every test file uses a part of it, as a module of its own"
)]

mod ports;
pub mod sshd;

pub use ports::free_port;

use pgbaton::cluster::{
    Inventory, Node, NodeName, Observe, Product, PromotePolicy, ReplicationAccess, SlotName,
    SqlAccess, SslMode, SyncMode, Synchronous, Transport,
};
use pgbaton::postgres::LiveCluster;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const BIN: &str = "/usr/lib/postgresql/15/bin";

/// Everything that waits in a test ends after this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn name(text: &str) -> NodeName {
    NodeName::parse(text).unwrap()
}

pub fn slot(text: &str) -> SlotName {
    SlotName::parse(text).unwrap()
}

/// Two servers; they end with the test.
pub struct Pair {
    pub dir: tempfile::TempDir,
    pub inventory: Inventory,
}

fn am_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs a program as the user that owns the servers; panics when it fails.
pub fn run(argv: &[&str]) -> String {
    let output = try_run(argv);
    assert!(
        output.status.success(),
        "{argv:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program as the current user; panics when it fails.
pub fn run_as_self(argv: &[&str]) {
    assert!(
        Command::new(argv[0])
            .args(&argv[1..])
            .status()
            .unwrap()
            .success()
    );
}

fn try_run(argv: &[&str]) -> Output {
    let mut all = Vec::new();
    if am_root() {
        all.extend(["runuser", "-u", "postgres", "--"]);
    }
    all.extend_from_slice(argv);
    Command::new(all[0])
        .args(&all[1..])
        .current_dir("/")
        .output()
        .unwrap()
}

impl Pair {
    /// A primary `n1` and a standby `n2` that streams from it with a slot.
    pub async fn new() -> Self {
        let pair = Self::prepared();
        let (n1, n2) = (pair.data("n1"), pair.data("n2"));
        let program = |p: &str| format!("{BIN}/{p}");
        run(&[
            &program("initdb"),
            "-D",
            &n1,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-N",
            "-E",
            "UTF8",
            "--locale=C",
        ]);
        pair.configure("n1");
        pair.start("n1");
        pair.sql(
            "n1",
            "SELECT pg_create_physical_replication_slot('pgbaton_n2', true)",
        );
        let port = pair.port("n1").to_string();
        run(&[
            &program("pg_basebackup"),
            "-D",
            &n2,
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "postgres",
            "-c",
            "fast",
            "-X",
            "stream",
            "-S",
            "pgbaton_n2",
            "-N",
        ]);
        pair.configure("n2");
        let conninfo = format!("host=127.0.0.1 port={port} user=postgres application_name=n2");
        pair.append(
            "n2",
            "postgresql.auto.conf",
            &format!("primary_conninfo = '{conninfo}'\nprimary_slot_name = 'pgbaton_n2'\n"),
        );
        run(&["touch", &format!("{n2}/standby.signal")]);
        pair.start("n2");
        pair.until("n2 streams", async |live: &LiveCluster| {
            live.senders(&name("n1"))
                .await
                .is_ok_and(|s| s.iter().any(|s| s.state == "streaming"))
        })
        .await;
        pair
    }

    /// The directory and the inventory, without servers.
    pub fn prepared() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("pgl")
            .tempdir_in("/tmp")
            .unwrap();
        if am_root() {
            let path = dir.path().to_str().unwrap();
            let done = Command::new("chown").args(["postgres:", path]).status();
            assert!(done.unwrap().success());
        }
        let node = |text: &str, id| {
            let node = Node {
                name: name(text),
                id,
                host: "127.0.0.1".into(),
                port: free_port(),
                priority: 100,
                location: String::new(),
                promote: PromotePolicy::Allowed,
                data: dir.path().join(text),
                bin: PathBuf::from(BIN),
                transport: Transport::Local {
                    user: am_root().then(|| "postgres".into()),
                },
                log: None,
                service: None,
                forbid_return: None,
                allow_return: None,
            };
            (node.name.clone(), node)
        };
        let inventory = Inventory {
            cluster: "test".into(),
            product: Product::Postgresql,
            nodes: BTreeMap::from([node("n1", 1), node("n2", 2)]),
            sql: SqlAccess {
                user: "postgres".into(),
                dbname: "postgres".into(),
                passfile: None,
                password: None,
                sslmode: SslMode::Prefer,
                sslrootcert: None,
            },
            replication: ReplicationAccess {
                user: "postgres".into(),
                passfile: None,
                options: BTreeMap::new(),
            },
            synchronous: Synchronous {
                mode: SyncMode::Quorum,
                acks: 1,
            },
            repmgr: None,
            detector: pgbaton::cluster::Detector::default(),
        };
        Self { dir, inventory }
    }

    pub fn live(&self) -> LiveCluster {
        LiveCluster::new(Arc::new(self.inventory.clone()))
    }

    pub fn data(&self, node: &str) -> String {
        self.dir.path().join(node).to_str().unwrap().to_owned()
    }

    pub fn port(&self, node: &str) -> u16 {
        self.inventory.nodes[&name(node)].port
    }

    fn configure(&self, node: &str) {
        let text = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\nhot_standby = on\n\
             wal_level = replica\nmax_wal_senders = 5\nmax_replication_slots = 4\nshared_buffers = 16MB\nwal_keep_size = 128MB\n\
             wal_retrieve_retry_interval = 200ms\ncluster_name = '{node}'\n",
            self.port(node),
            self.dir.path().display(),
        );
        self.append(node, "postgresql.conf", &text);
    }

    pub fn append(&self, node: &str, file: &str, text: &str) {
        use std::io::Write;
        let path = Path::new(&self.data(node)).join(file);
        let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub fn file(&self, node: &str, file: &str) -> String {
        std::fs::read_to_string(Path::new(&self.data(node)).join(file)).unwrap()
    }

    pub fn start(&self, node: &str) {
        let data = self.data(node);
        let log = format!("{data}.log");
        let program = format!("{BIN}/pg_ctl");
        let started = try_run(&[&program, "-D", &data, "-l", &log, "-w", "-s", "start"]);
        assert!(
            started.status.success(),
            "{node} does not start: {}{}",
            String::from_utf8_lossy(&started.stderr),
            std::fs::read_to_string(&log).unwrap_or_default()
        );
    }

    pub fn sql(&self, node: &str, statement: &str) -> String {
        let port = self.port(node).to_string();
        run(&[
            &format!("{BIN}/psql"),
            "-X",
            "-A",
            "-t",
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "postgres",
            "-d",
            "postgres",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            statement,
        ])
        .trim()
        .to_owned()
    }

    pub fn postmaster(&self, node: &str) -> i32 {
        let file = self.file(node, "postmaster.pid");
        file.lines().next().unwrap().parse().unwrap()
    }

    /// Waits for something to become true.
    pub async fn until(&self, what: &str, mut check: impl AsyncFnMut(&LiveCluster) -> bool) {
        let live = self.live();
        let end = Instant::now() + PATIENCE;
        while !check(&live).await {
            assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let Ok(processes) = std::fs::read_dir("/proc") else {
            return;
        };
        for process in processes.flatten() {
            let pid = process.file_name().to_str().and_then(|n| n.parse().ok());
            let cwd = std::fs::read_link(process.path().join("cwd"));
            if let (Some(pid), Ok(cwd)) = (pid, cwd)
                && cwd.starts_with(self.dir.path())
                && let Some(pid) = rustix::process::Pid::from_raw(pid)
            {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        self.remove_segments();
    }
}

impl Pair {
    /// What a killed server leaves in the kernel, as its pid file names it.
    fn remove_segments(&self) {
        for entry in std::fs::read_dir(self.dir.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            let file = std::fs::read_to_string(entry.path().join("postmaster.pid"));
            let text = file.unwrap_or_default();
            let id = text
                .lines()
                .nth(6)
                .and_then(|l| l.split_whitespace().nth(1));
            if let Some(id) = id {
                let _ = std::process::Command::new("ipcrm")
                    .args(["-m", id])
                    .output();
            }
        }
    }
}
