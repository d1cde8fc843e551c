//! A cluster of a site, live: to look at and to run playbooks on.

use super::admission::{Admitted, Applicant, take_over};
use super::facts;
use super::library::Shelves;
use super::params::bind_params;
use super::pinned::{self, Started};
use super::place::{cluster_of, site_file, site_vars};
use super::stale;
use super::{Finished, Order, Records, RunsError};
use crate::actions::{LiveActions, catalog, signature};
use crate::cluster::{Cluster, Inventory, Manager, NodeName, Topology, Watch};
use crate::document::{Diagnostics, Severity};
use crate::engine::{Engine, Envelope, Inbox, Recorder, Request, Resume, RunId};
use crate::journal::Store;
use crate::playbook::{Body, Checked, EffectClass, Map, Value, check};
use crate::postgres::LiveCluster;
use crate::site::Site;
use crate::traces;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// A cluster of a site, with everything that is needed to look at it and to run playbooks on it. Connections are
/// opened on first use and kept warm.
pub struct World {
    inventory: Arc<Inventory>,
    vars: Map,
    cluster: Arc<LiveCluster>,
    actions: Arc<LiveActions>,
    shelves: Shelves,
    records: Arc<Records>,
}

impl World {
    /// Reads the site file (`--site`, else `$PGBATON_SITE`, else `./site.yaml`, else `/etc/pgbaton/site.yaml`) and picks
    /// the cluster (may be left out where there is one). Opens no connection.
    pub fn open(site: Option<&Path>, cluster: Option<&str>) -> Result<Self, RunsError> {
        let file = site_file(site)?;
        let site = Site::load(&file)?;
        let records = Arc::new(Records::of(&site));
        Ok(Self::of(&site, &file, cluster_of(&site, cluster)?, records))
    }

    /// All clusters of a site that was read from `file`, or the one that is named. They share one journal.
    pub fn all(site: &Site, file: &Path, cluster: Option<&str>) -> Result<Vec<Self>, RunsError> {
        let records = Arc::new(Records::of(site));
        let of = |inventory| Self::of(site, file, inventory, Arc::clone(&records));
        match cluster {
            Some(_) => Ok(vec![of(cluster_of(site, cluster)?)]),
            None => Ok(site.clusters.values().map(of).collect()),
        }
    }

    fn of(site: &Site, file: &Path, inventory: &Inventory, records: Arc<Records>) -> Self {
        let vars = site_vars(site);
        let shelves = Shelves::beside(Some(file)).for_site(site);
        let shelves = shelves.for_cluster(inventory);
        Self::made(Arc::new(inventory.clone()), vars, shelves, records)
    }

