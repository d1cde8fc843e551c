//! A world: hosts, nodes, network, clients, and what is going to happen next.
//!
//! Nothing ticks. Every change that takes time is an event of its own, and whoever looks at the world first lets happen
//! what is due by then.

use super::client::Client;
use super::conf::{SYNC_NAMES, Target};
use super::event::Event;
use super::ids::{At, HostId, Life, NodeId, StreamId};
use super::memory::Sighting;
use super::network::{Links, Machine};
use super::node::Node;
use super::queue::Queue;
use super::stream::Stream;
use super::wal::{BranchId, Branches};
use crate::cluster::{Lsn, NodeName, RepmgrNode, SyncNames};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Called after every change.
pub(super) type Watch = Box<dyn FnMut(&World) + Send>;

/// A simulated site. What it does is a function of what it was built from, its seed, and what is done to it when.
pub struct World {
    pub(super) now: At,
    random: ChaCha8Rng,
    queue: Queue,
    /// The next number of an event, a life, a stream.
    next: u64,
    next_pid: u32,
    pub(super) machines: Vec<Machine>,
    pub(super) links: Links,
    pub(super) nodes: Vec<Node>,
    names: BTreeMap<NodeName, NodeId>,
    pub(super) streams: BTreeMap<StreamId, Stream>,
    pub(super) branches: Branches,
    /// Where checkpoint records are, in the order in which they were written.
    pub(super) checkpoints: Vec<(BranchId, Lsn)>,
    pub(super) clients: Vec<Client>,
    pub(super) sightings: BTreeMap<NodeId, Sighting>,
    pub(super) promotions: Vec<(At, NodeId)>,
    /// repmgr's table, where there is one. It is data: whoever reads it on the primary sees all that was written.
    pub(super) repmgr: Option<Vec<RepmgrNode>>,
    /// Who may not log in to whom for replication, and what it is told.
    barred: BTreeMap<(NodeId, NodeId), String>,
    watch: Option<Watch>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: At::default(),
            random: ChaCha8Rng::seed_from_u64(seed),
            queue: Queue::default(),
            next: 0,
            next_pid: 100,
            machines: vec![Machine::default()],
            links: Links::default(),
            nodes: Vec::new(),
            names: BTreeMap::new(),
            streams: BTreeMap::new(),
            branches: Branches::default(),
            checkpoints: Vec::new(),
            clients: Vec::new(),
            sightings: BTreeMap::new(),
            promotions: Vec::new(),
            repmgr: None,
            barred: BTreeMap::new(),
            watch: None,
        }
    }

    pub(super) fn add_node(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.names.insert(node.name.clone(), id);
        self.nodes.push(node);
        id
    }

    pub(super) fn add_machine(&mut self) -> HostId {
        self.machines.push(Machine::default());
        HostId(self.machines.len() - 1)
    }

    /// What time it is.
    pub fn now(&self) -> At {
        self.now
    }

    /// Calls `watch` after every change from now on.
    pub fn watch(&mut self, watch: impl FnMut(&World) + Send + 'static) {
        self.watch = Some(Box::new(watch));
    }

    pub(super) fn changed(&mut self) {
        if let Some(mut watch) = self.watch.take() {
            watch(self);
            self.watch = Some(watch);
        }
    }

    /// Lets happen what is due until then.
    pub fn advance(&mut self, until: At) {
        while let Some((due, event)) = self.queue.pop_until(until) {
            self.now = self.now.max(due);
            self.happen(event);
            self.changed();
        }
        self.now = self.now.max(until);
    }

    /// When the next thing happens.
    pub fn next_event(&self) -> Option<At> {
        self.queue.first()
    }

    pub(super) fn later(&mut self, wait: Duration, event: Event) {
        let (at, number) = (self.now + wait, self.number());
        self.queue.push(at, number, event);
    }

    /// A number that never comes twice.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn new_life(&mut self) -> Life {
        Life(self.number())
    }

    pub(super) fn pid(&mut self) -> u32 {
        self.next_pid += 1;
        self.next_pid
    }

    /// Process ids up to this one are taken.
    pub(super) fn taken_pid(&mut self, pid: u32) {
        self.next_pid = self.next_pid.max(pid);
    }

    /// From now on a node's receiver may not log in to another, and is told why. Names that are not there change nothing.
    pub fn bar(&mut self, receiver: &NodeName, from: &NodeName, why: &str) {
        if let (Some(receiver), Some(from)) = (self.find(receiver), self.find(from)) {
            self.barred.insert((receiver, from), why.to_owned());
        }
    }

    /// Why a node's receiver may not log in there, where it may not.
    pub(super) fn bars(&self, receiver: NodeId, from: NodeId) -> Option<&str> {
        self.barred.get(&(receiver, from)).map(String::as_str)
    }

    /// A time between `base` and twice as much.
    pub(super) fn about(&mut self, base: Duration) -> Duration {
        let micros = u64::try_from(base.as_micros()).unwrap_or(u64::MAX).max(1);
        base + Duration::from_micros(self.random.next_u64() % micros)
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0]
    }

    pub(super) fn find(&self, name: &NodeName) -> Option<NodeId> {
        self.names.get(name).copied()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// Whom a standby connects to that is told this.
    pub(super) fn at_address(&self, host: &str, port: u16) -> Option<NodeId> {
        self.ids().find(|id| {
            let address = &self.node(*id).address;
            address.0 == host && address.1 == port
        })
    }

    pub(super) fn resolve(&self, target: &Target) -> Option<NodeId> {
        self.at_address(&target.host, target.port)
    }

    /// The streams that this node feeds, in the order in which they began.
    pub(super) fn fed_by(&self, node: NodeId) -> Vec<StreamId> {
        self.streams
            .iter()
            .filter(|(_, s)| s.up == node && s.sender.is_some())
            .map(|(id, _)| *id)
            .collect()
    }

    /// The server has other settings now.
    pub(super) fn settings_taken(&mut self, node: NodeId) {
        let names = SyncNames::parse(self.node(node).conf.text(SYNC_NAMES))
            .ok()
            .flatten();
        self.node_mut(node).sync = names;
        self.release(node);
    }

    /// Writes a record of this length on a primary and flushes it. Where it begins.
    pub(super) fn write(&mut self, node: NodeId, bytes: u64) -> Lsn {
        let wal = &mut self.node_mut(node).wal;
        let begin = wal.end;
        wal.end = Lsn(wal.end.0 + bytes.next_multiple_of(8));
        wal.replayed = wal.end;
        self.flushed(node);
        begin
    }
}
