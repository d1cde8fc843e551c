//! How a standby finds and loses its upstream: the startup process, its walreceiver, and the waits in between.

use super::conf::{RETRY, SLOT_NAME, Target};
use super::event::Event;
use super::ids::{At, NodeId, StreamId};
use super::node::{Hang, Phase, Receiving};
use super::stream::Stream;
use super::wal::segment_start;
use super::world::World;
use crate::cluster::{Lsn, Receiver, Sender, SlotName};
use std::time::Duration;

/// Until a walreceiver is up and its connection has met something.
const CONNECT: Duration = Duration::from_millis(4);
/// Until the kernel gives up a connection that nobody answers.
const NO_ANSWER: Duration = Duration::from_secs(130);

impl World {
    /// The startup process has run out of WAL and is told whom to receive from.
    fn wants_to_receive(&self, id: NodeId) -> bool {
        let node = self.node(id);
        node.is_standby()
            && node.hang != Hang::Server
            && node.drained()
            && node.conf.target().is_some()
            && node
                .process
                .as_ref()
                .is_some_and(|p| p.phase == Phase::Ready && !p.promoting)
    }

    /// Starts a walreceiver where one is wanted and there is none.
    pub(super) fn receive(&mut self, id: NodeId) {
        if self.node(id).receiving != Receiving::Off || !self.wants_to_receive(id) {
            return;
        }
        let Some(target) = self.node(id).conf.target().cloned() else {
            return;
        };
        let slot = SlotName::parse(self.node(id).conf.text(SLOT_NAME)).ok();
        let (pid, round) = (self.pid(), self.number());
        let node = self.node_mut(id);
        node.round = round;
        node.receiving = Receiving::Connecting { pid, target, slot };
        let wait = self.about(CONNECT);
        self.later(wait, Event::Connect(id, round));
        self.later(NO_ANSWER, Event::GiveUp(id, round));
    }

    pub(super) fn connect(&mut self, id: NodeId, round: u64) {
        let node = self.node(id);
        let Receiving::Connecting { pid, target, slot } = node.receiving.clone() else {
            return;
        };
        if node.round != round || node.hang == Hang::Server {
            return;
        }
        match self.answer(id, &target, slot.as_ref()) {
            Answer::None => {}
            Answer::No => {
                self.node_mut(id).receiving = Receiving::Off;
                self.failed_to_stream(id);
            }
            Answer::Yes(up) => self.attach(id, up, pid, target, slot),
        }
    }

    pub(super) fn give_up(&mut self, id: NodeId, round: u64) {
        let node = self.node(id);
        if node.round == round && matches!(node.receiving, Receiving::Connecting { .. }) {
            self.node_mut(id).receiving = Receiving::Off;
            self.failed_to_stream(id);
        }
    }

    /// What a connection attempt meets.
    fn answer(&self, id: NodeId, target: &Target, slot: Option<&SlotName>) -> Answer {
        let node = self.node(id);
        let Some(up) = self.resolve(target) else {
            return Answer::No;
        };
        let upstream = self.node(up);
        if !self.connected(node.host, upstream.host)
            || upstream.hang == Hang::Server
            || upstream.unseen()
        {
            return Answer::None;
        }
        let slot_is_free = slot.is_none_or(|name| {
            upstream
                .slots
                .get(name)
                .is_some_and(|s| s.physical && !s.lost)
                && self.holder(up, name).is_none()
        });
        if !upstream.serves()
            || self.bars(id, up).is_some()
            || upstream.system != node.system
            || self.senders_are_taken(up)
            || !slot_is_free
            || self.mismatch(id, up)
        {
            return Answer::No;
        }
        Answer::Yes(up)
    }

    /// The upstream's log does not go on where this node's ends, or no longer holds it.
    fn mismatch(&self, id: NodeId, up: NodeId) -> bool {
        let (mine, theirs) = (&self.node(id).wal, &self.node(up).wal);
        let timelines = (
            self.branches.timeline(mine.branch),
            self.branches.timeline(theirs.branch),
        );
        let common = self.branches.common(mine.branch, theirs.branch);
        let start = segment_start(mine.end);
        timelines.1 < timelines.0 || mine.end > common || start > theirs.end || theirs.begin > start
    }

    fn attach(
        &mut self,
        id: NodeId,
        up: NodeId,
        receiver: u32,
        target: Target,
        slot: Option<SlotName>,
    ) {
        let (sender, stream) = (self.pid(), StreamId(self.number()));
        let timeline = self.branches.timeline(self.node(up).wal.branch);
        let (now, begin) = (self.now, segment_start(self.node(id).wal.end));
        let same = self.branches.timeline(self.node(id).wal.branch) == timeline;
        let node = self.node_mut(id);
        node.receiving = Receiving::Attached(stream);
        if node.wal.received.is_none() || !same {
            node.wal.received = Some(begin);
        }
        self.streams.insert(
            stream,
            Stream {
                up,
                down: id,
                sender: Some(sender),
                receiver: Some(receiver),
                application: target.application,
                host: target.host,
                port: target.port,
                slot,
                timeline,
                caught_up: false,
                flushed: None,
                replayed: None,
                heard: now,
                silent: None,
                under_way: false,
            },
        );
        self.send(stream);
    }

