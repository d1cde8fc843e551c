//! What all requests share.

use super::kinds::Kind;
use super::limits::Buckets;
use super::looks::Watch;
use super::problem::Problem;
use super::tally::Tally;
use super::tokens::Holder;
use super::watched::Watched;
use crate::engine::Envelope;
use crate::runs::Records;
use crate::trigger::{Hook, Turns, Watches};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How many runs may be followed at once: each is a connection that stays.
const STREAMS: usize = 64;

/// How many plans may be made at once: each simulates a cluster on a thread of its own.
const PLANS: usize = 2;

/// How a run is shown: its events, and where they are kept.
pub type Show = fn(&[Envelope], &str) -> serde_json::Value;

/// What starts runs by itself beside the API, or by way of it.
#[derive(Debug, Default)]
pub struct Outside {
    /// How the watches stand.
    pub watches: Watches,
    /// What programs outside may call, by name.
    pub hooks: BTreeMap<String, Hook>,
    /// Who may start something now.
    pub turns: Turns,
}

/// What all requests share.
pub(super) struct Api {
    /// The clusters, by name.
    pub(super) clusters: BTreeMap<String, Arc<Watch>>,
    /// Their runs.
    pub(super) records: Arc<Records>,
    pub(super) tokens: Watched<Vec<Holder>>,
    /// By the name of the token.
    pub(super) requests: Buckets<String>,
    /// By the address that failed.
    pub(super) failures: Buckets<IpAddr>,
    pub(super) streams: Arc<Semaphore>,
    pub(super) plans: Semaphore,
    pub(super) tally: Tally,
    /// How the watches stand.
    pub(super) watches: Watches,
    /// What programs outside may call, by name.
    pub(super) hooks: BTreeMap<String, Arc<Hook>>,
    /// Shared with the watches: one at a time starts a run by itself.
    pub(super) turns: Turns,
    /// Runs that were started here.
    pub(super) runs: TaskTracker,
    pub(super) show: Show,
    /// Set when the server stops: streams end by it.
    pub(super) stop: CancellationToken,
}

impl Api {
    pub(super) fn new(
        clusters: BTreeMap<String, Arc<Watch>>,
        records: Arc<Records>,
        tokens: Watched<Vec<Holder>>,
        outside: Outside,
        show: Show,
        stop: CancellationToken,
    ) -> Self {
        Self {
            clusters,
            records,
            tokens,
            requests: Buckets::new(60, 20.0),
            failures: Buckets::new(10, 0.5),
            streams: Arc::new(Semaphore::new(STREAMS)),
            plans: Semaphore::new(PLANS),
            tally: Tally::default(),
            watches: outside.watches,
            hooks: outside
                .hooks
                .into_iter()
                .map(|(name, hook)| (name, Arc::new(hook)))
                .collect(),
            turns: outside.turns,
            runs: TaskTracker::new(),
            show,
            stop,
        }
    }

    /// The cluster of this name.
    pub(super) fn cluster(&self, name: &str) -> Result<&Arc<Watch>, Problem> {
        self.clusters.get(name).ok_or_else(|| {
            Problem::new(
                Kind::NoSuchCluster,
                format!("the cluster `{name}` is not served here"),
            )
        })
    }
}
