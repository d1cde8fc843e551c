//! Real servers behind the port: what can be asked.

use super::conninfo::Conninfo;
use super::dialect::{Dialect, program};
use super::fault::Fault;
use super::kingbase::Kingbase;
use super::login::SessionKind;
use super::memory::Memory;
use super::pool::{CONNECT, Error, Pool, Warm};
use super::postgresql::Postgresql;
use super::questions::{self, Garbled};
use super::wire::Answer;
use super::{host, scripts, waldump};
use crate::cluster::{
    self, History, Host, Identity, Inventory, Lsn, Node, NodeName, Observe, Product, Reach,
    Remembered, Render, Sender, Server, Setting, Slot, Timeline, Trouble, TroubleKind,
};
use crate::transport::{
    Command, Finished, Local, Ssh, SshOptions, Template, Transport, TransportError,
};
use async_trait::async_trait;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What looking at a host may take.
const LOOK: Duration = Duration::from_secs(10);
/// What reading WAL may take.
const READ_WAL: Duration = Duration::from_secs(60);
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
/// Every question ends within seconds even when a server or host is silent. KingbaseES is refused by every method: its
/// dialect has never been tried on a server.
pub struct LiveCluster {
    pub(super) inventory: Arc<Inventory>,
    pub(super) dialect: &'static dyn Dialect,
    pub(super) pool: Pool,
    pub(super) runner: Local,
    hosts: BTreeMap<NodeName, Box<dyn Transport>>,
    memory: Memory,
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
            runner: Local::default(),
            hosts,
            memory: Memory::default(),
            inventory,
        }
    }

    /// Opens all sessions and host connections at once, and remembers what the primary says. Tells what could not be
    /// opened; that is no error, for a node may be down.
    pub async fn warm(&self) -> Vec<Trouble> {
        if let Err(trouble) = self.supported() {
            return vec![trouble];
        }
        let nodes = self.inventory.nodes.keys().map(|node| async move {
            let (sql, replication, host) = tokio::join!(
                self.remember(node),
                async {
                    let warmed = self.pool.warm(node, Warm::Replication).await;
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

    pub(super) fn supported(&self) -> Result<(), Trouble> {
        match self.inventory.product {
            Product::Postgresql => Ok(()),
            Product::Kingbase => Err(Trouble::here(
                TroubleKind::Denied,
                "KingbaseES is not supported on live servers yet: its dialect has never been tried on one",
            )
            .with_help("repmgr's own commands are the way until then")),
        }
    }

    pub(super) fn node(&self, name: &NodeName) -> Result<&Node, Trouble> {
        self.supported()?;
        self.inventory.node(name).ok_or_else(|| {
            Trouble::on(
                TroubleKind::Failed,
                name,
                "there is no such node in the site file",
            )
        })
    }

    /// The way to a node's host.
    pub(super) fn way(&self, node: &NodeName) -> Result<&dyn Transport, Trouble> {
        self.hosts.get(node).map(AsRef::as_ref).ok_or_else(|| {
            Trouble::on(
                TroubleKind::Unreachable,
                node,
                "the site file gives no way to run commands on its host",
            )
            .with_help("give the node `ssh`, `transport: local` or a command template")
        })
    }

    async fn look(&self, node: &NodeName, command: Command) -> Result<Finished, Trouble> {
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
        let mut all = vec![data.as_str(), names.server, names.pid_file];
        all.extend_from_slice(arguments);
        Command::script(script, &all, deadline)
    }

    async fn ask<T>(
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
    async fn upstream_by_files(&self, name: &NodeName) -> Result<String, Trouble> {
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
fn transport(node: &Node) -> Option<Box<dyn Transport>> {
    match &node.transport {
        cluster::Transport::Local { user } => Some(Box::new(Local::new(user.clone()))),
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
            Some(Box::new(Ssh::new(options, SSH)))
        }
        cluster::Transport::Template { argv } => Some(Box::new(Template::new(argv, &node.host))),
        cluster::Transport::None => None,
    }
}

/// The trouble of looking at a host.
pub(super) fn host_trouble(node: &NodeName, error: &TransportError) -> Trouble {
    let kind = match error {
        TransportError::NotStarted { .. } | TransportError::Lost { .. } => TroubleKind::Unreachable,
        TransportError::Deadline { .. } => TroubleKind::Timeout,
    };
    Trouble::on(
        kind,
        node,
        format!("failed to run a command on its host: {error}"),
    )
}

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

#[async_trait]
impl Observe for LiveCluster {
    fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    async fn server(&self, node: &NodeName) -> Result<Server, Trouble> {
        let what = "failed to look at the server";
        let seen = self
            .ask(node, what, Warm::Sql, questions::server, questions::seen)
            .await?;
        if !seen.may_see {
            return Err(Trouble::on(
                TroubleKind::Denied,
                node,
                format!(
                    "{what}: user `{}` may not see other sessions, so a receiver would look absent",
                    self.inventory.sql.user
                ),
            )
            .with_help("GRANT pg_monitor TO pgbaton's user"));
        }
        self.memory.note(node, &seen);
        Ok(seen.server)
    }

    async fn identify(&self, node: &NodeName) -> Result<Identity, Trouble> {
        self.ask(
            node,
            "failed to identify the system",
            Warm::Replication,
            |_| "IDENTIFY_SYSTEM".to_owned(),
            questions::identity,
        )
        .await
    }

    async fn history(&self, node: &NodeName, timeline: Timeline) -> Result<History, Trouble> {
        if timeline <= Timeline(1) {
            return Ok(History::first(timeline));
        }
        let what = format!("failed to read the history of timeline {timeline}");
        let text = self
            .ask(
                node,
                &what,
                Warm::Replication,
                |_| format!("TIMELINE_HISTORY {timeline}"),
                |answers| {
                    let row = answers.first().and_then(|a| a.rows.first());
                    let content = row.and_then(|r| r.get(1).cloned().flatten());
                    Ok(content.unwrap_or_default())
                },
            )
            .await?;
        History::parse(timeline, &text)
            .map_err(|error| Trouble::on(TroubleKind::Failed, node, format!("{what}: {error}")))
    }

    async fn senders(&self, node: &NodeName) -> Result<Vec<Sender>, Trouble> {
        self.ask(
            node,
            "failed to read who streams from it",
            Warm::Sql,
            |_| questions::SENDERS.to_owned(),
            questions::senders,
        )
        .await
    }

    async fn slots(&self, node: &NodeName) -> Result<(Vec<Slot>, u32), Trouble> {
        let what = "failed to read its replication slots";
        self.ask(
            node,
            what,
            Warm::Sql,
            questions::slots,
            questions::slots_seen,
        )
        .await
    }

    async fn settings(
        &self,
        node: &NodeName,
        names: &[&str],
    ) -> Result<BTreeMap<String, Setting>, Trouble> {
        let statement = questions::settings(names);
        self.ask(
            node,
            "failed to read its settings",
            Warm::Sql,
            move |_| statement.clone(),
            questions::settings_seen,
        )
        .await
    }

    async fn upstream(&self, node: &NodeName) -> Result<Option<(String, u16)>, Trouble> {
        let what = "failed to read its upstream";
        let asked = self
            .ask(
                node,
                what,
                Warm::Sql,
                |_| "SELECT current_setting('primary_conninfo')".to_owned(),
                |answers| {
                    let row = answers.first().and_then(|a| a.rows.first());
                    Ok(row
                        .and_then(|r| r.first().cloned().flatten())
                        .unwrap_or_default())
                },
            )
            .await;
        let text = match asked {
            Ok(text) => text,
            Err(trouble)
                if matches!(
                    trouble.kind,
                    TroubleKind::Unreachable | TroubleKind::Timeout
                ) && self.hosts.contains_key(node) =>
            {
                self.upstream_by_files(node).await?
            }
            Err(trouble) => return Err(trouble),
        };
        if text.trim().is_empty() {
            return Ok(None);
        }
        let target = Conninfo::parse(&text).and_then(|info| info.target());
        target
            .map(Some)
            .map_err(|error| Trouble::on(TroubleKind::Failed, node, format!("{what}: {error}")))
    }

    async fn host(&self, name: &NodeName) -> Result<Host, Trouble> {
        let node = self.node(name)?;
        let control = program(node, self.dialect.names().control_data);
        let command = self.script(node, scripts::LOOK, &[&control], LOOK);
        let finished = self.look(name, command).await?;
        let text = finished.out();
        // Without this word the script did not get to its end, and what it did not print means nothing.
        if finished.status == scripts::BLIND || !text.lines().any(|line| line == "control") {
            return Err(script_trouble(
                name,
                "failed to look at its host",
                &finished,
            ));
        }
        Ok(host::read(&text))
    }

    async fn reach(
        &self,
        from: Option<&NodeName>,
        to: &NodeName,
        within: Duration,
    ) -> Result<Reach, Trouble> {
        let target = self.node(to)?;
        let Some(from) = from else {
            let kind = SessionKind::Own(self.inventory.sql.dbname.clone());
            return match self.pool.open(to, kind, within).await {
                Ok(_) => Ok(Reach::Accepts),
                Err(Error::Fault(Fault::Refused { .. } | Fault::Denied { .. })) => {
                    Ok(Reach::Rejects)
                }
                Err(Error::Fault(_)) => Ok(Reach::Silent),
                Err(Error::Trouble(trouble)) => Err(trouble),
            };
        };
        let prober = program(self.node(from)?, self.dialect.names().is_ready);
        let port = target.port.to_string();
        let seconds = within.as_secs_f64().ceil().max(1.0).to_string();
        let argv = [
            prober.as_str(),
            "-q",
            "-h",
            &target.host,
            "-p",
            &port,
            "-t",
            &seconds,
        ];
        match self.way(from)?.run(Command::new(argv, within)).await {
            Ok(finished) => match finished.status {
                0 => Ok(Reach::Accepts),
                1 => Ok(Reach::Rejects),
                2 => Ok(Reach::Silent),
                _ => Err(script_trouble(
                    from,
                    &format!("failed to try a connection to {to}"),
                    &finished,
                )),
            },
            // It was started on that host and met nothing but silence.
            Err(TransportError::Deadline { .. }) => Ok(Reach::Silent),
            Err(error) => Err(host_trouble(from, &error)),
        }
    }

    async fn wal_end(
        &self,
        name: &NodeName,
        timeline: Timeline,
        from: Lsn,
    ) -> Result<Lsn, Trouble> {
        let node = self.node(name)?;
        let names = self.dialect.names();
        let what = format!("failed to read the end of its WAL on timeline {timeline} from {from}");
        let arguments = [
            program(node, names.control_data),
            program(node, names.wal_dump),
            names.wal_dir.to_owned(),
            timeline.to_string(),
            from.to_string(),
            from.0.to_string(),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let command = self.script(node, scripts::WAL_END, &arguments, READ_WAL);
        let finished = self.look(name, command).await?;
        if !finished.success() {
            return Err(script_trouble(name, &what, &finished));
        }
        match waldump::read(&finished.out(), from) {
            waldump::End::At(end) => Ok(end),
            waldump::End::Nothing => Ok(from),
            waldump::End::NoSegment => Err(Trouble::on(
                TroubleKind::Failed,
                name,
                format!("{what}: the segment of that position is not there"),
            )),
        }
    }

    fn renderer(&self) -> &dyn Render {
        renderer(self.inventory.product)
    }

    fn remembered(&self, node: &NodeName) -> Remembered {
        self.memory.of(node)
    }
}

/// A short limit for a session that a person or a step waits for.
pub(super) const OPEN: Duration = CONNECT;