    /// A connection that stood before the world began.
    pub(super) fn adopt(
        &mut self,
        id: NodeId,
        up: NodeId,
        receiver: &Receiver,
        sender: Option<&Sender>,
    ) {
        let sender_pid = sender.map_or_else(|| self.pid(), |s| s.pid);
        self.taken_pid(sender_pid);
        let stream = StreamId(self.number());
        let silent = Duration::from_millis(
            u64::try_from(receiver.silent_ms.unwrap_or_default()).unwrap_or(0),
        );
        let heard = At::after(self.now.elapsed().saturating_sub(silent));
        let newest = self.branches.timeline(self.node(up).wal.branch);
        self.node_mut(id).receiving = Receiving::Attached(stream);
        self.streams.insert(
            stream,
            Stream {
                up,
                down: id,
                sender: Some(sender_pid),
                receiver: Some(receiver.pid),
                application: self.node(id).name.to_string(),
                host: receiver.host.clone(),
                port: receiver.port,
                slot: receiver.slot.clone(),
                timeline: receiver.timeline.unwrap_or(newest),
                caught_up: sender.is_some_and(|s| s.state == "streaming"),
                flushed: sender.and_then(|s| s.flushed),
                replayed: sender.and_then(|s| s.replayed),
                heard,
                silent: None,
                under_way: false,
            },
        );
        self.send(stream);
    }

    /// Streaming failed: at once again when the last failure is long ago, else after the rest of the interval.
    pub(super) fn failed_to_stream(&mut self, id: NodeId) {
        let interval = self.node(id).conf.millis(RETRY);
        let passed = self.now.since(self.node(id).last_fail);
        let first = self.node(id).last_fail == At::default();
        if first || passed >= interval {
            self.node_mut(id).last_fail = self.now;
            self.receive(id);
        } else if self.wants_to_receive(id) {
            let round = self.number();
            let node = self.node_mut(id);
            node.round = round;
            node.receiving = Receiving::Asleep;
            self.later(interval.saturating_sub(passed), Event::Wake(id, round));
        }
    }

    pub(super) fn wake(&mut self, id: NodeId, round: u64) {
        if self.node(id).round == round && self.node(id).receiving == Receiving::Asleep {
            self.try_again(id);
        }
    }

    fn try_again(&mut self, id: NodeId) {
        let now = self.now;
        let node = self.node_mut(id);
        node.receiving = Receiving::Off;
        node.last_fail = now;
        self.receive(id);
    }

    /// The setting changed. A startup process that waits for WAL ends its walreceiver and starts another; one that is
    /// busy or paused does so later.
    pub(super) fn upstream_changed(&mut self, id: NodeId) {
        if self.node(id).drained() {
            self.restart_receiver(id);
        } else {
            self.node_mut(id).restart_receiver = true;
        }
    }

    pub(super) fn restart_receiver(&mut self, id: NodeId) {
        self.end_receiver(id);
        self.receive(id);
    }

    /// A reload wakes a startup process that sleeps.
    pub(super) fn nudge(&mut self, id: NodeId) {
        match self.node(id).receiving {
            Receiving::Asleep => self.try_again(id),
            Receiving::Off => self.receive(id),
            _ => {}
        }
    }

    /// The walreceiver is ended; nobody starts another here.
    pub(super) fn end_receiver(&mut self, id: NodeId) {
        let before = std::mem::replace(&mut self.node_mut(id).receiving, Receiving::Off);
        self.node_mut(id).round = 0;
        if let Receiving::Attached(stream) = before {
            self.receiver_is_gone(stream);
        }
    }

    /// The walreceiver's process id, with or without a connection.
    pub(super) fn receiver_pid(&self, id: NodeId) -> Option<u32> {
        match &self.node(id).receiving {
            Receiving::Connecting { pid, .. } => Some(*pid),
            Receiving::Attached(stream) => self.streams.get(stream)?.receiver,
            Receiving::Off | Receiving::Asleep => None,
        }
    }

    /// The walsender that holds a slot.
    pub(super) fn holder(&self, up: NodeId, slot: &SlotName) -> Option<u32> {
        self.streams
            .values()
            .filter(|s| s.up == up && s.slot.as_ref() == Some(slot))
            .find_map(|s| s.sender)
            .or_else(|| self.node(up).slots.get(slot)?.stranger)
    }

    /// Ends streams whose next record is gone from the upstream.
    pub(super) fn end_starved_streams(&mut self, up: NodeId, begin: Lsn) {
        for stream in self.fed_by(up) {
            let starved = self.streams.get(&stream).is_some_and(|s| {
                let lost = s
                    .slot
                    .as_ref()
                    .and_then(|name| self.node(up).slots.get(name))
                    .is_some_and(|slot| slot.lost);
                lost || segment_start(self.node(s.down).wal.end) < begin
            });
            if starved {
                self.sender_ends(stream);
            }
        }
    }
}

/// What a connection attempt meets.
enum Answer {
    /// Silence.
    None,
    /// A refusal.
    No,
    /// It streams.
    Yes(NodeId),
}
