//! Streaming: what an upstream has flushed travels to the standby, and the standby's reports travel back.

use super::conf::{APPLY_DELAY, RECEIVER_TIMEOUT, SENDER_TIMEOUT};
use super::event::Event;
use super::ids::{At, NodeId, StreamId};
use super::node::{Hang, Phase, Receiving};
use super::wal::segment_start;
use super::world::World;
use crate::cluster::{Lsn, SlotName, Timeline};
use std::time::Duration;

/// One way, with the write and the flush at its end.
const HOP: Duration = Duration::from_micros(300);
/// A walreceiver that heard nothing for half of `wal_receiver_timeout` asks for an answer.
const PING: u32 = 2;

/// A replication connection. Either end may be over before the other knows.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub(super) up: NodeId,
    pub(super) down: NodeId,
    /// The walsender's process id; none: it has ended.
    pub(super) sender: Option<u32>,
    /// The walreceiver's process id; none: it has ended.
    pub(super) receiver: Option<u32>,
    pub(super) application: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) slot: Option<SlotName>,
    /// What is received.
    pub(super) timeline: Timeline,
    /// The sender calls itself `streaming`: it has caught up once.
    pub(super) caught_up: bool,
    /// What the sender was told.
    pub(super) flushed: Option<Lsn>,
    pub(super) replayed: Option<Lsn>,
    /// When the walreceiver last got data.
    pub(super) heard: At,
    /// Since when the two do not hear each other.
    pub(super) silent: Option<At>,
    /// A delivery is on its way.
    pub(super) under_way: bool,
}

impl World {
    /// The node has more on its disk than before: whoever streams from it gets it.
    pub(super) fn flushed(&mut self, node: NodeId) {
        for stream in self.fed_by(node) {
            self.send(stream);
        }
        if !self.node(node).waiters.is_empty() {
            self.release(node);
        }
    }

    pub(super) fn send(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if !stream.under_way {
            stream.under_way = true;
            let hop = self.about(HOP);
            self.later(hop, Event::Deliver(id));
        }
    }

    pub(super) fn deliver(&mut self, id: StreamId) {
        let now = self.now;
        let live = self.is_live(id);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.under_way = false;
        let (up, down) = (stream.up, stream.down);
        if stream.sender.is_none() || stream.receiver.is_none() || !live {
            return;
        }
        if self.nodes[down.0].replay.stalled {
            return;
        }
        stream.heard = now;
        let (end, branch) = (self.nodes[up.0].wal.end, self.nodes[up.0].wal.branch);
        let timeline = self.branches.timeline(branch);
        if stream.timeline != timeline {
            stream.timeline = timeline;
            self.nodes[down.0].wal.received = Some(segment_start(end));
        }
        let mine = &mut self.nodes[down.0].wal;
        if mine.branch != branch {
            let common = self.branches.common(mine.branch, branch);
            if mine.end > common {
                self.receiver_ends(id);
                return;
            }
            if end > common {
                mine.branch = branch;
            }
        }
        let grew = end > mine.end;
        mine.received = Some(end);
        mine.end = mine.end.max(end);
        let have = mine.end;
        if grew {
            self.arrived(down, have);
            self.flushed(down);
        }
        self.send_report(id);
    }

    /// Something arrived on a standby's disk: it is replayed as soon as nothing holds that up.
    fn arrived(&mut self, node: NodeId, upto: Lsn) {
        let delay = self.node(node).conf.millis(APPLY_DELAY);
        if delay.is_zero() {
            self.replay(node, upto);
        } else {
            self.later(delay, Event::Replay(node, upto));
        }
    }

    pub(super) fn replay(&mut self, id: NodeId, upto: Lsn) {
        let node = self.node_mut(id);
        let runs = node.is_standby() && node.hang != Hang::Server;
        if node.replay.paused || !runs || upto <= node.wal.replayed {
            return;
        }
        node.wal.replayed = upto.min(node.wal.end);
        if node.drained() && std::mem::take(&mut node.restart_receiver) {
            self.restart_receiver(id);
            return;
        }
        // The startup process asks for a walreceiver only when it has run out of WAL.
        self.receive(id);
        if let Receiving::Attached(stream) = self.node(id).receiving {
            self.send_report(stream);
        }
    }

    /// A standby tells its upstream how far it is.
    pub(super) fn send_report(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        let wal = &self.node(stream.down).wal;
        let (flushed, replayed) = (wal.received.unwrap_or_default(), wal.replayed);
        let hop = self.about(HOP);
        self.later(hop, Event::Report(id, flushed, replayed));
    }

