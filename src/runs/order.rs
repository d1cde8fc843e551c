//! A run as it is asked for, and as it ended.

use crate::cluster::NodeName;
use crate::engine::{Report, RunId};
use crate::playbook::Map;
use std::time::Duration;

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// A file, or the name of a playbook: one of the user's in `playbooks/` here or beside the site file, else a stock one.
    pub playbook: String,
    /// Parameters as given, `name=value`.
    pub params: Vec<(String, String)>,
    /// Who or what started it: `cli`, `demo`, …
    pub trigger: String,
    /// What is to be told of that besides: `trigger` in expressions.
    pub payload: Map,
    /// Idempotency key: of all orders with one key, one begins a run of the cluster.
    pub key: Option<String>,
    /// How long to wait where another run holds the cluster.
    pub wait: Option<Duration>,
    /// Nodes that have just been found to be silent: the first look does not wait for them as for the others.
    pub silent: Vec<NodeName>,
    /// The id that the run is to have, where somebody gave it one beforehand.
    pub run: Option<RunId>,
}

/// A run that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its id.
    pub run: RunId,
    /// How it ended.
    pub report: Report,
    /// Where it was recorded, for people.
    pub journal: String,
}
