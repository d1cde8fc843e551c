//! A cluster of a site, live: to look at and to run playbooks on.

use super::facts;
use super::library::Shelves;
use super::params::bind_params;
use super::pinned::{self, Started};
use super::records::Records;
use super::stale;
use super::{Finished, Order, RunsError};
use crate::actions::{LiveActions, catalog};
use crate::cluster::{Cluster, Inventory, NodeName, Topology};
use crate::document::Diagnostics;
use crate::engine::{Engine, Envelope, Held, Lease, Recorder, Request, Resume, RunId};
use crate::journal::{FileLease, FileRecorder};
use crate::playbook::{Body, Checked, EffectClass, Map, Value, check};
use crate::postgres::LiveCluster;
use crate::site::Site;
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    state: PathBuf,
}

impl World {
    /// Reads the site file (`--site`, else `$PGBATON_SITE`, else `./site.yaml`, else `/etc/pgbaton/site.yaml`) and picks
    /// the cluster (may be left out where there is one). Opens no connection.
    pub fn open(site: Option<&Path>, cluster: Option<&str>) -> Result<Self, RunsError> {
        let file = site_file(site)?;
        let site = Site::load(&file)?;
        let inventory = Arc::new(cluster_of(&site, cluster)?.clone());
        let vars = site_vars(&site);
        let state = site.journal.clone().unwrap_or_else(default_state);
        let leases = FileLease::new(state.join("leases"));
        let live = LiveCluster::new(Arc::clone(&inventory)).fenced_by(move || leases.store());
        let live = Arc::new(live);
        let port: Arc<dyn Cluster> = Arc::clone(&live) as Arc<dyn Cluster>;
        Ok(Self {
            actions: Arc::new(LiveActions::new(&port)),
            cluster: live,
            shelves: Shelves::beside(Some(&file))
                .for_site(vars.clone())
                .for_cluster(&inventory),
            vars,
            inventory,
            state,
        })
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

    /// The node that was primary when `topology` was taken, dead or alive.
    pub fn presumed_primary(&self, topology: &Topology) -> Option<NodeName> {
        topology.presumed_primary(&self.inventory)
    }

    /// Where the journal of a run is, or will be.
    pub fn journal_of(&self, run: &RunId) -> PathBuf {
        Records::in_state(&self.state).journal_of(run)
    }

    /// Reads and checks a playbook without running it.
    pub fn load(&self, playbook: &str) -> Result<Checked, RunsError> {
        load(&self.shelves, playbook)
    }

    /// Runs a playbook to its end. `observers` see every event after it was recorded.
    pub async fn run(
        &self,
        order: Order,
        observers: Vec<mpsc::UnboundedSender<Arc<Envelope>>>,
        cancel: CancellationToken,
    ) -> Result<Finished, RunsError> {
        // The servers answer while the playbook is read.
        let cluster = self.cluster();
        let look = async move { facts::topology(cluster.as_ref()).await };
        let look = AbortOnDropHandle::new(tokio::spawn(look));
        let playbook = self.load(&order.playbook)?;
        let topology = match look.await {
            Ok(topology) => topology,
            Err(_) => self.topology().await,
        };
        let cluster = facts::pinned(&self.inventory, &topology);
        let params = bind_params(&playbook, &order.params, &self.vars, &cluster)?;
        let (now, seed) = (jiff::Timestamp::now(), entropy());
        let run = RunId::generate(now, seed);
        let lease = self.lease(&playbook, &run).await?;
        let journal = self.journal_of(&run);
        let engine = self.engine()?;
        let payload = order.key.map(|key| ("key".to_owned(), Value::from(key)));
        let payload: Map = payload.into_iter().collect();
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
            lease,
            cancel,
            observers,
        };
        let report = engine.run(request).await;
        Ok(Finished {
            run,
            report,
            journal,
        })
    }

