//! Which facts a run looks at: a cluster that keeps account of the questions.

use crate::cluster::{
    Admission, Archiving, Cluster, Footing, Forbidden, History, Host, Identity, Inventory, Lsn,
    Managers, NodeName, Observe, Operation, Outcome, Reach, Rebuild, Remembered, Render,
    RepmgrNode, Sender, Server, Setting, Slot, Ticket, Timeline, Trouble, WalFiles,
};
use crate::simulate::SimCluster;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A kind of question about a node whose answer can be compared with what stands later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    /// The server's own view of itself.
    Server,
    /// System and timeline.
    Identity,
    /// Who streams from it.
    Senders,
    /// Its slots.
    Slots,
    /// A setting.
    Setting(String),
    /// Who else manages it.
    Managers,
    /// Which of the site's commands may not be run there.
    Forbidden,
    /// What repmgr's table says there.
    Repmgr,
    /// What it is set to follow.
    Upstream,
    /// What its host says.
    Host,
    /// Which settings are kept there.
    Saved,
}

/// Who is to log in for replication, and where.
pub(super) type Pair = (NodeName, NodeName);

/// What was asked, about which node. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    questions: BTreeSet<(NodeName, Question)>,
    logins: BTreeSet<Pair>,
}

impl Asked {
    /// Everything that was asked so far.
    pub(super) fn all(&self) -> BTreeSet<(NodeName, Question)> {
        self.kept().questions.clone()
    }

    /// The logins that it comes down to: those that were tried, and those that a node was told to use.
    pub(super) fn logins(&self) -> BTreeSet<Pair> {
        self.kept().logins.clone()
    }

    fn keep(&self, node: &NodeName, question: Question) {
        self.kept().questions.insert((node.clone(), question));
    }

    fn logs_in(&self, node: &NodeName, upstream: &NodeName) {
        self.kept().logins.insert((node.clone(), upstream.clone()));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A simulated cluster whose questions are kept.
pub(super) struct Watched {
    pub(super) sim: SimCluster,
    pub(super) asked: Asked,
}

#[async_trait]
impl Observe for Watched {
    fn inventory(&self) -> &Inventory {
        self.sim.inventory()
    }

    async fn server(&self, node: &NodeName) -> Result<Server, Trouble> {
        self.asked.keep(node, Question::Server);
        self.sim.server(node).await
    }

    async fn identify(&self, node: &NodeName) -> Result<Identity, Trouble> {
        self.asked.keep(node, Question::Identity);
        self.sim.identify(node).await
    }

    async fn history(&self, node: &NodeName, timeline: Timeline) -> Result<History, Trouble> {
        // A history is told by its timeline.
        self.asked.keep(node, Question::Identity);
        self.sim.history(node, timeline).await
    }

    async fn senders(&self, node: &NodeName) -> Result<Vec<Sender>, Trouble> {
        self.asked.keep(node, Question::Senders);
        self.sim.senders(node).await
    }

    async fn slots(&self, node: &NodeName) -> Result<(Vec<Slot>, u32), Trouble> {
        self.asked.keep(node, Question::Slots);
        self.sim.slots(node).await
    }

    async fn wal_files(&self, node: &NodeName) -> Result<WalFiles, Trouble> {
        // What lies there moves on all the time; the slots tell whether it is kept.
        self.asked.keep(node, Question::Slots);
        self.sim.wal_files(node).await
    }

    async fn archiving(&self, node: &NodeName) -> Result<Archiving, Trouble> {
        // It moves on all the time, too; the server that tells of it is the fact.
        self.asked.keep(node, Question::Server);
        self.sim.archiving(node).await
    }

    async fn managers(&self, node: &NodeName) -> Result<Managers, Trouble> {
        self.asked.keep(node, Question::Managers);
        self.sim.managers(node).await
    }

    async fn repmgr_nodes(&self, node: &NodeName) -> Result<Vec<RepmgrNode>, Trouble> {
        self.asked.keep(node, Question::Repmgr);
        self.sim.repmgr_nodes(node).await
    }

    async fn settings(
        &self,
        node: &NodeName,
        names: &[&str],
    ) -> Result<BTreeMap<String, Setting>, Trouble> {
        for name in names {
            self.asked.keep(node, Question::Setting((*name).to_owned()));
        }
        self.sim.settings(node, names).await
    }

    async fn upstream(&self, node: &NodeName) -> Result<Option<(String, u16)>, Trouble> {
        self.asked.keep(node, Question::Upstream);
        self.sim.upstream(node).await
    }

    async fn host(&self, node: &NodeName) -> Result<Host, Trouble> {
        self.asked.keep(node, Question::Host);
        self.sim.host(node).await
    }

    async fn saved_settings(&self, node: &NodeName) -> Result<Vec<String>, Trouble> {
        self.asked.keep(node, Question::Saved);
        self.sim.saved_settings(node).await
    }

    async fn forbidden(&self, node: &NodeName) -> Result<Vec<Forbidden>, Trouble> {
        self.asked.keep(node, Question::Forbidden);
        self.sim.forbidden(node).await
    }

    async fn rebuild(&self, node: &NodeName) -> Result<Rebuild, Trouble> {
        self.asked.keep(node, Question::Host);
        self.sim.rebuild(node).await
    }

    async fn footing(&self, node: &NodeName, start: bool) -> Result<Footing, Trouble> {
        self.asked.keep(node, Question::Host);
        self.sim.footing(node, start).await
    }

    async fn tablespaces(&self, node: &NodeName) -> Result<Vec<String>, Trouble> {
        self.asked.keep(node, Question::Server);
        self.sim.tablespaces(node).await
    }

    async fn reach(
        &self,
        from: Option<&NodeName>,
        to: &NodeName,
        within: Duration,
    ) -> Result<Reach, Trouble> {
        self.asked.keep(to, Question::Server);
        self.sim.reach(from, to, within).await
    }

    async fn admission(&self, from: &NodeName, to: &NodeName) -> Result<Admission, Trouble> {
        self.asked.keep(to, Question::Server);
        self.asked.logs_in(from, to);
        self.sim.admission(from, to).await
    }

    async fn wal_end(
        &self,
        node: &NodeName,
        timeline: Timeline,
        from: Lsn,
    ) -> Result<Lsn, Trouble> {
        self.asked.keep(node, Question::Host);
        self.sim.wal_end(node, timeline, from).await
    }

    fn renderer(&self) -> &dyn Render {
        self.sim.renderer()
    }

    fn remembered(&self, node: &NodeName) -> Remembered {
        self.sim.remembered(node)
    }
}

#[async_trait]
impl Cluster for Watched {
    async fn perform(&self, operation: &Operation, ticket: Option<&Ticket>) -> Outcome {
        if let Operation::SetUpstream { node, upstream, .. } = operation {
            self.asked.logs_in(node, upstream);
        }
        self.sim.perform(operation, ticket).await
    }
}
