//! Machines and the ways between them.

use super::event::Event;
use super::ids::{HostId, NodeId, StreamId};
use super::node::{Hang, Receiving};
use super::world::World;
use std::collections::BTreeSet;
use std::time::Duration;

/// A machine.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) up: bool,
    pub(super) shell: Shell,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            up: true,
            shell: Shell::Works,
        }
    }
}

/// How commands from elsewhere fare on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shell {
    /// They run.
    Works,
    /// The connection is refused; the command never runs.
    Refuses,
    /// The connection is not answered; the command never runs.
    Hangs,
    /// The connection dies after the command was sent: it runs, and nobody hears how it ended.
    DiesAfterSend,
}

/// The ways that are cut, each in one direction.
#[derive(Debug, Clone, Default)]
pub(super) struct Links {
    pub(super) cut: BTreeSet<(HostId, HostId)>,
}

/// How soon a connection attempt that nobody answered is repeated by the kernel.
const RETRANSMIT: Duration = Duration::from_secs(1);

impl World {
    pub(super) fn host_up(&self, host: HostId) -> bool {
        self.machines[host.0].up
    }

    /// What `from` sends arrives at `to`.
    pub(super) fn passes(&self, from: HostId, to: HostId) -> bool {
        self.host_up(from)
            && self.host_up(to)
            && (from == to || !self.links.cut.contains(&(from, to)))
    }

    /// Both ways are open.
    pub(super) fn connected(&self, one: HostId, other: HostId) -> bool {
        self.passes(one, other) && self.passes(other, one)
    }

    /// Both ends of a stream hear each other.
    pub(super) fn is_live(&self, stream: StreamId) -> bool {
        let Some(stream) = self.streams.get(&stream) else {
            return false;
        };
        let (up, down) = (self.node(stream.up), self.node(stream.down));
        self.connected(up.host, down.host)
            && up.hang != Hang::Server
            && down.hang != Hang::Server
            && !up.unseen()
    }

    /// After anything that may have opened or closed a way: streams fall silent or go on, attempts are repeated.
    pub(super) fn ways_changed(&mut self) {
        let streams: Vec<StreamId> = self.streams.keys().copied().collect();
        for stream in streams {
            if self.is_live(stream) {
                self.hears_again(stream);
            } else {
                self.falls_silent(stream);
            }
        }
        let waiting: Vec<(NodeId, u64)> = self
            .ids()
            .filter(|id| matches!(self.node(*id).receiving, Receiving::Connecting { .. }))
            .map(|id| (id, self.node(id).round))
            .collect();
        for (node, round) in waiting {
            self.later(RETRANSMIT, Event::Connect(node, round));
        }
    }
}