    /// Goes on with a run whose runner died, from its journal, to its end. Refused while another run holds the cluster.
    /// `observers` see what was recorded before, too.
    pub async fn resume(
        &self,
        run: &RunId,
        observers: Vec<mpsc::UnboundedSender<Arc<Envelope>>>,
        cancel: CancellationToken,
    ) -> Result<Finished, RunsError> {
        let journal = self.journal_of(run);
        let events = self.recorded(run)?;
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
        let lease = self.lease(&started.playbook, run).await?;
        // Whoever held the lease until now may have written on.
        let events = self.recorded(run)?;
        if let Some(node) = stale::contradicted(&events, &self.topology().await) {
            let run = run.to_string();
            return Err(RunsError::Contradicted { run, node });
        }
        let engine = self.engine()?;
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
            pins: None,
            lease,
            cancel,
            observers,
        };
        let resume = Resume {
            runner: runner(),
            at: jiff::Timestamp::now(),
        };
        let report = engine.resume(request, &events, resume).await;
        Ok(Finished {
            run: run.clone(),
            report: report.map_err(|error| unresumable(error.to_string()))?,
            journal,
        })
    }

    fn recorded(&self, run: &RunId) -> Result<Vec<Envelope>, RunsError> {
        Records::in_state(&self.state).read(run)
    }

    fn engine(&self) -> Result<Engine, RunsError> {
        let place = self.state.join("runs");
        let recorder =
            FileRecorder::new(&place).map_err(|source| RunsError::Journal { place, source })?;
        Ok(Engine {
            actions: Arc::clone(&self.actions) as Arc<dyn crate::engine::Actions>,
            recorder: Arc::new(recorder) as Arc<dyn Recorder>,
        })
    }

    /// A playbook that changes nothing takes no lease.
    async fn lease(
        &self,
        playbook: &Checked,
        run: &RunId,
    ) -> Result<Option<Arc<dyn Held>>, RunsError> {
        if only_reads(playbook) {
            return Ok(None);
        }
        let leases = FileLease::new(self.state.join("leases"));
        let held = leases.acquire(&self.inventory.cluster, run).await?;
        Ok(Some(Arc::from(held)))
    }
}

/// Reads and checks a playbook that is found in the user's folders or in the stock.
pub(super) fn load(shelves: &Shelves, playbook: &str) -> Result<Checked, RunsError> {
    let source = shelves
        .open(playbook)
        .map_err(|(what, help)| RunsError::NotFound { what, help })?;
    let mut diagnostics = Diagnostics::default();
    check(&source, &catalog(), shelves, &mut diagnostics).ok_or_else(|| RunsError::Invalid {
        what: format!("playbook {}", source.name),
        diagnostics,
    })
}

/// Whether nothing in it has an effect.
pub(super) fn only_reads(checked: &Checked) -> bool {
    let catalog = catalog();
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
                    catalog
                        .actions
                        .get(name.value.as_str())
                        .is_some_and(|s| s.effect == Some(EffectClass::Read))
                })
            }
        })
}

/// The site's variables, as playbooks see them.
pub fn site_vars(site: &Site) -> Map {
    site.vars
        .iter()
        .map(|(name, value)| (name.clone(), Value::from_json(value)))
        .collect()
}

/// The site file that a command without `--site` reads: `$PGBATON_SITE`, `./site.yaml`, `/etc/pgbaton/site.yaml`, in this
/// order. One that is named need not exist.
pub fn site_file(given: Option<&Path>) -> Result<PathBuf, RunsError> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    if let Some(named) = std::env::var_os("PGBATON_SITE") {
        return Ok(PathBuf::from(named));
    }
    for path in ["site.yaml", "/etc/pgbaton/site.yaml"] {
        if Path::new(path).exists() {
            return Ok(PathBuf::from(path));
        }
    }
    Err(RunsError::NotFound {
        what: "there is no site file: neither ./site.yaml nor /etc/pgbaton/site.yaml exists".to_owned(),
        help: Some("give one with --site FILE or $PGBATON_SITE; `pgbaton lab up` makes a cluster with one to try".to_owned()),
    })
}

/// The cluster of this name; it may be left out where there is only one.
pub fn cluster_of<'a>(site: &'a Site, wanted: Option<&str>) -> Result<&'a Inventory, RunsError> {
    let names: Vec<&str> = site.clusters.keys().map(String::as_str).collect();
    let all = names.join(", ");
    match (wanted, names.as_slice()) {
        (Some(wanted), _) => site
            .clusters
            .get(wanted)
            .ok_or_else(|| RunsError::NotFound {
                what: format!("site {} has no cluster `{wanted}`", site.name),
                help: Some(format!("its clusters are {all}")),
            }),
        (None, [one]) => Ok(&site.clusters[*one]),
        (None, _) => Err(RunsError::NotFound {
            what: format!("site {} has more than one cluster", site.name),
            help: Some(format!("name one with --cluster: {all}")),
        }),
    }
}

/// `/var/lib/pgbaton` for root, otherwise the user's own state folder.
pub(super) fn default_state() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/pgbaton");
    }
    let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    std::env::var_os("XDG_STATE_HOME")
        .map_or_else(|| home().join(".local/state"), PathBuf::from)
        .join("pgbaton")
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

/// A seed that differs from run to run; it is recorded, so that the run's random choices can be replayed.
fn entropy() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}
