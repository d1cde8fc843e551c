//! What somebody who sees everything sees: for the invariants of a rehearsal, never for an action.

use super::conf::{CONNINFO, SLOT_NAME, Value};
use super::ids::{At, NodeId};
use super::node::{Hang, Phase};
use super::world::World;
use crate::cluster::{Lsn, NodeName, SlotName, Timeline};
use serde::{Deserialize, Serialize};

/// A commit that a client was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// When the client heard of it.
    pub at: At,
    /// Its place among all commits that were acknowledged, by client and then by time.
    pub index: (usize, usize),
    /// The end of its record.
    pub lsn: Lsn,
    /// Commits waited for standbys when it was written.
    pub synchronous: bool,
}

/// A node as it really is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is seen by itself, none excludes another"
)]
pub struct NodeState {
    /// It.
    pub name: NodeName,
    /// Its server runs and accepts sessions.
    pub running: bool,
    /// It runs as a standby, or would when started.
    pub standby: bool,
    /// Its timeline.
    pub timeline: Timeline,
    /// The end of its log.
    pub at: Lsn,
    /// What it really streams from.
    pub streams_from: Option<NodeName>,
    /// What it is set to stream from.
    pub set_to: Option<(String, u16)>,
    /// `standby.signal` is there.
    pub signal: bool,
    /// A rewind of its data began and did not end.
    pub half_rewound: bool,
    /// Its slots.
    pub slots: Vec<SlotName>,
    /// The tags of the settings that are kept beside its own.
    pub saved: Vec<String>,
}

/// A slot that nobody uses, and nobody is set to use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanedSlot {
    /// Where it is.
    pub node: NodeName,
    /// It.
    pub slot: SlotName,
}

impl World {
    /// The nodes, as they really are.
    pub fn states(&self) -> Vec<NodeState> {
        self.ids().map(|id| self.state(id)).collect()
    }

    fn state(&self, id: NodeId) -> NodeState {
        let node = self.node(id);
        let upstream = self
            .streams
            .values()
            .find(|s| s.down == id && s.receiver.is_some() && s.sender.is_some());
        NodeState {
            name: node.name.clone(),
            running: node.serves() && self.host_up(node.host),
            standby: node.process.as_ref().map_or(node.signal, |p| p.recovery),
            timeline: self.branches.timeline(node.wal.branch),
            at: node.wal.end,
            streams_from: upstream.map(|s| self.node(s.up).name.clone()),
            set_to: self.upstream(id, node.process.is_none()),
            signal: node.signal,
            half_rewound: node.half_rewound,
            slots: node.slots.keys().cloned().collect(),
            saved: node.saved.keys().cloned().collect(),
        }
    }

    /// The nodes that can acknowledge a write now: out of recovery with a session that can commit (an orphaned one
    /// included), and with as many standbys attached as its commits wait for.
    pub fn can_acknowledge(&self) -> Vec<NodeName> {
        self.ids()
            .filter(|id| self.can_write(*id) && self.has_enough_standbys(*id))
            .map(|id| self.node(id).name.clone())
            .collect()
    }

    /// Whether there is more than one of them. Cheap where, as nearly always, only one node can write at all.
    pub fn several_acknowledge(&self) -> bool {
        let writers = || self.ids().filter(|id| self.can_write(*id));
        writers().nth(1).is_some()
            && writers()
                .filter(|id| self.has_enough_standbys(*id))
                .nth(1)
                .is_some()
    }

    /// Whether `down` can stream from `up`: it lies on the same history, and what it needs next is still there.
    pub fn can_feed(&self, up: &NodeName, down: &NodeName) -> bool {
        let (Some(up), Some(down)) = (self.find(up), self.find(down)) else {
            return false;
        };
        let (up, down) = (&self.node(up).wal, &self.node(down).wal);
        up.begin <= down.end && self.branches.holds(up.branch, down.branch, down.end)
    }

    fn can_write(&self, id: NodeId) -> bool {
        let node = self.node(id);
        if !self.host_up(node.host) {
            return false;
        }
        let orphan = node.orphans.iter().any(|o| o.client.is_some());
        // A server that is stopped by a signal goes on where it was when it is let go.
        let runs = node
            .process
            .as_ref()
            .is_some_and(|p| !p.recovery && p.phase == Phase::Ready);
        orphan || runs
    }

