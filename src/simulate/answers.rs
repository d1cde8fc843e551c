//! What a node and its host say of themselves: facts, as the live side reads them.

use super::conf::{CONNINFO, MAX_SENDERS, MAX_SLOTS, Value};
use super::ids::NodeId;
use super::node::{Hang, Node, Phase, Receiving};
use super::wal::{SEGMENT, segment_start};
use super::world::World;
use crate::cluster::{
    Host, Identity, Lsn, Process, Receiver, Sender, Server, Slot, StartupState, SyncMethod,
    Timeline, WalFiles,
};

impl World {
    /// The server's own view of itself.
    pub(super) fn server(&self, id: NodeId) -> Server {
        let node = self.node(id);
        let recovery = node.is_standby();
        let receiver = match &node.receiving {
            Receiving::Attached(stream) => self.streams.get(stream),
            _ => None,
        };
        let silent = |stream| i64::try_from(self.silence(stream).as_millis()).unwrap_or(i64::MAX);
        Server {
            version: node.version,
            in_recovery: recovery,
            written: (!recovery).then_some(node.wal.end),
            received: node.wal.received.filter(|_| recovery),
            replayed: recovery.then_some(node.wal.replayed),
            replay_paused: recovery && node.replay.paused,
            startup: match (recovery, node.drained()) {
                (false, _) => StartupState::NotSeen,
                (true, true) => StartupState::WaitsForWal,
                (true, false) => StartupState::Busy,
            },
            receiver: receiver.and_then(|stream| {
                Some(Receiver {
                    pid: stream.receiver?,
                    status: "streaming".to_owned(),
                    host: stream.host.clone(),
                    port: stream.port,
                    slot: stream.slot.clone(),
                    timeline: Some(stream.timeline),
                    flushed: node.wal.received,
                    silent_ms: Some(silent(stream)),
                })
            }),
            receiver_pid: self.receiver_pid(id).filter(|_| recovery),
            senders: u32::try_from(self.senders_busy(id)).unwrap_or(u32::MAX),
        }
    }

    /// `IDENTIFY_SYSTEM`.
    pub(super) fn identity(&self, id: NodeId) -> Identity {
        let node = self.node(id);
        Identity {
            system: node.system,
            timeline: self.branches.timeline(node.wal.branch),
            at: node.wal.end,
        }
    }

    /// `pg_stat_replication`.
    pub(super) fn senders(&self, id: NodeId) -> Vec<Sender> {
        let end = self.node(id).wal.end;
        let mut senders: Vec<Sender> = self
            .streams
            .values()
            .filter(|s| s.up == id)
            .filter_map(|stream| {
                Some(Sender {
                    pid: stream.sender?,
                    application: stream.application.clone(),
                    state: if stream.caught_up {
                        "streaming"
                    } else {
                        "catchup"
                    }
                    .to_owned(),
                    sent: Some(end),
                    flushed: stream.flushed,
                    replayed: stream.replayed,
                    sync_state: self.sync_state(id, stream.sender).to_owned(),
                })
            })
            .collect();
        senders.extend(self.node(id).strangers.iter().cloned());
        senders.sort_by(|a, b| (&a.application, a.pid).cmp(&(&b.application, b.pid)));
        senders
    }

    /// How many walsenders there are.
    fn senders_busy(&self, id: NodeId) -> usize {
        self.fed_by(id).len() + self.node(id).strangers.len()
    }

    /// Nobody else can stream from it, nor ask by the replication protocol.
    pub(super) fn senders_are_taken(&self, id: NodeId) -> bool {
        let most = self.node(id).conf.number(MAX_SENDERS);
        self.senders_busy(id) >= usize::try_from(most).unwrap_or(0)
    }

