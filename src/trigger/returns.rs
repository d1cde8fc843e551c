//! The old primary's way back: a node that a run has replaced is brought back as a standby, where the site file says so.
//!
//! Whom a run has replaced, the journal knows: it is what that run left to do, whoever started it. So neither a standby that
//! an administrator stopped nor a second primary that nobody can explain is ever touched.

use super::gate::Passage;
use super::sentry::RETURN;
use super::snapshot::{Snapshot, Witness};
use crate::cluster::{NodeName, Watch};
use crate::runs::Order;
use std::time::Duration;
use tokio::time::timeout;

/// What brings a node back. It replaces no data by a copy unless it is told to, and nobody tells it here.
const REJOIN: &str = "rejoin";

/// How many full looks in a row must come to the same.
const LOOKS: u32 = 2;

/// What was seen of nodes that were replaced.
#[derive(Debug, Default)]
pub(super) struct Returns {
    /// Who could be brought back at the last full look, and for how many of them in a row.
    ready: Option<(NodeName, u32)>,
    /// Of whom it was told last that nothing was started, and why.
    told: Option<(NodeName, String)>,
}

impl Returns {
    /// After a full look in which `primary` works: who is to be brought back now, if anybody.
    pub(super) async fn due(
        &mut self,
        cluster: &dyn Watch,
        seen: &Snapshot,
        primary: &NodeName,
        replaced: &[NodeName],
        patience: Duration,
    ) -> Option<(NodeName, Order)> {
        let mut found = None;
        for node in replaced.iter().filter(|node| *node != primary) {
            let Some(witness) = seen.nodes.get(node) else {
                continue;
            };
            if can_come_back(cluster, node, witness, patience).await {
                found = Some(node.clone());
                break;
            }
        }
        let before = self.ready.take();
        let node = found?;
        let looks = match before {
            Some((known, looks)) if known == node => looks + 1,
            _ => 1,
        };
        if looks < LOOKS {
            self.ready = Some((node, looks));
            return None;
        }
        let order = Order {
            playbook: REJOIN.to_owned(),
            params: vec![
                ("node".to_owned(), node.to_string()),
                ("upstream".to_owned(), primary.to_string()),
            ],
            trigger: RETURN.to_owned(),
            ..Order::default()
        };
        Some((node, order))
    }

    /// It was not told yet that this node stays away for this reason.
    pub(super) fn is_news(&mut self, node: &NodeName, passage: &Passage) -> bool {
        let news = Some((node.clone(), passage.reason()));
        let is_news = self.told != news;
        self.told = news;
        is_news
    }
}

/// Its server is down and its host says so, or it runs and is no good standby. One that starts up or says nothing is waited for.
async fn can_come_back(
    cluster: &dyn Watch,
    node: &NodeName,
    witness: &Witness,
    patience: Duration,
) -> bool {
    if witness.answers() {
        return !(witness.is_standby() && witness.streams());
    }
    let host = timeout(patience, cluster.host(node)).await;
    host.is_ok_and(|told| told.is_ok_and(|host| host.postmaster.is_none()))
}
