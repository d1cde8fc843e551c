//! Worlds that begin where a live cluster stands.

use super::conf;
use super::ids::{At, HostId, NodeId, RUNNER};
use super::node::{
    Dark, Disk, Door, Hang, IDLE, Node, Phase, Process, Receiving, Replay, SlotState,
};
use super::recall::strangers;
use super::snapshot::{Fact, NodeFacts, Snapshot};
use super::wal::{BranchId, Wal};
use super::world::World;
use crate::cluster::{
    ControlData, ControlState, History, Inventory, Lsn, Manager, Node as Entry, NodeName,
    RepmgrNode, StartupState, SystemId, Timeline, Transport, Trouble, TroubleKind,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a seeded world has lived when it begins: sightings and silences are older than a run.
const AGE: Duration = Duration::from_hours(24);
/// How long a backlog of unknown size takes to be replayed.
const BACKLOG: Duration = Duration::from_millis(300);

/// Something that a simulation takes for granted because nobody can observe it. Worth showing beside what it predicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assumption {
    /// The node that it is about.
    pub node: NodeName,
    /// What is assumed.
    pub text: String,
}

impl World {
    /// The world that these facts describe. What nobody could read stays unknown: whoever asks for it is told what was
    /// told then, and nothing can be done there.
    pub fn from_snapshot(
        inventory: &Inventory,
        snapshot: &Snapshot,
        seed: u64,
    ) -> (Self, Vec<Assumption>) {
        let mut seeding = Seeding {
            world: World::new(seed),
            branches: BTreeMap::new(),
            machines: BTreeMap::new(),
            assumed: Vec::new(),
        };
        seeding.world.now = At::after(AGE);
        seeding.histories(snapshot);
        for (name, entry) in &inventory.nodes {
            let facts = snapshot.nodes.get(name);
            let node = seeding.node(entry, facts, snapshot);
            let id = seeding.world.add_node(node);
            if let Some(facts) = facts {
                seeding.remembered(id, &facts.remembered);
            }
        }
        seeding.world.repmgr = repmgr(snapshot);
        seeding.as_of_one_instant(snapshot);
        for (name, facts) in &snapshot.nodes {
            if let Some(id) = seeding.world.find(name) {
                seeding.stream(id, facts, snapshot);
            }
        }
        let Seeding {
            mut world, assumed, ..
        } = seeding;
        for id in world.ids() {
            world.settings_taken(id);
            world.receive(id);
        }
        world.ways_changed();
        (world, assumed)
    }
}

/// repmgr's table as the primary has it, or else as anybody does: it is the same data.
fn repmgr(snapshot: &Snapshot) -> Option<Vec<RepmgrNode>> {
    let is_primary = |facts: &NodeFacts| facts.server.known().is_some_and(|s| !s.in_recovery);
    let told = |wanted: bool| {
        let mut nodes = snapshot.nodes.values().filter(|n| is_primary(n) == wanted);
        nodes.find_map(|facts| facts.repmgr.as_ref()?.known().cloned())
    };
    told(true).or_else(|| told(false))
}

/// A world in the making.
pub(super) struct Seeding {
    pub(super) world: World,
    /// Branches by their whole ancestry.
    branches: BTreeMap<Vec<(u32, u64)>, BranchId>,
    machines: BTreeMap<String, HostId>,
    assumed: Vec<Assumption>,
}

impl Seeding {
    pub(super) fn assume(&mut self, node: &NodeName, text: impl Into<String>) {
        self.assumed.push(Assumption {
            node: node.clone(),
            text: text.into(),
        });
    }

    fn histories(&mut self, snapshot: &Snapshot) {
        for facts in snapshot.nodes.values() {
            if let Some(history) = facts.history.known() {
                self.branch(history);
            }
        }
    }

    /// The branch of this history; the same for the same history.
    fn branch(&mut self, history: &History) -> BranchId {
        let mut key: Vec<(u32, u64)> = Vec::new();
        let mut before: Option<(BranchId, Lsn)> = None;
        let line = history
            .forks
            .iter()
            .map(|fork| (fork.timeline, Some(fork.at)))
            .chain([(history.timeline, None)]);
        let mut last = None;
        for (timeline, left) in line {
            key.push((timeline.0, before.map_or(0, |(_, at)| at.0)));
            let branches = &mut self.world.branches;
            let id = *self
                .branches
                .entry(key.clone())
                .or_insert_with(|| match before {
                    None => branches.root(timeline),
                    Some((parent, at)) => branches.fork(parent, at, timeline),
                });
            before = left.map(|at| (id, at));
            last = Some(id);
        }
        last.unwrap_or_else(|| self.world.branches.root(history.timeline))
    }