    fn has_enough_standbys(&self, id: NodeId) -> bool {
        if matches!(
            self.node(id).conf.text(super::conf::SYNC_COMMIT),
            "local" | "off"
        ) {
            return true;
        }
        self.node(id).sync.as_ref().is_none_or(|names| {
            let attached = self
                .streams
                .values()
                .filter(|s| {
                    s.up == id
                        && s.sender.is_some()
                        && s.receiver.is_some()
                        && self.node(s.down).hang != Hang::Server
                        && names.matches(&s.application)
                })
                .count();
            attached >= names.acks as usize
        })
    }

    /// Everything that clients were told of, oldest first for each client.
    pub fn acknowledged_commits(&self) -> Vec<Acknowledged> {
        let mut all = Vec::new();
        for (client, about) in self.clients.iter().enumerate() {
            for (number, (at, commit)) in about.acknowledged.iter().enumerate() {
                all.push(Acknowledged {
                    at: *at,
                    index: (client, number),
                    lsn: commit.at,
                    synchronous: commit.waited,
                });
            }
        }
        all
    }

    /// Which of the acknowledged commits this node does not hold.
    pub fn missing_on(&self, node: &NodeName) -> Vec<Acknowledged> {
        let Some(id) = self.find(node) else {
            return self.acknowledged_commits();
        };
        let wal = &self.node(id).wal;
        self.acknowledged_commits()
            .into_iter()
            .filter(|told| {
                let (client, number) = told.index;
                let commit = &self.clients[client].acknowledged[number].1;
                let held = commit.at <= wal.end
                    && self.branches.holds(wal.branch, commit.branch, commit.at);
                !held
            })
            .collect()
    }

    /// The longest time in which no client was told of a commit, between the first and now.
    pub fn longest_gap(&self) -> std::time::Duration {
        let mut times: Vec<At> = self.acknowledged_commits().iter().map(|a| a.at).collect();
        times.push(self.now);
        times.sort_unstable();
        let gaps = times.windows(2).map(|pair| pair[1].since(pair[0]));
        gaps.max().unwrap_or_default()
    }

    /// Standbys whose server does not run although its host does.
    pub fn stopped_standbys(&self) -> Vec<NodeName> {
        self.ids()
            .filter(|id| {
                let node = self.node(*id);
                node.signal && node.process.is_none() && self.host_up(node.host)
            })
            .map(|id| self.node(id).name.clone())
            .collect()
    }

    /// Nodes whose configuration is half written: an upstream without the slot that belongs to it or the other way
    /// round, a running value that the file does not have, settings that are kept beside it.
    pub fn half_configured(&self) -> Vec<(NodeName, String)> {
        let mut found = Vec::new();
        for id in self.ids() {
            let node = self.node(id);
            let mut say = |why: String| found.push((node.name.clone(), why));
            for tag in node.saved.keys() {
                say(format!("settings are kept under `{tag}`"));
            }
            if node.half_rewound {
                say("a rewind of it did not end".to_owned());
            }
            if node.process.is_none() || !node.is_standby() {
                continue;
            }
            for name in [CONNINFO, SLOT_NAME] {
                if node.conf.wanted(name) != node.conf.running(name) {
                    say(format!("{name} is not what its file says"));
                }
            }
            let set = matches!(node.conf.running(CONNINFO), Some(Value::Target(_)));
            if !set {
                say("it is a standby that is set to follow nobody".to_owned());
            }
        }
        found
    }

    /// Slots that nobody holds and that no node is set to use there: they keep WAL for ever.
    pub fn orphaned_slots(&self) -> Vec<OrphanedSlot> {
        let mut found = Vec::new();
        for id in self.ids() {
            for slot in self.node(id).slots.keys() {
                let used = self.holder(id, slot).is_some()
                    || self.ids().any(|other| self.is_set_to_use(other, id, slot));
                if !used {
                    found.push(OrphanedSlot {
                        node: self.node(id).name.clone(),
                        slot: slot.clone(),
                    });
                }
            }
        }
        found
    }

    fn is_set_to_use(&self, node: NodeId, up: NodeId, slot: &SlotName) -> bool {
        let conf = &self.node(node).conf;
        let points = matches!(conf.wanted(CONNINFO), Some(Value::Target(target))
            if self.resolve(target) == Some(up));
        let names =
            matches!(conf.wanted(SLOT_NAME), Some(Value::Text(text)) if text == slot.as_str());
        points && names
    }

    /// How many promotions were completed.
    pub fn promotions(&self) -> usize {
        self.promotions.len()
    }

    /// Which they were, and when.
    pub fn completed_promotions(&self) -> Vec<(At, NodeName)> {
        self.promotions
            .iter()
            .map(|(at, id)| (*at, self.node(*id).name.clone()))
            .collect()
    }
}
