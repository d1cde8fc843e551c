//! What earlier runs left to do on a cluster, as far as it has not been done since.

use super::{RunsError, World};
use crate::cluster::{Cluster, NodeName, SlotName};
use crate::engine::Owed;
use crate::journal::Entry;
use futures_util::future::join_all;
use std::time::Duration;

/// How long the store, and then every node, may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

impl World {
    /// What is left to do, oldest first: neither a later run has done it, nor do the servers show that somebody has.
    /// Bounded by a few seconds.
    pub async fn debts(&self) -> Result<Vec<Entry>, RunsError> {
        let cluster = self.cluster();
        let told = self.records().debts(&self.inventory().cluster);
        let open = self.records().within(PATIENCE, told).await?;
        let looks = open.into_iter().map(|entry| {
            let cluster = &cluster;
            async move {
                let look = is_done(cluster.as_ref(), &entry.owed);
                let done = tokio::time::timeout(PATIENCE, look).await.unwrap_or(false);
                (!done).then_some(entry)
            }
        });
        Ok(join_all(looks).await.into_iter().flatten().collect())
    }
}

/// Whether it is seen to be done, by whomever. What nobody can see is not.
async fn is_done(cluster: &dyn Cluster, owed: &Owed) -> bool {
    let named = |name: &str| -> Option<&NodeName> {
        let mut names = cluster.inventory().nodes.keys();
        names.find(|node| node.as_str() == name)
    };
    match owed {
        Owed::Stop { node } => match named(node) {
            Some(node) => cluster.server(node).await.is_ok_and(|s| s.in_recovery),
            None => false,
        },
        Owed::Slot {
            on,
            slot: Some(slot),
        } => match named(on) {
            Some(node) => {
                let there = cluster.slots(node).await;
                there.is_ok_and(|(slots, _)| slots.iter().all(|s| s.name.as_str() != slot))
            }
            None => false,
        },
        Owed::Slot { on, slot: None } => match named(on) {
            Some(node) => holds_none(cluster, node).await,
            None => false,
        },
    }
}

/// It is a standby, and has no slot of any other node. Those of a primary may all be needed.
async fn holds_none(cluster: &dyn Cluster, node: &NodeName) -> bool {
    let (server, there) = tokio::join!(cluster.server(node), cluster.slots(node));
    let (Ok(server), Ok((slots, _))) = (server, there) else {
        return false;
    };
    let inventory = cluster.inventory();
    let owners = inventory.nodes.keys().filter(|owner| *owner != node);
    let names: Vec<SlotName> = owners.map(|owner| inventory.slot_of(owner)).collect();
    server.in_recovery && slots.iter().all(|slot| !names.contains(&slot.name))
}
