//! A simulated cluster with the engine on it.

use pgbaton::actions::{LiveActions, catalog};
use pgbaton::cluster::{
    Cluster, Inventory, NodeName, Observe, Product, SlotName, SyncMode, Synchronous,
};
use pgbaton::document::{Diagnostics, Source};
use pgbaton::engine::{Actions, Engine, Envelope, Event, Lease, Outcome, Report, Request, RunId};
use pgbaton::journal::{MemoryLease, MemoryRecorder};
use pgbaton::playbook::{Checked, Map, Names, Value, bind, check};
use pgbaton::postgres::renderer;
use pgbaton::runs::{Shelves, pinned, topology};
use pgbaton::simulate::{
    Disruption, Habit, NodeState, SimCluster, World, WorldBuilder, rehearsal_inventory,
};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub(crate) fn name(text: &str) -> NodeName {
    NodeName::parse(text).unwrap()
}

pub(crate) fn slot(text: &str) -> SlotName {
    SlotName::parse(text).unwrap()
}

/// Runs on a clock that moves only when everybody waits.
pub(crate) fn simulated<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(work)
}

/// How commits are replicated.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Commits {
    Asynchronous,
    /// `ANY 1` of all standbys.
    Quorum,
}

/// Nodes n1 (the primary), n2, …
pub(crate) fn inventory(nodes: usize, commits: Commits) -> Inventory {
    let names: Vec<NodeName> = (1..=nodes).map(|n| name(&format!("n{n}"))).collect();
    let mode = match commits {
        Commits::Asynchronous => SyncMode::Off,
        Commits::Quorum => SyncMode::Quorum,
    };
    rehearsal_inventory(&names, Synchronous { mode, acks: 1 })
}

/// A world of them, with a client that writes.
pub(crate) fn world(inventory: &Inventory, commits: Commits, seed: u64) -> WorldBuilder<'_> {
    let standbys: Vec<&str> = inventory
        .nodes
        .keys()
        .skip(1)
        .map(NodeName::as_str)
        .collect();
    let names = match commits {
        Commits::Asynchronous => String::new(),
        Commits::Quorum => format!("ANY 1 ({})", standbys.join(", ")),
    };
    WorldBuilder::new(inventory, seed)
        .synchronous(&names)
        .client(Duration::from_millis(20), Habit::Statements)
}

/// A simulated cluster, and what is needed to run playbooks on it.
pub(crate) struct Site {
    pub(crate) sim: SimCluster,
    pub(crate) seed: u64,
}

/// How a run went.
pub(crate) struct Ran {
    pub(crate) report: Report,
    pub(crate) events: Vec<Envelope>,
}

impl Site {
    pub(crate) fn new(nodes: usize, commits: Commits, seed: u64) -> Self {
        let inventory = inventory(nodes, commits);
        let world = world(&inventory, commits, seed).build();
        Self::over(inventory, world, seed)
    }

    pub(crate) fn over(inventory: Inventory, world: World, seed: u64) -> Self {
        struct Stock;
        impl pgbaton::cluster::Render for Stock {
            fn render(
                &self,
                inventory: &Inventory,
                operation: &pgbaton::cluster::Operation,
            ) -> Vec<pgbaton::cluster::Rendered> {
                renderer(Product::Postgresql).render(inventory, operation)
            }
        }
        Self {
            sim: SimCluster::new(Arc::new(inventory), world, Arc::new(Stock)),
            seed,
        }
    }

    pub(crate) fn disrupt(&self, disruption: &Disruption) {
        self.sim.with(|w| w.disrupt(disruption));
    }

    /// Lets it happen, and the world go on for a while.
    pub(crate) async fn after(&self, disruption: Disruption, millis: u64) {
        self.disrupt(&disruption);
        self.sim.pass(Duration::from_millis(millis)).await;
    }

    pub(crate) async fn run(&self, playbook: &str, params: &[(&str, &str)]) -> Ran {
        self.run_checked(stock(playbook), params).await
    }