    fn sync_state(&self, id: NodeId, pid: Option<u32>) -> &'static str {
        let Some(names) = &self.node(id).sync else {
            return "async";
        };
        let mut counted = self.candidates(id, names);
        counted.sort_by_key(|(rank, stream)| (*rank, stream.sender));
        let place = counted.iter().position(|(_, stream)| stream.sender == pid);
        match (place, names.method) {
            (None, _) => "async",
            (Some(_), SyncMethod::Any) => "quorum",
            (Some(place), SyncMethod::First) if place < names.acks as usize => "sync",
            (Some(_), SyncMethod::First) => "potential",
        }
    }

    /// The slots, and how many there may be.
    pub(super) fn slots(&self, id: NodeId) -> (Vec<Slot>, u32) {
        let node = self.node(id);
        let slots = node
            .slots
            .iter()
            .map(|(name, slot)| Slot {
                name: name.clone(),
                physical: slot.physical,
                active_pid: self.holder(id, name),
                restart: slot.restart,
                wal_status: self.wal_status(id, name),
                failover: slot.failover,
                origin: slot.origin,
                confirmed: None,
            })
            .collect();
        let most = u32::try_from(node.conf.number(MAX_SLOTS)).unwrap_or(0);
        (slots, most)
    }

    /// What lies in `pg_wal`: every timeline that began with a promotion left its history file.
    pub(super) fn wal_files(&self, id: NodeId) -> WalFiles {
        let wal = &self.node(id).wal;
        WalFiles {
            segment: SEGMENT,
            oldest: Some(segment_start(wal.begin)),
            histories: self.branches.promoted(wal.branch),
        }
    }

    /// Where the node is set to receive from: as it runs, or as its files say.
    pub(super) fn upstream(&self, id: NodeId, by_files: bool) -> Option<(String, u16)> {
        let conf = &self.node(id).conf;
        let value = if by_files {
            conf.wanted(CONNINFO)
        } else {
            conf.running(CONNINFO)
        };
        match value {
            Some(Value::Target(target)) => Some((target.host.clone(), target.port)),
            _ => None,
        }
    }

    /// What the host says without asking the server.
    pub(super) fn host(&self, id: NodeId) -> Host {
        let node = self.node(id);
        let orphans: Vec<Process> = node
            .orphans
            .iter()
            .map(|orphan| Process {
                pid: orphan.pid,
                title: "postgres: client busy".to_owned(),
            })
            .collect();
        let attached = match (&node.process, orphans.len()) {
            (Some(_), _) => Some(7),
            (None, 0) => None,
            (None, orphans) => u32::try_from(orphans).ok(),
        };
        Host {
            postmaster: node.process.as_ref().map(|p| p.pid),
            frozen: node.process.is_some() && node.hang == Hang::Server,
            postmaster_status: status(node).map(str::to_owned),
            orphans,
            control: Some(node.control.clone()),
            newest_timeline: Some(self.branches.timeline(node.wal.branch)),
            standby_signal: node.signal,
            shared_memory_attached: attached,
            slots: node.slots.keys().cloned().collect(),
            half_rewound: node.half_rewound,
        }
    }

    /// The end of what its files hold of this timeline; none where the segment of `from` is not there.
    pub(super) fn wal_end(&self, id: NodeId, timeline: Timeline, from: Lsn) -> Option<Lsn> {
        let wal = &self.node(id).wal;
        let (_, left) = self.branches.named(wal.branch, timeline)?;
        let end = wal.end.min(left);
        let there = segment_start(from) >= segment_start(wal.begin)
            && (segment_start(from) <= segment_start(end));
        there.then_some(end.max(from))
    }
}

/// Line 8 of `postmaster.pid`. A server that is stopped by a signal leaves it as it was.
fn status(node: &Node) -> Option<&'static str> {
    let process = node.process.as_ref()?;
    Some(match process.phase {
        Phase::Starting => "starting",
        Phase::Stopping(_) | Phase::Draining if node.hang != Hang::Server => "stopping",
        _ if process.recovery => "standby",
        _ => "ready",
    })
}