    pub(super) fn report(&mut self, id: StreamId, flushed: Lsn, replayed: Lsn) {
        let live = self.is_live(id);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.sender.is_none() || !live {
            return;
        }
        stream.flushed = stream.flushed.max(Some(flushed));
        stream.replayed = stream.replayed.max(Some(replayed));
        let (up, slot) = (stream.up, stream.slot.clone());
        let end = self.nodes[up.0].wal.end;
        stream.caught_up |= flushed >= end;
        if let Some(slot) = slot.and_then(|name| self.nodes[up.0].slots.get_mut(&name)) {
            slot.restart = slot.restart.max(Some(flushed));
        }
        self.release(up);
        if self.node(up).process.as_ref().map(|p| p.phase) == Some(Phase::Draining) {
            self.drain(up);
        }
    }

    /// Since when a walreceiver has heard nothing. An idle upstream answers the pings of a living connection.
    pub(super) fn silence(&self, stream: &Stream) -> Duration {
        let timeout = self.node(stream.down).conf.millis(RECEIVER_TIMEOUT);
        let ping = timeout / PING;
        let quiet = |until: At| {
            let whole = until.since(stream.heard);
            if ping.is_zero() {
                whole
            } else {
                let rest = whole.as_micros() % ping.as_micros();
                Duration::from_micros(u64::try_from(rest).unwrap_or(0))
            }
        };
        match stream.silent {
            None => quiet(self.now),
            Some(since) => quiet(since) + self.now.since(since),
        }
    }

    /// The two ends hear each other no more. Neither is told; both wait for their time-outs.
    pub(super) fn falls_silent(&mut self, id: StreamId) {
        let now = self.now;
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        if stream.silent.is_some() {
            return;
        }
        let heard = self.silence(stream);
        let receiver = self.node(stream.down).conf.millis(RECEIVER_TIMEOUT);
        let sender = self.node(stream.up).conf.millis(SENDER_TIMEOUT);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.silent = Some(now);
        }
        if !receiver.is_zero() {
            let wait = receiver.saturating_sub(heard);
            self.later(wait, Event::ReceiverTimeout(id, now));
        }
        if !sender.is_zero() {
            self.later(sender, Event::SenderTimeout(id, now));
        }
    }

    pub(super) fn hears_again(&mut self, id: StreamId) {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.silent.take().is_none() {
            return;
        }
        stream.heard = now;
        match (stream.sender, stream.receiver) {
            (Some(_), Some(_)) => self.send(id),
            (Some(_), None) => self.sender_ends(id),
            (None, Some(_)) => self.receiver_ends(id),
            (None, None) => {
                self.streams.remove(&id);
            }
        }
    }

    pub(super) fn receiver_timeout(&mut self, id: StreamId, since: At) {
        if let Some(stream) = self.streams.get(&id)
            && stream.silent == Some(since)
        {
            if self.node(stream.down).hang == Hang::Server {
                // It notices when it runs again.
                self.later(Duration::from_secs(1), Event::ReceiverTimeout(id, since));
            } else {
                self.receiver_ends(id);
            }
        }
    }

    pub(super) fn sender_timeout(&mut self, id: StreamId, since: At) {
        if let Some(stream) = self.streams.get(&id)
            && stream.silent == Some(since)
        {
            if self.node(stream.up).hang == Hang::Server {
                self.later(Duration::from_secs(1), Event::SenderTimeout(id, since));
            } else {
                self.sender_ends(id);
            }
        }
    }

    /// The walsender ends; the other side is told when the way is open.
    pub(super) fn sender_ends(&mut self, id: StreamId) {
        let live = self.is_live(id);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.sender = None;
        let (up, receiver) = (stream.up, stream.receiver);
        if receiver.is_none() {
            self.streams.remove(&id);
        } else if live {
            self.receiver_ends(id);
        } else {
            self.falls_silent(id);
        }
        if self.node(up).process.as_ref().map(|p| p.phase) == Some(Phase::Draining) {
            self.drain(up);
        }
    }

    /// The walreceiver ends by itself: it was told so, or lost its upstream. The startup process tries again.
    pub(super) fn receiver_ends(&mut self, id: StreamId) {
        let Some(down) = self.streams.get(&id).map(|s| s.down) else {
            return;
        };
        self.receiver_is_gone(id);
        if self.node(down).receiving == Receiving::Attached(id) {
            self.node_mut(down).receiving = Receiving::Off;
            self.failed_to_stream(down);
        }
    }

    /// The walreceiver's process is gone; the other side is told when the way is open.
    pub(super) fn receiver_is_gone(&mut self, id: StreamId) {
        let live = self.is_live(id);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.receiver = None;
        if stream.sender.is_none() {
            self.streams.remove(&id);
        } else if live {
            self.sender_ends(id);
        } else {
            self.falls_silent(id);
        }
    }
}
