//! The one port between a playbook and the world.

use super::{
    Admission, Archiving, Footing, Forbidden, History, Host, Identity, Inventory, Lsn, Managers,
    NodeName, Operation, Outcome, Reach, Rebuild, Remembered, RepmgrNode, Sender, Server, Setting,
    Slot, Ticket, Timeline, Trouble, WalFiles,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::time::Duration;

/// What can be asked. No method has an effect. Every method is bounded by the implementation's own limits and may be
/// dropped at any time; the caller's attempt has a limit of its own.
#[async_trait]
pub trait Observe: Send + Sync {
    /// The nodes and how they are reached.
    fn inventory(&self) -> &Inventory;

    /// The server's own view of itself, in one round trip.
    async fn server(&self, node: &NodeName) -> Result<Server, Trouble>;

    /// `pg_is_in_recovery()` alone: cheap enough to be asked every few milliseconds.
    async fn in_recovery(&self, node: &NodeName) -> Result<bool, Trouble> {
        Ok(self.server(node).await?.in_recovery)
    }

    /// System identifier, timeline and position, by the replication protocol.
    async fn identify(&self, node: &NodeName) -> Result<Identity, Trouble>;

    /// The whole ancestry of `timeline`, from `node`. Timeline 1 has none.
    async fn history(&self, node: &NodeName, timeline: Timeline) -> Result<History, Trouble>;

    /// Who streams from this node.
    async fn senders(&self, node: &NodeName) -> Result<Vec<Sender>, Trouble>;

    /// The node's slots, and how many it may have (`max_replication_slots`).
    async fn slots(&self, node: &NodeName) -> Result<(Vec<Slot>, u32), Trouble>;

    /// What lies in the running node's `pg_wal`.
    async fn wal_files(&self, node: &NodeName) -> Result<WalFiles, Trouble>;

    /// How far the running node's archiving is behind.
    async fn archiving(&self, node: &NodeName) -> Result<Archiving, Trouble>;

    /// repmgr's table of nodes, as this node has it.
    async fn repmgr_nodes(&self, node: &NodeName) -> Result<Vec<RepmgrNode>, Trouble>;

    /// Who else manages this node: told by its host, and where repmgr is by its server. An error where neither says
    /// anything.
    async fn managers(&self, node: &NodeName) -> Result<Managers, Trouble>;

    /// Running settings. Names the server does not know are absent from the answer.
    async fn settings(
        &self,
        node: &NodeName,
        names: &[&str],
    ) -> Result<BTreeMap<String, Setting>, Trouble>;

    /// Which node `primary_conninfo` and `primary_slot_name` point at, without showing them: the host and port named
    /// there, none when empty. Told from the files where the server does not run.
    async fn upstream(&self, node: &NodeName) -> Result<Option<(String, u16)>, Trouble>;

    /// What the host says, without asking the server.
    async fn host(&self, node: &NodeName) -> Result<Host, Trouble>;

    /// The tags of the settings that `SaveSettings` keeps on the node's host.
    async fn saved_settings(&self, node: &NodeName) -> Result<Vec<String>, Trouble>;

    /// Those of the site's commands for the node's server that the account on its host may not run. None is run.
    async fn forbidden(&self, node: &NodeName) -> Result<Vec<Forbidden>, Trouble>;

    /// How the data of the node, whose server need not run, could be renewed.
    async fn rebuild(&self, node: &NodeName) -> Result<Rebuild, Trouble>;

    /// What the node's server stands on: disks and files, told by its host. With `start` also what it would start with, which
    /// takes programs and so more time.
    async fn footing(&self, node: &NodeName, start: bool) -> Result<Footing, Trouble>;

    /// Where the running node's tablespaces lie on its host, besides those within its data directory.
    async fn tablespaces(&self, node: &NodeName) -> Result<Vec<String>, Trouble>;

    /// What a *new* connection to `to` meets, tried from the host of `from`, or from here.
    async fn reach(
        &self,
        from: Option<&NodeName>,
        to: &NodeName,
        within: Duration,
    ) -> Result<Reach, Trouble>;

    /// Whether `from` may log in to `to` for replication, tried from its host with the connection string that
    /// `SetUpstream` would give it. Nothing is streamed.
    async fn admission(&self, from: &NodeName, to: &NodeName) -> Result<Admission, Trouble>;

    /// The end of the last valid record in the node's own `pg_wal` on `timeline`, looking from `from` onward; read
    /// with `pg_waldump` on its host. The server need not run.
    async fn wal_end(&self, node: &NodeName, timeline: Timeline, from: Lsn)
    -> Result<Lsn, Trouble>;

    /// How operations look when they are sent.
    fn renderer(&self) -> &dyn Render;

    /// What was last seen of the node while it ran. No I/O.
    fn remembered(&self, node: &NodeName) -> Remembered;
}

/// The port: what can be asked, and what can be done.
#[async_trait]
pub trait Cluster: Observe {
    /// Does it. Only the guard in `crate::actions` calls this, after it recorded the intent.
    /// When the future is dropped the effect may have happened.
    ///
    /// With a ticket, what runs on a host survives this process, and a second call with the same ticket takes part in
    /// what the first one did. Reads have none.
    async fn perform(&self, operation: &Operation, ticket: Option<&Ticket>) -> Outcome;
}

/// What an operation comes to, for people and for the live cluster: one source for both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rendered {
    /// A statement on a node. Secrets are masked in `shown`.
    Sql {
        /// Where.
        node: NodeName,
        /// As it may be shown.
        shown: String,
    },
    /// A command on a host.
    Command {
        /// Where; none for the runner.
        node: Option<NodeName>,
        /// As it may be shown, quoted for a shell.
        shown: String,
    },
    /// A change of a file.
    File {
        /// Where.
        node: NodeName,
        /// The path.
        path: String,
        /// What is changed, as it may be shown.
        shown: String,
    },
    /// An HTTP request.
    Http {
        /// As it may be shown.
        shown: String,
    },
}

/// Renders an operation for a product and version.
pub trait Render: Send + Sync {
    /// What performing `operation` would send, in order.
    fn render(&self, inventory: &Inventory, operation: &Operation) -> Vec<Rendered>;
}