    /// The same cluster, seen for the first time: with connections of its own, and without what this one remembers of
    /// nodes that do not answer any more.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::made(
            Arc::clone(&self.inventory),
            self.vars.clone(),
            self.shelves.clone(),
            Arc::clone(&self.records),
        )
    }

    fn made(inventory: Arc<Inventory>, vars: Map, shelves: Shelves, records: Arc<Records>) -> Self {
        let store = Arc::clone(&records);
        let live = LiveCluster::new(Arc::clone(&inventory)).fenced_by(move || store.name());
        let live = Arc::new(live);
        let port: Arc<dyn Cluster> = Arc::clone(&live) as Arc<dyn Cluster>;
        Self {
            actions: Arc::new(LiveActions::new(&port)),
            cluster: live,
            shelves,
            vars,
            inventory,
            records,
        }
    }

    /// The cluster's nodes.
    pub fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }

    /// `site.vars`.
    pub(super) fn vars(&self) -> &Map {
        &self.vars
    }

    /// All actions at work on the live cluster.
    pub(super) fn live_actions(&self) -> Arc<LiveActions> {
        Arc::clone(&self.actions)
    }

    /// The live side of the port.
    pub fn cluster(&self) -> Arc<dyn Cluster> {
        Arc::clone(&self.cluster) as Arc<dyn Cluster>
    }

    /// The live side of the port, for a watch that goes on.
    pub fn watched(&self) -> Arc<dyn Watch> {
        Arc::clone(&self.cluster) as Arc<dyn Watch>
    }

    /// Opens connections to all nodes that answer; bounded by a few seconds whatever the servers do.
    pub async fn warm(&self) {
        for trouble in self.cluster.warm().await {
            tracing::debug!(%trouble, "not warm");
        }
    }

    /// The cluster at a glance. Bounded by a few seconds whatever the servers do.
    pub async fn topology(&self) -> Topology {
        facts::topology(self.cluster.as_ref()).await
    }

    /// Who else manages the nodes. Bounded by a few seconds whatever hosts and servers do.
    pub async fn managers(&self) -> Vec<(NodeName, Manager)> {
        facts::managers(self.cluster.as_ref()).await
    }

    /// The node that was primary when `topology` was taken, dead or alive.
    pub fn presumed_primary(&self, topology: &Topology) -> Option<NodeName> {
        topology.presumed_primary(&self.inventory)
    }

    /// The runs of the site.
    pub fn records(&self) -> &Arc<Records> {
        &self.records
    }

    /// Reads and checks a playbook without running it.
    pub fn load(&self, playbook: &str) -> Result<Checked, RunsError> {
        load(&self.shelves, playbook)
    }

    /// Runs a playbook to its end. `observers` see every event after it was recorded. Where another run holds the cluster
    /// it waits as long as the order says, or until it is cancelled.
    pub async fn run(
        &self,
        order: Order,
        observers: Vec<mpsc::UnboundedSender<Arc<Envelope>>>,
        cancel: CancellationToken,
    ) -> Result<Finished, RunsError> {
        // The servers answer while the playbook is read.
        let cluster = self.cluster();
        let silent = order.silent.clone();
        let look = async move { facts::topology_but(cluster.as_ref(), &silent).await };
        let look = AbortOnDropHandle::new(tokio::spawn(look));
        let playbook = self.load(&order.playbook)?;
        let mut topology = match look.await {
            Ok(topology) => topology,
            Err(_) => self.topology().await,
        };
        let bind = |topology: &Topology| {
            let cluster = facts::pinned(&self.inventory, topology);
            let params = bind_params(&playbook, &order.params, &self.vars, &cluster)?;
            Ok::<_, RunsError>((cluster, params))
        };
        let mut bound = bind(&topology)?;
        // Only now: what is wrong with an order touches nothing.
        let store = self.records.store().await?;
        let seed = entropy();
        let run = order.run.clone();
        let run = run.unwrap_or_else(|| RunId::generate(jiff::Timestamp::now(), seed));
        let applicant = Applicant {
            run: &run,
            cluster: &self.inventory.cluster,
            order: &order,
            changes: !only_reads(&playbook),
            cancel: &cancel,
        };
        let Admitted { lease, waited } = applicant.admit(store.as_ref()).await?;
        if waited {
            topology = self.topology().await;
            bound = bind(&topology)?;
        }
        // Not before it has the cluster: one run of a cluster begins when the one before it has ended.
        let now = jiff::Timestamp::now();
        let (cluster, params) = bound;
        let mut payload = order.payload;
        if let Some(key) = &order.key {
            payload.insert("key".to_owned(), Value::from(key.clone()));
        }
        let request = Request {
            pins: Some(Arc::new(pinned::pins(&playbook, &self.vars, &payload))),
            run: run.clone(),
            started: now,
            playbook,
            cluster_name: self.inventory.cluster.clone(),
            params,
            site_vars: self.vars.clone(),
            cluster,
            trigger: order.trigger,
            trigger_payload: payload,
            seed,
            forecast: false,
            suppose: false,
            lease,
            cancel,
            inbox: Some(Arc::clone(&store) as Arc<dyn Inbox>),
            observers: traced(observers),
        };
        let report = self.engine(&store).run(request).await;
        self.put_in_order(store.as_ref()).await;
        Ok(Finished {
            run,
            report,
            journal: store.place(),
        })
    }

    /// Goes on with a run whose runner died, from its journal, to its end. Refused while another run holds the cluster.
    /// `observers` see what was recorded before, too. Where somebody holds the cluster it waits for so long: between
    /// machines a lease outlives its runner by some seconds.
    pub async fn resume(
        &self,
        run: &RunId,
        wait: Duration,
        observers: Vec<mpsc::UnboundedSender<Arc<Envelope>>>,
        cancel: CancellationToken,
    ) -> Result<Finished, RunsError> {
        let store = self.records.store().await?;
        let events = store.events(run).await?;
        let started = Started::of(&run.0, &events)?;
        let unresumable = |why: String| RunsError::Unresumable {
            run: run.to_string(),
            why,
        };
        if started.cluster_name != self.inventory.cluster {
            return Err(unresumable(format!(
                "it is about cluster {}, not {}",
                started.cluster_name, self.inventory.cluster
            )));
        }
        let lease = if only_reads(&started.playbook) {
            None
        } else {
            let cluster = &self.inventory.cluster;
            Some(take_over(store.as_ref(), cluster, run, wait, &cancel).await?)
        };
        // Whoever held the lease until now may have written on.
        let events = store.events(run).await?;
        if let Some(node) = stale::contradicted(&events, &self.topology().await) {
            let run = run.to_string();
            return Err(RunsError::Contradicted { run, node });
        }
        let observers = traced(observers);
        for event in &events {
            let event = Arc::new(event.clone());
            for observer in &observers {
                // An observer that went away misses nothing that matters to the run.
                let _ = observer.send(Arc::clone(&event));
            }
        }
        let request = Request {
            run: started.run,
            started: started.at,
            playbook: started.playbook,
            cluster_name: started.cluster_name,
            params: started.params,
            site_vars: started.site_vars,
            cluster: started.cluster,
            trigger: started.trigger,
            trigger_payload: started.trigger_payload,
            seed: started.seed,
            forecast: false,
            suppose: false,
            pins: None,
            lease,
            cancel,
            inbox: Some(Arc::clone(&store) as Arc<dyn Inbox>),
            observers,
        };
        let resume = Resume {
            runner: runner(),
            at: jiff::Timestamp::now(),
        };
        let engine = self.engine(&store);
        let report = engine.resume(request, &events, resume).await;
        self.put_in_order(store.as_ref()).await;
        Ok(Finished {
            run: run.clone(),
            report: report.map_err(|error| unresumable(error.to_string()))?,
            journal: store.place(),
        })
    }

    fn engine(&self, store: &Arc<dyn Store>) -> Engine {
        Engine {
            actions: Arc::clone(&self.actions) as Arc<dyn crate::engine::Actions>,
            recorder: Arc::clone(store) as Arc<dyn Recorder>,
        }
    }

    /// For the next run; this one has ended however that goes.
    async fn put_in_order(&self, store: &dyn Store) {
        if let Err(error) = store.tidy().await {
            tracing::debug!(%error, "the journal was not put in order");
        }
    }
}

