//! What a live cluster says of itself, for a simulated one to begin with.

use super::builder::ASKED;
use crate::cluster::{
    Archiving, Footing, Forbidden, History, Host, Identity, Lsn, Managers, NodeName, Observe,
    Rebuild, Remembered, RepmgrNode, Sender, Server, Setting, Slot, Trouble, WalFiles,
};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The facts of a cluster at one moment, as far as they could be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The form of what follows.
    pub format: u32,
    /// The nodes of the inventory.
    pub nodes: BTreeMap<NodeName, NodeFacts>,
}

impl Snapshot {
    /// The form that this version writes.
    pub const FORMAT: u32 = 2;
}

/// Something that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact<T> {
    /// What was said.
    Known(T),
    /// Why nothing was.
    Unknown(Trouble),
}

impl<T> Fact<T> {
    /// What was said, if anything.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// Why nothing was said.
    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(trouble) => Some(trouble),
        }
    }
}

impl<T> From<Result<T, Trouble>> for Fact<T> {
    fn from(result: Result<T, Trouble>) -> Self {
        match result {
            Ok(value) => Self::Known(value),
            Err(trouble) => Self::Unknown(trouble),
        }
    }
}

/// The facts of one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeFacts {
    /// The server's view of itself.
    pub server: Fact<Server>,
    /// Its timeline.
    pub identity: Fact<Identity>,
    /// The ancestry of its timeline.
    pub history: Fact<History>,
    /// Who streams from it.
    pub senders: Fact<Vec<Sender>>,
    /// Its slots.
    pub slots: Fact<(Vec<Slot>, u32)>,
    /// What lies in its `pg_wal`.
    pub wal_files: Fact<WalFiles>,
    /// How far its archiving is behind.
    pub archiving: Fact<Archiving>,
    /// Those of its settings that matter here.
    pub settings: Fact<BTreeMap<String, Setting>>,
    /// Where it is set to receive from.
    pub upstream: Fact<Option<(String, u16)>>,
    /// What its host says.
    pub host: Fact<Host>,
    /// The tags of kept settings.
    pub saved: Fact<Vec<String>>,
    /// How its data could be renewed.
    #[serde(default)]
    pub rebuild: Option<Fact<Rebuild>>,
    /// What its server stands on.
    #[serde(default)]
    pub footing: Option<Fact<Footing>>,
    /// Where its tablespaces lie.
    #[serde(default)]
    pub tablespaces: Option<Fact<Vec<String>>>,
    /// The end of its log, where its server cannot tell it.
    pub wal_end: Option<Fact<Lsn>>,
    /// Who else manages it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managers: Option<Fact<Managers>>,
    /// The site's commands that may not be run there, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forbidden: Option<Fact<Vec<Forbidden>>>,
    /// repmgr's table there, where the site file has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repmgr: Option<Fact<Vec<RepmgrNode>>>,
    /// What was seen of it while it was a primary.
    pub remembered: Remembered,
}

/// Asks every node of a cluster for everything, all at once. Changes nothing.
pub async fn snapshot(cluster: &dyn Observe) -> Snapshot {
    let names: Vec<&NodeName> = cluster.inventory().nodes.keys().collect();
    let facts = join_all(names.iter().map(|name| node_facts(cluster, name))).await;
    Snapshot {
        format: Snapshot::FORMAT,
        nodes: names.into_iter().cloned().zip(facts).collect(),
    }
}

async fn node_facts(cluster: &dyn Observe, node: &NodeName) -> NodeFacts {
    // All of it at once: of one that is silent each answer takes its whole time.
    let renewal = async {
        tokio::join!(
            cluster.rebuild(node),
            cluster.footing(node, true),
            cluster.tablespaces(node)
        )
    };
    let (
        server,
        identity,
        senders,
        slots,
        wal_files,
        archiving,
        settings,
        upstream,
        host,
        saved,
        (rebuild, footing, tablespaces),
        managers,
        forbidden,
        repmgr,
    ) = tokio::join!(
        cluster.server(node),
        cluster.identify(node),
        cluster.senders(node),
        cluster.slots(node),
        cluster.wal_files(node),
        cluster.archiving(node),
        cluster.settings(node, &ASKED),
        cluster.upstream(node),
        cluster.host(node),
        cluster.saved_settings(node),
        renewal,
        cluster.managers(node),
        async {
            let about = cluster.inventory().node(node);
            if about.is_none_or(|about| about.commands().is_empty()) {
                return None;
            }
            Some(cluster.forbidden(node).await.into())
        },
        async {
            match cluster.inventory().repmgr {
                Some(_) => Some(cluster.repmgr_nodes(node).await.into()),
                None => None,
            }
        },
    );
    let history = match &identity {
        Ok(identity) => cluster.history(node, identity.timeline).await,
        Err(trouble) => Err(trouble.clone()),
    };
    let drained = server
        .as_ref()
        .is_ok_and(|server| !server.in_recovery || server.drained());
    let from = match (&identity, &server, &host) {
        (Ok(identity), Ok(server), _) => {
            let replayed = server.replayed.unwrap_or(identity.at);
            Some((identity.timeline, replayed))
        }
        (_, _, Ok(host)) => host.control.as_ref().map(|c| (c.timeline, c.checkpoint)),
        _ => None,
    };
    let wal_end = match from {
        Some((timeline, from)) if !drained => {
            Some(cluster.wal_end(node, timeline, from).await.into())
        }
        _ => None,
    };
    NodeFacts {
        server: server.into(),
        identity: identity.into(),
        history: history.into(),
        senders: senders.into(),
        slots: slots.into(),
        wal_files: wal_files.into(),
        archiving: archiving.into(),
        settings: settings.into(),
        upstream: upstream.into(),
        host: host.into(),
        saved: saved.into(),
        rebuild: Some(rebuild.into()),
        footing: Some(footing.into()),
        tablespaces: Some(tablespaces.into()),
        wal_end,
        managers: Some(managers.into()),
        forbidden,
        repmgr,
        remembered: cluster.remembered(node),
    }
}
