//! Real servers behind the port: how they are reached.

use super::alone_here::AloneHere;
use super::dialect::{Dialect, program};
use super::kingbase::Kingbase;
use super::memory::Memory;
use super::pool::{CONNECT, Pool, Warm};
use super::postgresql::Postgresql;
use super::questions::{self, Garbled};
use super::recorded::Records;
use super::scripts;
use super::wire::Answer;
use crate::cluster::{
    self, Inventory, Node, NodeName, Observe, Product, Render, Trouble, TroubleKind,
};
use crate::transport::{
    Command, Finished, Local, Ssh, SshOptions, Template, Transport, TransportError,
};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What looking at a host may take.
pub(super) const LOOK: Duration = Duration::from_secs(10);
/// What an ssh connection may take.
const SSH: Duration = Duration::from_secs(5);

/// What a product's operations look like; no server is needed for that.
pub fn renderer(product: Product) -> &'static dyn Render {
    match product {
        Product::Postgresql => &Postgresql,
        Product::Kingbase => &Kingbase,
    }
}

/// The servers of one cluster. Sessions are opened when they are first needed, or by [`LiveCluster::warm`], and kept.
///
/// Every question ends within seconds even when a server or host is silent.
pub struct LiveCluster {
    pub(super) inventory: Arc<Inventory>,
    pub(super) dialect: &'static dyn Dialect,
    pub(super) pool: Pool,
    pub(super) runner: Arc<dyn Transport>,
    pub(super) records: Records,
    pub(super) hosts: BTreeMap<NodeName, Arc<dyn Transport>>,
    pub(super) memory: Memory,
    pub(super) alone_here: AloneHere,
}

impl fmt::Debug for LiveCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveCluster")
            .field("cluster", &self.inventory.cluster)
            .finish_non_exhaustive()
    }
}

impl LiveCluster {
    /// The cluster of this inventory. Does no I/O.
    pub fn new(inventory: Arc<Inventory>) -> Self {
        let hosts = inventory
            .nodes
            .values()
            .filter_map(|node| Some((node.name.clone(), transport(node)?)))
            .collect();
        Self {
            dialect: match inventory.product {
                Product::Postgresql => &Postgresql,
                Product::Kingbase => &Kingbase,
            },
            pool: Pool::new(Arc::clone(&inventory)),
            runner: Arc::new(Local::runner()),
            records: Records::default(),
            hosts,
            memory: Memory::default(),
            alone_here: AloneHere::default(),
            inventory,
        }
    }

    /// The same, with the name of the store that the fencing tokens come from: those of two stores say nothing of each
    /// other. It is asked when an operation needs it.
    #[must_use]
    pub fn fenced_by(
        mut self,
        store: impl Fn() -> std::io::Result<String> + Send + Sync + 'static,
    ) -> Self {
        self.records.store = Box::new(store);
        self
    }

    /// The same, with the records of operations in another place than `/var/tmp` of each host.
    #[must_use]
    pub fn recording_in(mut self, base: impl Into<PathBuf>) -> Self {
        self.records.base = base.into();
        self
    }

    /// Opens all sessions and host connections at once, and remembers what the primary says. Tells what could not be
    /// opened; that is no error, for a node may be down.
    pub async fn warm(&self) -> Vec<Trouble> {
        let nodes = self.inventory.nodes.keys().map(|node| async move {
            let (sql, replication, host) = tokio::join!(
                async {
                    let warmed = self.pool.warm(node, Warm::Sql, &questions::USUAL).await;
                    warmed.map_err(|e| e.when_asking(node, "failed to open its sessions"))?;
                    self.remember(node).await
                },
                async {
                    let warmed = self.pool.warm(node, Warm::Replication, &[]).await;
                    warmed.map_err(|e| e.when_asking(node, "failed to open a replication session"))
                },
                async {
                    match self.hosts.get(node) {
                        Some(host) => host.warm().await.map_err(|e| host_trouble(node, &e)),
                        None => Ok(()),
                    }
                }
            );
            [sql, replication, host]
        });
        let results = join_all(nodes).await;
        results
            .into_iter()
            .flatten()
            .filter_map(Result::err)
            .collect()
    }

    /// Looks at a node and keeps what matters of a primary, for the time when it does not run.
    pub async fn remember(&self, node: &NodeName) -> Result<(), Trouble> {
        self.server(node).await.map(|_| ())
    }

    pub(super) fn node(&self, name: &NodeName) -> Result<&Node, Trouble> {
        self.inventory.node(name).ok_or_else(|| {
            Trouble::on(
                TroubleKind::Failed,
                name,
                "there is no such node in the site file",
            )
        })
    }