/// A trace is made of whatever is run, whoever started it.
fn traced(
    mut observers: Vec<mpsc::UnboundedSender<Arc<Envelope>>>,
) -> Vec<mpsc::UnboundedSender<Arc<Envelope>>> {
    observers.extend(traces::observer());
    observers
}

/// Reads and checks a playbook that is found in the user's folders or in the stock.
pub(super) fn load(shelves: &Shelves, playbook: &str) -> Result<Checked, RunsError> {
    let source = shelves
        .open(playbook)
        .map_err(|(what, help)| RunsError::NotFound { what, help })?;
    let mut diagnostics = Diagnostics::default();
    let checked = check(&source, &catalog(), shelves, &mut diagnostics);
    // Only what a file waives is a warning; whoever runs it is told with what reason.
    for waived in &diagnostics.0 {
        if waived.severity == Severity::Warning {
            let help = waived.help.as_deref().unwrap_or_default();
            tracing::warn!(
                "{} in {}: {} ({help})",
                waived.code,
                waived.source.name,
                waived.message
            );
        }
    }
    checked.ok_or_else(|| RunsError::Invalid {
        what: format!("playbook {}", source.name),
        diagnostics,
    })
}

/// Whether nothing in it has an effect.
pub(super) fn only_reads(checked: &Checked) -> bool {
    std::iter::once(&checked.playbook)
        .chain(checked.nested.values())
        .flat_map(|p| p.all_steps())
        .all(|step| match &step.body {
            Body::Playbook { .. } => true,
            Body::Action { name, custom, .. } => {
                let own = custom
                    .effect
                    .as_ref()
                    .map(|e| e.value == crate::cluster::CustomEffect::Read);
                own.unwrap_or_else(|| {
                    signature(name.value.as_str())
                        .is_some_and(|s| s.effect == Some(EffectClass::Read))
                })
            }
        })
}

/// This process, for those who read the journal: host name and process id.
fn runner() -> String {
    let host = rustix::system::uname();
    format!(
        "{} (process {})",
        host.nodename().to_string_lossy(),
        std::process::id()
    )
}

/// An id for a run that begins now.
pub fn fresh_run() -> RunId {
    RunId::generate(jiff::Timestamp::now(), entropy())
}

/// A seed that differs from run to run; it is recorded, so that the run's random choices can be replayed.
fn entropy() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}
