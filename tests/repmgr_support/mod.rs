//! A lab whose servers are registered in repmgr, by repmgr's own program.

use crate::support::{Cluster, name};
use pgbaton::lab::LabOptions;
use pgbaton::site::Site;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

/// A bound on anything that repmgr does in a test.
const PATIENCE: Duration = Duration::from_mins(1);

/// A cluster that repmgr knows.
pub(crate) struct Registered {
    pub(crate) cluster: Cluster,
    bin: PathBuf,
    /// The servers' user, where it is not the current one.
    user: Option<String>,
}

impl Registered {
    /// A lab with its nodes registered, `n1` as the primary.
    pub(crate) async fn up(test: &str, standbys: u32) -> Self {
        let options = LabOptions {
            standbys,
            settings: vec![("shared_preload_libraries".into(), "repmgr".into())],
            ..LabOptions::default()
        };
        let cluster = Cluster::with(test, options).await;
        let site = Site::load(cluster.lab.site_file()).unwrap();
        let first = site.clusters.values().next().unwrap();
        let node = first.node(&name("n1")).unwrap();
        let user = match &node.transport {
            pgbaton::cluster::Transport::Local { user } => user.clone(),
            _ => None,
        };
        let registered = Self {
            bin: node.bin.clone(),
            user,
            cluster,
        };
        assert!(
            registered.program("repmgr").exists(),
            "repmgr is missing: scripts/test installs it"
        );
        let roles = "CREATE ROLE repmgr SUPERUSER LOGIN";
        registered.cluster.tell("n1", roles).await;
        let database = "CREATE DATABASE repmgr OWNER repmgr";
        registered.cluster.tell("n1", database).await;
        for id in 1..=standbys + 1 {
            let conf = registered.configure(id);
            let kind = if id == 1 { "primary" } else { "standby" };
            let said = registered.repmgr(&conf, &[kind, "register"]).await;
            assert!(said.status.success(), "{kind} register: {said:?}");
            if id == 1 {
                for standby in 2..=standbys + 1 {
                    let node = format!("n{standby}");
                    let known = "SELECT count(*) FROM pg_database WHERE datname = 'repmgr'";
                    registered.cluster.until(&node, known, "1").await;
                }
            }
        }
        registered
    }

    /// The connection string of a node.
    pub(crate) fn conninfo(&self, node: &str) -> String {
        let port = self.cluster.endpoint(node).port;
        format!("host=127.0.0.1 port={port} user=repmgr dbname=repmgr connect_timeout=2")
    }

    /// Writes a node's `repmgr.conf`.
    fn configure(&self, id: u32) -> PathBuf {
        let node = format!("n{id}");
        let file = self.conf(&node);
        let text = format!(
            "node_id={id}\nnode_name='{node}'\nconninfo='{}'\ndata_directory='{}'\npg_bindir='{}'\n\
             replication_user='replicator'\nuse_replication_slots=yes\nlocation='lab'\nfailover=manual\n\
             promote_command='/bin/false'\nfollow_command='/bin/false'\n",
            self.conninfo(&node),
            self.cluster.data(&node).display(),
            self.bin.display(),
        );
        std::fs::write(&file, text).unwrap();
        file
    }

    /// A node's `repmgr.conf`.
    pub(crate) fn conf(&self, node: &str) -> PathBuf {
        self.cluster.lab.dir().join(format!("{node}.repmgr.conf"))
    }

    /// A program beside the server's.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// A command of repmgr's, which refuses to be run by root.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> tokio::process::Command {
        let program = self.program(program);
        let mut command = match &self.user {
            None => tokio::process::Command::new(program),
            Some(user) => {
                let mut command = tokio::process::Command::new("setpriv");
                let ids = [
                    format!("--reuid={user}"),
                    format!("--regid={user}"),
                    "--init-groups".to_owned(),
                ];
                command.args(ids).arg(program);
                command
            }
        };
        command
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs repmgr.
    pub(crate) async fn repmgr(&self, conf: &Path, arguments: &[&str]) -> Output {
        let conf = conf.to_str().unwrap();
        let all = [&["-f", conf][..], arguments].concat();
        let output = self.command("repmgr", &all).output();
        let output = tokio::time::timeout(PATIENCE, output).await;
        output.expect("repmgr does not end").unwrap()
    }

    /// Starts a node's repmgrd, in the foreground; it ends with the test.
    pub(crate) fn daemon(&self, node: &str) -> tokio::process::Child {
        let conf = self.conf(node);
        let words = [
            "-f",
            conf.to_str().unwrap(),
            "--daemonize=false",
            "--no-pid-file",
        ];
        let mut command = self.command("repmgrd", &words);
        let log = std::fs::File::create(conf.with_extension("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command.spawn().unwrap()
    }

    /// Whether a node's repmgrd runs, and whether it is paused, as `repmgr service status` says.
    pub(crate) async fn service(&self, node: &str) -> (bool, bool) {
        let words = ["service", "status", "--csv"];
        let output = self.repmgr(&self.conf(node), &words).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let mut own = rows.filter(|cells| cells.get(1) == Some(&node));
        let cells = own.next().unwrap_or_else(|| panic!("{output:?}"));
        (cells[4] == "1", cells[6] == "1")
    }

    /// `repmgr cluster show`, as lines of `name|role|status|upstream`, and its exit code.
    pub(crate) async fn show(&self, node: &str) -> (Vec<String>, i32) {
        let output = self.repmgr(&self.conf(node), &["cluster", "show"]).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let rows = text
            .lines()
            .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>())
            .filter(|cells| cells.len() > 5 && cells[0].parse::<u32>().is_ok())
            .map(|cells| cells[1..5].join("|"));
        (rows.collect(), output.status.code().unwrap_or(-1))
    }
}
