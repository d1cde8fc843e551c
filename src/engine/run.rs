//! The engine.

use super::event::{Envelope, Outcome};
use super::{Actions, Failure, Held, Recorder, RunId};
use crate::playbook::{Checked, Map};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What is needed to run playbooks. Made once, used for any number of runs.
pub struct Engine {
    /// What steps do.
    pub actions: Arc<dyn Actions>,
    /// Where events are kept.
    pub recorder: Arc<dyn Recorder>,
}

/// One run, all decided but under way.
pub struct Request {
    /// Its id.
    pub run: RunId,
    /// The playbook, checked.
    pub playbook: Checked,
    /// The cluster's name.
    pub cluster_name: String,
    /// Parameters as bound.
    pub params: Map,
    /// `site.vars`.
    pub site_vars: Map,
    /// `cluster`: inventory and facts pinned at the start.
    pub cluster: Map,
    /// `run.trigger`.
    pub trigger: String,
    /// `trigger`: the payload.
    pub trigger_payload: Map,
    /// The seed of everything random.
    pub seed: u64,
    /// The right to have effects; none for a playbook that only reads.
    pub lease: Option<Arc<dyn Held>>,
    /// Asks to cancel. The engine decides whether it does.
    pub cancel: CancellationToken,
    /// Who watches. Every event arrives here after it was recorded.
    pub observers: Vec<mpsc::UnboundedSender<Arc<Envelope>>>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// How.
    pub outcome: Outcome,
    /// The failure that decided it.
    pub failure: Option<Failure>,
    /// Its outputs.
    pub outputs: Map,
    /// What is left to do.
    pub debts: Vec<String>,
}

impl Engine {
    /// Runs to the end. Never panics on what a playbook, an action or the recorder does.
    #[expect(clippy::unused_async, reason = "to come")]
    pub async fn run(&self, _request: Request) -> Report {
        Report {
            outcome: Outcome::Failed,
            failure: None,
            outputs: Map::new(),
            debts: Vec::new(),
        }
    }
}
