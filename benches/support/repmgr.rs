//! repmgr itself on a lab's servers, by its own programs.

use super::support::Rig;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The nodes of a lab, registered.
pub(crate) struct Repmgr {
    /// `nN` and its configuration.
    nodes: Vec<(String, PathBuf)>,
}

fn bin() -> String {
    std::env::var("PGBATON_PG_BIN").unwrap_or_else(|_| "/usr/lib/postgresql/15/bin".to_owned())
}

impl Repmgr {
    /// Registers every node; followers reload, or restart.
    pub(crate) async fn register(rig: &Rig, restart: bool) -> Self {
        for statement in [
            "CREATE ROLE repmgr SUPERUSER LOGIN",
            "CREATE DATABASE repmgr OWNER repmgr",
        ] {
            let done = rig.client("n1").simple_query(statement).await;
            done.expect("repmgr's role and database");
        }
        let mut nodes = Vec::new();
        for (index, (node, endpoint, client)) in rig.nodes.iter().enumerate() {
            let known = "SELECT count(*) FROM pg_database WHERE datname = 'repmgr'";
            while client
                .query_one(known, &[])
                .await
                .expect("asked")
                .get::<_, i64>(0)
                == 0
            {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            let conf = rig.lab.dir().join(format!("{node}.repmgr.conf"));
            let data = rig.lab.data(&super::support::name(node));
            let text = format!(
                "node_id={id}\nnode_name='{node}'\n\
                 conninfo='host={host} port={port} user=repmgr dbname=repmgr connect_timeout=2'\n\
                 data_directory='{data}'\npg_bindir='{bin}'\nreplication_user='replicator'\n\
                 use_replication_slots=yes\nfailover=manual\nstandby_follow_restart={restart}\n",
                id = index + 1,
                host = endpoint.host,
                port = endpoint.port,
                data = data.display(),
                bin = bin(),
            );
            std::fs::write(&conf, text).expect("its configuration");
            nodes.push((node.clone(), conf));
        }
        let repmgr = Self { nodes };
        for (index, (node, conf)) in repmgr.nodes.iter().enumerate() {
            let kind = if index == 0 { "primary" } else { "standby" };
            let words = [kind, "register"];
            assert!(run(conf, &words).await, "{node}: {words:?}");
        }
        repmgr
    }

    fn conf(&self, node: &str) -> &PathBuf {
        let found = self.nodes.iter().find(|(name, _)| name == node);
        &found.expect("registered").1
    }

    /// n2 was promoted by somebody else.
    pub(crate) async fn promoted(&self) {
        let words = ["primary", "register", "--force"];
        assert!(run(self.conf("n2"), &words).await, "n2: {words:?}");
    }

    /// Promotes n2.
    pub(crate) async fn promote(&self) {
        let words = ["standby", "promote"];
        assert!(run(self.conf("n2"), &words).await, "n2: {words:?}");
    }

    /// All others follow n2, at once, as their daemons would let them. One that fails has said so and is not attached.
    pub(crate) async fn follow_all(&self) {
        let others = self.nodes.iter().skip(2).map(|(_, conf)| async move {
            run(conf, &["standby", "follow", "--upstream-node-id=2"]).await
        });
        futures_util::future::join_all(others).await;
    }
}

/// Runs repmgr, which refuses to be run by root; whether it succeeded.
async fn run(conf: &Path, words: &[&str]) -> bool {
    let mut argv = Vec::new();
    if rustix::process::geteuid().is_root() {
        argv.extend(
            [
                "setpriv",
                "--reuid=postgres",
                "--regid=postgres",
                "--init-groups",
            ]
            .map(str::to_owned),
        );
    }
    argv.extend([
        format!("{}/repmgr", bin()),
        "-f".to_owned(),
        conf.display().to_string(),
    ]);
    argv.extend(words.iter().map(|word| (*word).to_owned()));
    let mut command = tokio::process::Command::new(&argv[0]);
    command
        .args(&argv[1..])
        .current_dir("/")
        .stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.expect("repmgr").success()
}
