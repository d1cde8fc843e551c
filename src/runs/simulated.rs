//! A run on a simulated cluster: the engine and the actions of every run, on a clock that moves only when everybody waits.
//!
//! Previews and rehearsals both start here. Nothing is written: events are kept in memory, and the lease is one that
//! nobody else sees.

use super::facts;
use super::world::only_reads;
use crate::actions::LiveActions;
use crate::cluster::{Cluster, Inventory, Operation, Product, Render, Rendered, Topology};
use crate::engine::{
    Actions, Engine, Envelope, Held, Inbox, Lease, Recorder, Report, Request, Resume, RunId,
    Unresumable,
};
use crate::journal::{MemoryLease, MemoryRecorder};
use crate::playbook::{Checked, Map};
use crate::postgres::renderer;
use crate::simulate::{SimCluster, World};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Does `work` on a runtime of its own whose clock is paused. Must not be called on a thread that drives another runtime;
/// a simulated cluster that `work` uses must be made within it.
pub fn on_paused_clock<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    Ok(runtime.block_on(work))
}

/// Puts a world behind the port, with operations shown as the live cluster would send them. On a paused clock.
pub fn sim_cluster(inventory: &Arc<Inventory>, world: World) -> SimCluster {
    let renderer = Arc::new(AsLive(inventory.product));
    SimCluster::new(Arc::clone(inventory), world, renderer)
}

/// The cluster at a glance, and the same as expressions see it: the facts that a run begins with.
pub async fn facts_of(cluster: &dyn Cluster) -> (Topology, Map) {
    let topology = facts::topology(cluster).await;
    let pinned = facts::pinned(cluster.inventory(), &topology);
    (topology, pinned)
}

/// All actions at work on a simulated cluster.
pub fn actions_on(cluster: &SimCluster) -> Arc<dyn Actions> {
    let port: Arc<dyn Cluster> = Arc::new(cluster.clone());
    Arc::new(LiveActions::new(&port))
}

/// What to run, all decided.
#[derive(Clone)]
pub struct SimOrder {
    /// The playbook.
    pub playbook: Checked,
    /// Its parameters, bound.
    pub params: Map,
    /// `site.vars`.
    pub site_vars: Map,
    /// `cluster`: the pinned facts.
    pub pinned: Map,
    /// `run.started`; the run's id is made of it and of the seed.
    pub started: jiff::Timestamp,
    /// The seed of everything random in the engine.
    pub seed: u64,
    /// What `run.trigger` says.
    pub trigger: String,
    /// What expressions see under `trigger`.
    pub payload: Map,
    /// Whether it is a preview: actions are asked for a forecast, and what nobody can know is allowed to be unknown.
    pub forecast: bool,
    /// Where events are kept; an empty one unless the caller wants to look while the run is under way.
    pub recorder: MemoryRecorder,
    /// Who answers where it asks; none where nobody can be asked, and every question is approved on the spot.
    pub inbox: Option<Arc<dyn Inbox>>,
}

/// A simulated run that has ended.
pub struct SimRan {
    /// Its id.
    pub run: RunId,
    /// How it ended.
    pub report: Report,
    /// Everything that happened.
    pub events: Vec<Envelope>,
}

/// Runs to the end. On a paused clock.
pub async fn run_simulated(
    inventory: &Inventory,
    actions: Arc<dyn Actions>,
    order: SimOrder,
) -> SimRan {
    let run = RunId::generate(order.started, order.seed);
    let recorder = order.recorder.clone();
    let report = run_recorded(inventory, actions, order, Arc::new(recorder.clone())).await;
    let events = recorder.events(&run);
    SimRan {
        run,
        report,
        events,
    }
}

/// The same with a recorder of the caller's, in place of the order's own.
pub async fn run_recorded(
    inventory: &Inventory,
    actions: Arc<dyn Actions>,
    order: SimOrder,
    recorder: Arc<dyn Recorder>,
) -> Report {
    let run = RunId::generate(order.started, order.seed);
    let lease = lease(inventory, &order, &run).await;
    let request = request(inventory, order, run, lease);
    Engine { actions, recorder }.run(request).await
}

/// Goes on with a simulated run whose runner died; `events` are all that it recorded.
pub async fn resume_recorded(
    inventory: &Inventory,
    actions: Arc<dyn Actions>,
    order: SimOrder,
    recorder: Arc<dyn Recorder>,
    events: &[Envelope],
) -> Result<Report, Unresumable> {
    let run = RunId::generate(order.started, order.seed);
    let resume = Resume {
        runner: "another".to_owned(),
        at: order.started,
    };
    let lease = lease(inventory, &order, &run).await;
    let request = request(inventory, order, run, lease);
    let engine = Engine { actions, recorder };
    engine.resume(request, events, resume).await
}

fn request(
    inventory: &Inventory,
    order: SimOrder,
    run: RunId,
    lease: Option<Arc<dyn Held>>,
) -> Request {
    Request {
        run,
        started: order.started,
        playbook: order.playbook,
        cluster_name: inventory.cluster.clone(),
        params: order.params,
        site_vars: order.site_vars,
        cluster: order.pinned,
        trigger: order.trigger,
        trigger_payload: order.payload,
        seed: order.seed,
        forecast: order.forecast,
        suppose: true,
        // Nobody reads its journal later: whoever resumes it has the order.
        pins: None,
        lease,
        cancel: CancellationToken::new(),
        inbox: order.inbox,
        observers: Vec::new(),
    }
}

/// Nobody else has this table of leases, so it is always free.
async fn lease(inventory: &Inventory, order: &SimOrder, run: &RunId) -> Option<Arc<dyn Held>> {
    if only_reads(&order.playbook) {
        return None;
    }
    let held = MemoryLease::new().acquire(&inventory.cluster, run).await;
    held.ok().map(Arc::from)
}

/// Shows operations as the live cluster sends them.
struct AsLive(Product);

impl Render for AsLive {
    fn render(&self, inventory: &Inventory, operation: &Operation) -> Vec<Rendered> {
        renderer(self.0).render(inventory, operation)
    }
}
