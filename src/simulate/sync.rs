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
        self.acknowledges(node)(at)
    }

    /// The same for any number of commits of this node.
    fn acknowledges(&self, node: NodeId) -> impl Fn(Lsn) -> bool + use<> {
        let level = self.node(node).conf.text(SYNC_COMMIT);
        let names = self.node(node).sync.as_ref();
        let waits = names.filter(|n| n.acks > 0 && !matches!(level, "local" | "off"));
        let reported = waits.map(|names| self.reported(node, names, level == "remote_apply"));
        move |at| reported.is_none_or(|reported| reported >= Some(at))
    }

    /// How far all standbys that are waited for have come; none where there are too few.
    fn reported(&self, node: NodeId, names: &SyncNames, replayed: bool) -> Option<Lsn> {
        let reported = |stream: &Stream| {
            if replayed {
                stream.replayed
            } else {
                stream.flushed
            }
        };
        let mut standbys = self.candidates(node, names);
        match names.method {
            SyncMethod::Any => standbys.sort_by_key(|(_, s)| std::cmp::Reverse(reported(s))),
            SyncMethod::First => standbys.sort_by_key(|(rank, s)| (*rank, s.sender)),
        }
        let needed = standbys.get(..names.acks as usize)?;
        needed.iter().map(|(_, s)| reported(s)).min().flatten()
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
        let acknowledges = self.acknowledges(id);
        let waiters = std::mem::take(&mut self.node_mut(id).waiters);
        let (done, wait) = waiters.into_iter().partition(|w| acknowledges(w.commit.at));
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