    /// The way to a node's host.
    pub(super) fn way(&self, node: &NodeName) -> Result<&Arc<dyn Transport>, Trouble> {
        self.hosts.get(node).ok_or_else(|| {
            Trouble::on(
                TroubleKind::Unreachable,
                node,
                "the site file gives no way to run commands on its host",
            )
            .with_help("give the node `ssh`, `transport: local` or a command template")
        })
    }

    pub(super) async fn look(
        &self,
        node: &NodeName,
        command: Command,
    ) -> Result<Finished, Trouble> {
        let result = self.way(node)?.run(command).await;
        result.map_err(|error| host_trouble(node, &error))
    }

    /// A script that looks at a data directory.
    pub(super) fn script(
        &self,
        node: &Node,
        script: &str,
        arguments: &[&str],
        deadline: Duration,
    ) -> Command {
        let names = self.dialect.names();
        let data = node.data.display().to_string();
        let mut all = vec![data.as_str(), names.processes, names.pid_file];
        all.extend_from_slice(arguments);
        Command::script(script, &all, deadline)
    }

    pub(super) async fn ask<T>(
        &self,
        node: &NodeName,
        what: &str,
        warm: Warm,
        question: impl Fn(u32) -> String + Send,
        read: impl FnOnce(&[Answer]) -> Result<T, Garbled>,
    ) -> Result<T, Trouble> {
        self.node(node)?;
        let answers = self
            .pool
            .ask(node, warm, question)
            .await
            .map_err(|error| error.when_asking(node, what))?;
        read(&answers)
            .map_err(|garbled| Trouble::on(TroubleKind::Failed, node, format!("{what}: {garbled}")))
    }

    /// What the configuration files say, for a server that does not run.
    pub(super) async fn upstream_by_files(&self, name: &NodeName) -> Result<String, Trouble> {
        let node = self.node(name)?;
        let server = program(node, self.dialect.names().server);
        let data = node.data.display().to_string();
        let argv = [server.as_str(), "-D", &data, "-C", "primary_conninfo"];
        let finished = self.look(name, Command::new(argv, LOOK)).await?;
        if finished.success() {
            return Ok(finished.out().trim_end_matches('\n').to_owned());
        }
        // Its complaint may repeat a line of the configuration.
        Err(Trouble::on(
            TroubleKind::Failed,
            name,
            format!(
                "the server does not answer, and `{server} -C primary_conninfo` exited with {}",
                finished.status
            ),
        ))
    }
}

/// How commands reach a node's host; none where the site file says so.
fn transport(node: &Node) -> Option<Arc<dyn Transport>> {
    match &node.transport {
        cluster::Transport::Local { user } => Some(Arc::new(Local::on_node(user.clone()))),
        cluster::Transport::Ssh {
            host,
            user,
            port,
            identity,
            config,
            known_hosts,
        } => {
            let options = SshOptions {
                host: host.clone().unwrap_or_else(|| node.host.clone()),
                user: user.clone(),
                port: *port,
                identity: identity.clone(),
                config: config.clone(),
                known_hosts: known_hosts.clone(),
            };
            Some(Arc::new(Ssh::new(options, SSH)))
        }
        cluster::Transport::Template { argv } => Some(Arc::new(Template::new(argv, &node.host))),
        cluster::Transport::None => None,
    }
}

/// The trouble of looking at a host.
pub(super) fn host_trouble(node: &NodeName, error: &TransportError) -> Trouble {
    let kind = match error {
        TransportError::NotStarted { .. } | TransportError::Lost { .. } => TroubleKind::Unreachable,
        TransportError::Refused { .. } => TroubleKind::Denied,
        TransportError::Deadline { .. } => TroubleKind::Timeout,
    };
    let trouble = Trouble::on(
        kind,
        node,
        format!("failed to run a command on its host: {error}"),
    );
    match error {
        TransportError::Refused { .. } => trouble.with_help(OUTRUN),
        _ => trouble,
    }
}

/// What to do where a host has seen a later run.
pub(super) const OUTRUN: &str = "nothing was done there. Another runner may have the cluster now: look at its runs, and leave it to it. Or the journal \
     here is an old copy that was put back: move it away, and the next run begins a new one (docs/production.md)";

/// The trouble of a script that did not exit with 0.
pub(super) fn script_trouble(node: &NodeName, what: &str, finished: &Finished) -> Trouble {
    let complaint = finished.complaint();
    let complaint = if complaint.is_empty() {
        format!("it exited with {}", finished.status)
    } else {
        complaint
    };
    let message = format!("{what}: {complaint}");
    match finished.status {
        scripts::CONFLICT => Trouble::on(TroubleKind::Conflict, node, message),
        scripts::BLIND => Trouble::on(TroubleKind::Denied, node, message)
            .with_help("commands on the host must run as the user that owns the data directory; see the node's transport and `data` in the site file"),
        _ => Trouble::on(TroubleKind::Failed, node, message),
    }
}

/// A short limit for a session that a person or a step waits for.
pub(super) const OPEN: Duration = CONNECT;
