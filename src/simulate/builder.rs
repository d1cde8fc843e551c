//! Worlds made by hand, for tests and rehearsals.

use super::client::Habit;
use super::conf::{self, CONNINFO, Conf, SLOT_NAME, SYNC_NAMES, Target, Value};
use super::ids::{At, HostId, NodeId, RUNNER};
use super::node::{
    Dark, Disk, Door, Hang, IDLE, Node, Phase, Process, Receiving, Replay, SlotState,
};
use super::rebuild::ABLE;
use super::wal::{BranchId, Wal, segment_start};
use super::world::World;
use crate::cluster::{
    ControlData, ControlState, Inventory, Lsn, Manager, Node as Entry, NodeName, Product,
    PromotePolicy, ReplicationAccess, SlotName, SqlAccess, SslMode, Synchronous, SystemId,
    Timeline, Transport,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where the log of a world begins, and where it stands, unless told otherwise.
const START: Lsn = Lsn(0x0300_0000);
const BEHIND: u64 = 0x148;
/// How long a world lives before anybody looks: until everybody streams.
const SETTLE: Duration = Duration::from_millis(200);

/// A site file's worth of nodes that are reached by ssh, each on a host of its own. For worlds that nobody has.
pub fn rehearsal_inventory(names: &[NodeName], synchronous: Synchronous) -> Inventory {
    let nodes = names.iter().zip(1_u32..).map(|(name, id)| {
        let node = Entry {
            name: name.clone(),
            id,
            host: format!("{name}.rehearsal"),
            port: 5432,
            priority: 100,
            location: String::new(),
            promote: PromotePolicy::Allowed,
            data: format!("/var/lib/postgresql/{name}").into(),
            bin: "/usr/lib/postgresql/bin".into(),
            transport: Transport::Ssh {
                host: None,
                user: None,
                port: None,
                identity: None,
                config: None,
                known_hosts: None,
            },
            log: None,
            service: None,
            forbid_return: None,
            allow_return: None,
        };
        (name.clone(), node)
    });
    Inventory {
        cluster: "rehearsal".to_owned(),
        product: Product::Postgresql,
        nodes: nodes.collect(),
        sql: SqlAccess {
            user: "pgbaton".to_owned(),
            dbname: "postgres".to_owned(),
            passfile: None,
            password: None,
            sslmode: SslMode::Disable,
            sslrootcert: None,
        },
        replication: ReplicationAccess {
            user: "replicator".to_owned(),
            passfile: None,
            options: BTreeMap::new(),
        },
        synchronous,
        repmgr: None,
        detector: crate::cluster::Detector::default(),
    }
}

/// Builds a world: one primary, and the other nodes of the inventory as its standbys, each with a slot, all streaming.
#[derive(Debug)]
pub struct WorldBuilder<'a> {
    inventory: &'a Inventory,
    seed: u64,
    version: u32,
    primary: Option<NodeName>,
    upstreams: BTreeMap<NodeName, NodeName>,
    sync: String,
    settings: Vec<(Option<NodeName>, String, String)>,
    managers: Vec<(NodeName, Manager)>,
    clients: Vec<(Duration, Habit)>,
    clients_beside_runner: bool,
}

impl<'a> WorldBuilder<'a> {
    /// A world of this inventory's nodes; the first of them is the primary.
    pub fn new(inventory: &'a Inventory, seed: u64) -> Self {
        Self {
            inventory,
            seed,
            version: 150_000,
            primary: None,
            upstreams: BTreeMap::new(),
            sync: String::new(),
            settings: Vec::new(),
            managers: Vec::new(),
            clients: Vec::new(),
            clients_beside_runner: false,
        }
    }

    /// `server_version_num`; 15 unless given.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Who is primary.
    #[must_use]
    pub fn primary(mut self, node: &NodeName) -> Self {
        self.primary = Some(node.clone());
        self
    }

    /// A standby that follows somebody else than the primary.
    #[must_use]
    pub fn upstream(mut self, node: &NodeName, upstream: &NodeName) -> Self {
        self.upstreams.insert(node.clone(), upstream.clone());
        self
    }

    /// `synchronous_standby_names` of the primary; empty unless given.
    #[must_use]
    pub fn synchronous(mut self, names: &str) -> Self {
        names.clone_into(&mut self.sync);
        self
    }

    /// A setting in the configuration file of one node or of all, in the unit of `pg_settings`.
    #[must_use]
    pub fn setting(mut self, node: Option<&NodeName>, name: &str, value: &str) -> Self {
        self.settings
            .push((node.cloned(), name.to_owned(), value.to_owned()));
        self
    }

    /// Somebody else acts on this node.
    #[must_use]
    pub fn managed_by(mut self, node: &NodeName, manager: Manager) -> Self {
        self.managers.push((node.clone(), manager));
        self
    }

    /// A client that writes this often, on a machine of its own.
    #[must_use]
    pub fn client(mut self, every: Duration, habit: Habit) -> Self {
        self.clients.push((every, habit));
        self
    }

    /// The clients run where pgbaton runs.
    #[must_use]
    pub fn clients_beside_runner(mut self) -> Self {
        self.clients_beside_runner = true;
        self
    }

