//! What happens by itself when its time has come.

use super::disrupt::Disruption;
use super::ids::{At, ClientId, Life, NodeId, StreamId};
use super::node::Commit;
use super::world::World;
use crate::cluster::Lsn;

/// Something that is going to happen. Each names what it belongs to, so that it means nothing once that is over.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// A server that was starting is there.
    Started(NodeId, Life),
    /// A server that was told to stop has done its part.
    Stopped(NodeId, Life),
    /// A primary waited long enough for standbys that do not take its last records.
    DrainedEnough(NodeId, Life),
    /// A promotion is complete.
    Promoted(NodeId, Life),
    /// A checkpoint is complete.
    Checkpointed(NodeId, Life),
    /// The server has heard of a reload.
    Reloaded(NodeId, Life),
    /// A walreceiver's connection attempt meets what it meets.
    Connect(NodeId, u64),
    /// Nobody answered a connection attempt for long enough.
    GiveUp(NodeId, u64),
    /// The startup process has slept long enough.
    Wake(NodeId, u64),
    /// What the upstream has flushed arrives.
    Deliver(StreamId),
    /// A standby's report arrives: flushed, replayed.
    Report(StreamId, Lsn, Lsn),
    /// A walreceiver heard nothing since then for too long.
    ReceiverTimeout(StreamId, At),
    /// A walsender heard nothing since then for too long.
    SenderTimeout(StreamId, At),
    /// What arrived up to here is replayed.
    Replay(NodeId, Lsn),
    /// A client wants to write.
    Write(ClientId),
    /// A commit's acknowledgement arrives at its client.
    Acknowledged(ClientId, Commit),
    /// Something that was arranged beforehand.
    Disrupt(Box<Disruption>),
}

impl World {
    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Started(node, life) => self.started(node, life),
            Event::Stopped(node, life) => self.stopped(node, life),
            Event::DrainedEnough(node, life) => self.drained_enough(node, life),
            Event::Promoted(node, life) => self.promoted(node, life),
            Event::Checkpointed(node, life) => {
                if self.node(node).life() == Some(life) {
                    self.checkpoint(node);
                }
            }
            Event::Reloaded(node, life) => self.reloaded(node, life),
            Event::Connect(node, round) => self.connect(node, round),
            Event::GiveUp(node, round) => self.give_up(node, round),
            Event::Wake(node, round) => self.wake(node, round),
            Event::Deliver(stream) => self.deliver(stream),
            Event::Report(stream, flushed, replayed) => self.report(stream, flushed, replayed),
            Event::ReceiverTimeout(stream, since) => self.receiver_timeout(stream, since),
            Event::SenderTimeout(stream, since) => self.sender_timeout(stream, since),
            Event::Replay(node, upto) => self.replay(node, upto),
            Event::Write(client) => self.client_writes(client),
            Event::Acknowledged(client, commit) => self.acknowledged(client, commit),
            Event::Disrupt(disruption) => self.disrupt(&disruption),
        }
    }
}
