//! Whoever starts a run starts it here: load, check, bind, lease, world, engine.

use crate::cluster::{Inventory, NodeName, Topology};
use crate::document::Diagnostics;
use crate::engine::{Envelope, LeaseError, Report, RunId};
use crate::playbook::ParamError;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A cluster of a site, with everything that is needed to look at it and to run playbooks on it. Connections are
/// opened on first use and kept warm.
pub struct World {
    inventory: Arc<Inventory>,
}

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// A file, or the name of a stock playbook; a file `NAME.yaml` in the current directory or beside the site file wins.
    pub playbook: String,
    /// Parameters as given, `name=value`.
    pub params: Vec<(String, String)>,
    /// Who or what started it: `cli`, `demo`, …
    pub trigger: String,
    /// Idempotency key.
    pub key: Option<String>,
}

/// What keeps a run from starting, or a cluster from being looked at. Nothing has been touched.
#[derive(Debug, thiserror::Error)]
pub enum RunsError {
    /// The site file or playbook has errors (exit code 2).
    #[error("{what} has errors")]
    Invalid {
        /// Which file.
        what: String,
        /// All of them.
        diagnostics: Diagnostics,
    },
    /// Parameters cannot be used (exit code 2).
    #[error("playbook `{playbook}` cannot be run with these parameters")]
    Params {
        /// The playbook.
        playbook: String,
        /// All of them.
        errors: Vec<ParamError>,
    },
    /// A file, cluster or playbook is not there, or cannot be read (exit code 2).
    #[error("{what}")]
    NotFound {
        /// What is missing, a lower-case fragment.
        what: String,
        /// What there is instead.
        help: Option<String>,
    },
    /// Another run holds the cluster (exit code 5).
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The journal cannot be opened (exit code 1).
    #[error("the journal at {place} cannot be opened")]
    Journal {
        /// Where.
        place: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A run that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its id.
    pub run: RunId,
    /// How it ended.
    pub report: Report,
    /// Its journal.
    pub journal: PathBuf,
}

impl World {
    /// Reads the site file (`--site`, else `$PGBATON_SITE`, else `./site.yaml`, else `/etc/pgbaton/site.yaml`) and picks
    /// the cluster (may be left out where there is one). Opens no connection.
    pub fn open(
        _site: Option<&std::path::Path>,
        _cluster: Option<&str>,
    ) -> Result<Self, RunsError> {
        Err(RunsError::NotFound {
            what: String::new(),
            help: None,
        })
    }

    /// The cluster's nodes.
    pub fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }

    /// Opens connections to all nodes that answer; bounded by a few seconds whatever the servers do.
    pub async fn warm(&self) {}

    /// The cluster at a glance. Bounded by a few seconds whatever the servers do.
    pub async fn topology(&self) -> Topology {
        Topology {
            cluster: self.inventory.cluster.clone(),
            rows: Vec::new(),
        }
    }

    /// The node that was primary when `topology` was taken, dead or alive.
    pub fn presumed_primary(&self, topology: &Topology) -> Option<NodeName> {
        topology.presumed_primary(&self.inventory)
    }

    /// Where the journal of a run of this cluster is, or would be.
    pub fn journal_of(&self, run: &RunId) -> PathBuf {
        PathBuf::from(run.to_string())
    }

    /// Runs a playbook to its end. `observers` see every event after it was recorded.
    pub async fn run(
        &self,
        _order: Order,
        _observers: Vec<mpsc::UnboundedSender<Arc<Envelope>>>,
        _cancel: CancellationToken,
    ) -> Result<Finished, RunsError> {
        Err(RunsError::NotFound {
            what: String::new(),
            help: None,
        })
    }
}