    fn machine(&mut self, entry: &Entry) -> HostId {
        if matches!(entry.transport, Transport::Local { .. }) {
            return RUNNER;
        }
        if let Some(host) = self.machines.get(&entry.host) {
            return *host;
        }
        let host = self.world.add_machine();
        self.machines.insert(entry.host.clone(), host);
        host
    }

    fn node(&mut self, entry: &Entry, facts: Option<&NodeFacts>, all: &Snapshot) -> Node {
        let name = &entry.name;
        let server = facts.and_then(|f| f.server.known());
        let host = facts.and_then(|f| f.host.known());
        let version = server.map_or_else(|| version_of(all), |s| s.version);
        let (branch, end) = self.position(name, facts);
        let replayed = server.and_then(|s| s.replayed).unwrap_or(end);
        let control = host.and_then(|h| h.control.clone());
        let recovery = server.map_or(host.is_none_or(|h| h.standby_signal), |s| s.in_recovery);
        let process = match (server, host.and_then(|h| h.postmaster)) {
            (None, None) => None,
            (_, pid) => {
                self.world.taken_pid(pid.unwrap_or_default());
                Some(Process {
                    pid: pid.unwrap_or_else(|| self.world.pid()),
                    life: self.world.new_life(),
                    phase: Phase::Ready,
                    recovery,
                    promoting: false,
                })
            }
        };
        let dark = self.dark(name, facts, process.is_some());
        let refuses = dark
            .sql
            .as_ref()
            .is_some_and(|t| t.kind == TroubleKind::Denied);
        let hang = if server.is_none() && process.is_some() && !refuses {
            self.assume(name, "its server runs and does not answer: it is taken for one that reacts to nothing but SIGKILL");
            Hang::Server
        } else {
            Hang::None
        };
        if let Some(control) = &control {
            self.world.checkpoints.push((branch, control.checkpoint));
        }
        let strangers = strangers(facts, all);
        let slots = self.slots(name, facts, &strangers);
        let files = facts.and_then(|f| f.wal_files.known());
        let begin = files.and_then(|files| files.oldest).unwrap_or_else(|| {
            let told = facts.is_some_and(|f| f.slots.known().is_some());
            begin_of(&slots, told, control.as_ref())
        });
        let conf = self.conf(entry, facts);
        let archiving = facts.and_then(|f| f.archiving.known());
        if server.is_some_and(|s| s.startup == StartupState::Busy && !s.replay_paused) {
            self.replay_later(name, conf.millis(conf::APPLY_DELAY), end);
        }
        Node {
            name: name.clone(),
            host: self.machine(entry),
            address: (entry.host.clone(), entry.port),
            version,
            system: system_of(facts),
            wal: Wal {
                branch,
                begin,
                end,
                received: server.and_then(|s| s.received),
                replayed,
            },
            process,
            hang,
            orphans: host.map(orphans).unwrap_or_default(),
            control: control.unwrap_or_else(|| unread(recovery, system_of(facts), begin)),
            signal: host.map_or(recovery, |h| h.standby_signal),
            conf,
            saved: self.saved(name, facts),
            slots,
            strangers,
            archiving: archiving.cloned().unwrap_or(IDLE),
            managers: facts.map(managers).unwrap_or_default(),
            forbidden: facts
                .and_then(|f| f.forbidden.as_ref()?.known())
                .cloned()
                .unwrap_or_default(),
            receiving: Receiving::Off,
            round: 0,
            last_fail: At::default(),
            restart_receiver: false,
            replay: Replay {
                paused: server.is_some_and(|s| s.replay_paused),
                ..Replay::default()
            },
            sync: None,
            waiters: Vec::new(),
            broken: None,
            half_rewound: host.is_some_and(|h| h.half_rewound),
            rebuild: facts
                .and_then(|f| f.rebuild.as_ref()?.known().cloned())
                .unwrap_or(super::rebuild::ABLE),
            footing: facts
                .and_then(|f| f.footing.as_ref()?.known().cloned())
                .unwrap_or(super::rebuild::FIRM),
            tablespaces: facts
                .and_then(|f| f.tablespaces.as_ref()?.known().cloned())
                .unwrap_or_default(),
            dark,
            door: Door::default(),
            disk: Disk::default(),
        }
    }

