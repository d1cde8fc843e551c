//! What a commit waits for.

use super::conf::SYNC_COMMIT;
use super::event::Event;
use super::ids::NodeId;
use super::node::Commit;
use super::stream::Stream;
use super::world::World;
use crate::cluster::{Lsn, SyncMethod, SyncNames};
use std::time::Duration;

/// From the server to the client.
const ANSWER: Duration = Duration::from_micros(200);

impl World {
    /// Whether a commit that ends here is acknowledged now, by what the standbys have reported.
    pub(super) fn is_acknowledged(&self, node: NodeId, at: Lsn) -> bool {
        let level = self.node(node).conf.text(SYNC_COMMIT);
        let Some(names) = &self.node(node).sync else {
            return true;
        };
        if matches!(level, "local" | "off") {
            return true;
        }
        let mut standbys = self.candidates(node, names);
        let has = |stream: &Stream| {
            let reported = if level == "remote_apply" {
                stream.replayed
            } else {
                stream.flushed
            };
            reported >= Some(at)
        };
        let acks = names.acks as usize;
        match names.method {
            SyncMethod::Any => standbys.iter().filter(|(_, s)| has(s)).count() >= acks,
            SyncMethod::First => {
                standbys.sort_by_key(|(rank, s)| (*rank, s.sender));
                standbys.len() >= acks && standbys.iter().take(acks).all(|(_, s)| has(s))
            }
        }
    }

    /// The receivers that count, with their place in the list.
    pub(super) fn candidates(&self, node: NodeId, names: &SyncNames) -> Vec<(usize, &Stream)> {
        self.streams
            .values()
            .filter(|s| s.up == node && s.sender.is_some() && s.caught_up)
            .filter_map(|s| {
                let rank = names
                    .names
                    .iter()
                    .position(|n| n == "*" || n.eq_ignore_ascii_case(&s.application))?;
                Some((rank, s))
            })
            .collect()
    }

    /// Lets go of the commits that have waited long enough.
    pub(super) fn release(&mut self, id: NodeId) {
        if self.node(id).waiters.is_empty() {
            return;
        }
        let waiters = std::mem::take(&mut self.node_mut(id).waiters);
        let (done, wait) = waiters
            .into_iter()
            .partition(|w| self.is_acknowledged(id, w.commit.at));
        self.node_mut(id).waiters = wait;
        let done: Vec<super::node::Waiter> = done;
        for waiter in done {
            self.acknowledge(waiter.client, waiter.commit);
        }
    }

    pub(super) fn acknowledge(&mut self, client: super::ids::ClientId, commit: Commit) {
        let wait = self.about(ANSWER);
        self.later(wait, Event::Acknowledged(client, commit));
    }
}