    pub(crate) async fn run_checked(&self, playbook: Checked, params: &[(&str, &str)]) -> Ran {
        let port: Arc<dyn Cluster> = Arc::new(self.sim.clone());
        let seen = topology(port.as_ref()).await;
        let cluster = pinned(self.sim.inventory(), &seen);
        let given = params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
            .collect();
        let names = Value::Map(Map::from([(
            "cluster".to_owned(),
            Value::Map(cluster.clone()),
        )]));
        let params = bind(&playbook.playbook, &given, &names as &dyn Names).unwrap();
        let started = "2026-01-01T00:00:00Z".parse().unwrap();
        let run = RunId::generate(started, self.seed);
        let recorder = MemoryRecorder::new();
        let engine = Engine {
            actions: Arc::new(LiveActions::new(&port)) as Arc<dyn Actions>,
            recorder: Arc::new(recorder.clone()),
        };
        let held = MemoryLease::new().acquire("rehearsal", &run).await.unwrap();
        let request = Request {
            run: run.clone(),
            started,
            playbook,
            cluster_name: "rehearsal".to_owned(),
            params,
            site_vars: Map::new(),
            cluster,
            trigger: "test".to_owned(),
            trigger_payload: Map::new(),
            seed: self.seed,
            forecast: false,
            suppose: false,
            pins: None,
            lease: Some(Arc::from(held)),
            cancel: CancellationToken::new(),
            inbox: None,
            observers: Vec::new(),
        };
        let report = engine.run(request).await;
        Ran {
            report,
            events: recorder.events(&run),
        }
    }

    pub(crate) fn state(&self, node: &str) -> NodeState {
        let states = self.sim.with(|w| w.states());
        states.into_iter().find(|s| s.name == name(node)).unwrap()
    }

    pub(crate) fn primaries(&self) -> Vec<String> {
        self.sim
            .with(|w| w.states())
            .iter()
            .filter(|s| s.running && !s.standby)
            .map(|s| s.name.to_string())
            .collect()
    }

    pub(crate) fn primary(&self) -> String {
        let primaries = self.primaries();
        assert_eq!(primaries.len(), 1, "{primaries:?}");
        primaries[0].clone()
    }

    pub(crate) fn assert_streams(&self, node: &str, upstream: &str) {
        let state = self.state(node);
        assert_eq!(state.streams_from, Some(name(upstream)), "{state:?}");
        assert_eq!(state.timeline, self.state(upstream).timeline);
    }

    /// No client was told of a commit that this node does not hold.
    pub(crate) fn assert_nothing_lost(&self, node: &str) {
        let (told, missing) = self
            .sim
            .with(|w| (w.acknowledged_commits().len(), w.missing_on(&name(node))));
        assert!(told > 0, "nobody wrote anything");
        assert!(
            missing.is_empty(),
            "{} of {told}: {missing:?}",
            missing.len()
        );
    }

    /// Nothing is left behind on any node whose server runs.
    pub(crate) fn assert_tidy(&self) {
        let (slots, half) = self.sim.with(|w| (w.orphaned_slots(), w.half_configured()));
        assert!(slots.is_empty(), "{slots:?}");
        assert!(half.is_empty(), "{half:?}");
    }
}

impl Ran {
    pub(crate) fn expect(&self, outcome: Outcome) -> &Self {
        assert_eq!(
            self.report.outcome,
            outcome,
            "{:?}\n{}",
            self.report.failure,
            self.told()
        );
        self
    }

    /// The operations that were intended, in order.
    pub(crate) fn operations(&self) -> Vec<String> {
        let intents = self.events.iter().filter_map(|e| match &e.event {
            Event::EffectIntended { forecast, .. } => {
                Some(forecast.operation["operation"].as_str()?.to_owned())
            }
            _ => None,
        });
        intents.collect()
    }

    /// Everything, a line for each event.
    pub(crate) fn told(&self) -> String {
        let lines = self.events.iter().map(|e| format!("{:?}", e.event));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A playbook of the stock.
pub(crate) fn stock(playbook: &str) -> Checked {
    let source = Shelves::beside(None).open(playbook).unwrap();
    checked(&source)
}

pub(crate) fn checked(source: &Source) -> Checked {
    let mut diagnostics = Diagnostics::default();
    check(source, &catalog(), &Shelves::beside(None), &mut diagnostics).unwrap()
}