    /// What the next node has still to replay, up to here.
    fn replay_later(&mut self, name: &NodeName, delay: Duration, end: Lsn) {
        let wait = if delay.is_zero() {
            self.assume(name, "what it has still to replay is replayed in a moment");
            self.world.about(BACKLOG)
        } else {
            self.assume(name, "what it has still to replay arrived just now");
            delay
        };
        let id = NodeId(self.world.nodes.len());
        self.world.later(wait, super::event::Event::Replay(id, end));
    }

    /// What nobody could find out about a node.
    fn dark(&mut self, name: &NodeName, facts: Option<&NodeFacts>, runs: bool) -> Dark {
        let Some(facts) = facts else {
            let nothing = Trouble::on(TroubleKind::Unreachable, name, "nothing is known of it");
            return Dark {
                sql: Some(nothing.clone()),
                host: Some(nothing),
            };
        };
        let host = facts.host.trouble().cloned();
        // Where the host says that nothing runs, a refused connection needs no record.
        let explained = facts.host.known().is_some() && !runs;
        let sql = facts.server.trouble().filter(|_| !explained).cloned();
        if sql.is_some() && host.is_some() {
            self.assume(
                name,
                "nothing can be reached there, and nothing changes there",
            );
        }
        Dark { sql, host }
    }

    fn position(&mut self, name: &NodeName, facts: Option<&NodeFacts>) -> (BranchId, Lsn) {
        let told = facts.and_then(|f| f.wal_end.as_ref()?.known().copied());
        if let Some(facts) = facts
            && let (Some(identity), Some(history)) = (facts.identity.known(), facts.history.known())
        {
            let branch = self.branch(history);
            let server = facts
                .server
                .known()
                .and_then(crate::cluster::Server::position);
            let end = identity.at.max(server.unwrap_or_default());
            return (branch, end.max(told.unwrap_or_default()));
        }
        let control = facts
            .and_then(|f| f.host.known())
            .and_then(|h| h.control.as_ref());
        let timeline = control.map_or(Timeline(1), |c| c.timeline);
        let server = facts.and_then(|f| f.server.known()?.position());
        let end = told
            .or(server)
            .or(control.map(|c| c.checkpoint))
            .unwrap_or_default();
        let known = self
            .branches
            .values()
            .find_map(|branch| Some(self.world.branches.named(*branch, timeline)?.0));
        if control.is_some() {
            self.assume(
                name,
                format!("its log is that of timeline {timeline} as the others have it"),
            );
        }
        let branch = known.unwrap_or_else(|| self.branch(&History::first(timeline)));
        (branch, end)
    }
}

pub(super) type Slots = BTreeMap<crate::cluster::SlotName, SlotState>;

fn orphans(host: &crate::cluster::Host) -> Vec<super::node::Orphan> {
    let of = |process: &crate::cluster::Process| super::node::Orphan {
        pid: process.pid,
        client: None,
    };
    host.orphans.iter().map(of).collect()
}

fn version_of(all: &Snapshot) -> u32 {
    all.nodes
        .values()
        .find_map(|facts| Some(facts.server.known()?.version))
        .unwrap_or(conf::OLDEST)
}

fn system_of(facts: Option<&NodeFacts>) -> SystemId {
    let told = facts.and_then(|f| f.identity.known()).map(|i| i.system);
    let read = facts
        .and_then(|f| f.host.known()?.control.as_ref())
        .map(|c| c.system);
    told.or(read).unwrap_or(SystemId(0))
}

/// The oldest WAL that something visible keeps; all of it where nothing tells, or slots keep it of which the host knows no
/// more than the names.
fn begin_of(slots: &Slots, told: bool, control: Option<&ControlData>) -> Lsn {
    if !told && !slots.is_empty() {
        return Lsn(0);
    }
    let kept = slots.values().filter_map(|slot| slot.restart).min();
    let redo = control.map(|c| c.redo);
    let oldest = [kept, redo].into_iter().flatten().min();
    oldest.map_or(Lsn(0), super::wal::segment_start)
}

/// Control data that nobody can read.
fn unread(recovery: bool, system: SystemId, redo: Lsn) -> ControlData {
    ControlData {
        state: if recovery {
            ControlState::ArchiveRecovery
        } else {
            ControlState::InProduction
        },
        system,
        checkpoint: redo,
        redo,
        timeline: Timeline(1),
    }
}

/// Who else manages it, as far as anybody knows.
fn managers(facts: &NodeFacts) -> Vec<Manager> {
    let seen = facts.managers.as_ref().and_then(Fact::known);
    seen.map(|managers| managers.found.clone())
        .unwrap_or_default()
}