    /// The world, some moments after everybody began to stream. What the primary says is remembered, as by somebody who
    /// looked while it was alive.
    pub fn build(self) -> World {
        let mut world = World::new(self.seed);
        let branch = world.branches.root(Timeline(1));
        world.checkpoints.push((branch, START));
        let primary = self
            .primary
            .clone()
            .or_else(|| self.inventory.nodes.keys().next().cloned());
        for (name, entry) in &self.inventory.nodes {
            let host = world.add_machine();
            let role = primary.as_ref() == Some(name);
            let node = self.node(&mut world, entry, host, branch, role);
            world.add_node(node);
        }
        self.give_slots(&mut world, primary.as_ref());
        for id in world.ids() {
            world.settings_taken(id);
            world.receive(id);
        }
        for (every, habit) in &self.clients {
            let host = if self.clients_beside_runner {
                RUNNER
            } else {
                world.add_machine()
            };
            world.add_client(host, *every, *habit);
        }
        world.advance(At::after(SETTLE));
        for id in world.ids() {
            world.remember(id);
        }
        world
    }

    fn managers_of(&self, node: &NodeName) -> Vec<Manager> {
        let managers = self.managers.iter().filter(|(on, _)| on == node);
        managers.map(|(_, manager)| manager.clone()).collect()
    }

    fn node(
        &self,
        world: &mut World,
        entry: &Entry,
        host: HostId,
        branch: BranchId,
        primary: bool,
    ) -> Node {
        let conf = self.conf(entry, primary);
        let process = Process {
            pid: world.pid(),
            life: world.new_life(),
            phase: Phase::Ready,
            recovery: !primary,
            promoting: false,
        };
        let end = Lsn(START.0 + BEHIND);
        Node {
            name: entry.name.clone(),
            host,
            address: (entry.host.clone(), entry.port),
            version: self.version,
            system: SystemId(7_400_000_000_000_000_001),
            wal: Wal {
                branch,
                begin: segment_start(START),
                end,
                received: None,
                replayed: end,
            },
            process: Some(process),
            hang: Hang::None,
            orphans: Vec::new(),
            control: ControlData {
                state: if primary {
                    ControlState::InProduction
                } else {
                    ControlState::ArchiveRecovery
                },
                system: SystemId(7_400_000_000_000_000_001),
                checkpoint: START,
                redo: START,
                timeline: Timeline(1),
            },
            signal: !primary,
            conf,
            saved: BTreeMap::new(),
            slots: BTreeMap::new(),
            strangers: Vec::new(),
            archiving: IDLE,
            managers: self.managers_of(&entry.name),
            forbidden: Vec::new(),
            receiving: Receiving::Off,
            round: 0,
            last_fail: At::default(),
            restart_receiver: false,
            replay: Replay::default(),
            sync: None,
            waiters: Vec::new(),
            broken: None,
            half_rewound: false,
            rebuild: ABLE,
            footing: super::rebuild::FIRM,
            tablespaces: Vec::new(),
            dark: Dark::default(),
            door: Door::default(),
            disk: Disk::default(),
        }
    }

    fn conf(&self, entry: &Entry, primary: bool) -> Conf {
        let mut conf = Conf::default();
        if primary {
            let names = Value::text(&self.sync);
            conf.auto.insert(SYNC_NAMES.to_owned(), names);
        } else if let Some(upstream) = self.upstream_of(&entry.name) {
            let target = Target {
                host: upstream.host.clone(),
                port: upstream.port,
                application: entry.name.to_string(),
            };
            conf.auto.insert(CONNINFO.to_owned(), Value::Target(target));
            let slot = Value::text(entry.name.slot().as_str());
            conf.auto.insert(SLOT_NAME.to_owned(), slot);
        }
        for (node, name, value) in &self.settings {
            if node.as_ref().is_none_or(|n| *n == entry.name) {
                conf.file.insert(name.clone(), Value::text(value));
            }
        }
        conf.load();
        conf
    }

    fn upstream_of(&self, node: &NodeName) -> Option<&Entry> {
        let named = self.upstreams.get(node).or(self.primary.as_ref());
        let first = self.inventory.nodes.keys().next();
        self.inventory.node(named.or(first)?)
    }

    fn give_slots(&self, world: &mut World, primary: Option<&NodeName>) {
        let standbys = self.inventory.nodes.keys().filter(|n| primary != Some(n));
        let pairs: Vec<(NodeId, SlotName)> = standbys
            .filter_map(|name| {
                let upstream = self.upstream_of(name)?;
                Some((world.find(&upstream.name)?, name.slot()))
            })
            .collect();
        for (upstream, slot) in pairs {
            let state = SlotState::keeping(Some(START));
            world.node_mut(upstream).slots.insert(slot, state);
        }
    }
}

/// Settings that the actions and the model ask for.
pub(super) const ASKED: [&str; 21] = [
    conf::CONNINFO,
    conf::SLOT_NAME,
    conf::RESTORE,
    conf::SYNC_NAMES,
    conf::SYNC_COMMIT,
    conf::MAX_SENDERS,
    conf::MAX_SLOTS,
    "max_connections",
    "max_worker_processes",
    "max_prepared_transactions",
    "max_locks_per_transaction",
    "wal_level",
    conf::TARGET_TIMELINE,
    conf::SYNC_SLOTS,
    "sync_replication_slots",
    conf::RETRY,
    conf::RECEIVER_TIMEOUT,
    conf::SENDER_TIMEOUT,
    conf::KEEP_SLOTS,
    conf::KEEP,
    conf::APPLY_DELAY,
];
