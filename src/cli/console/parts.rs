//! What a view of a run is made of.

use crate::engine::{
    Ask, Evidence, Failure, Letter, Message, Outcome, SkipReason, StepPath, StepStatus, UndoStatus,
};

/// What a run is.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    /// Its id.
    pub(crate) run: String,
    /// The playbook, with its version where it has one.
    pub(crate) playbook: String,
    /// The cluster.
    pub(crate) cluster: String,
}

/// A line of the tree.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Where in the run.
    pub(crate) path: StepPath,
    /// What it is called below its parent.
    pub(crate) label: String,
    /// How it stands.
    pub(crate) status: StepStatus,
    /// The action, or `playbook NAME`; none for items, rescues and the finally.
    pub(crate) action: Option<String>,
    /// The node it is for.
    pub(crate) node: Option<String>,
    /// When its turn came, in milliseconds from the start of the run.
    pub(crate) started_ms: Option<f64>,
    /// When it ended.
    pub(crate) ended_ms: Option<f64>,
    /// Attempts begun.
    pub(crate) attempts: u32,
    /// The last failure: of the step when it failed, of an attempt before.
    pub(crate) failure: Option<Failure>,
    /// The next attempt begins at this time of the run.
    pub(crate) retry_at_ms: Option<f64>,
    /// Why it did not run.
    pub(crate) skipped: Option<SkipReason>,
    /// What it is doing, in one line.
    pub(crate) doing: Option<String>,
    /// Its goal was reached before it did anything.
    pub(crate) unchanged: bool,
    /// It is a set of items.
    pub(crate) has_items: bool,
    /// Lines below it.
    pub(crate) children: Vec<usize>,
}

/// A decision or finding.
#[derive(Debug)]
pub(crate) struct Note {
    /// The step that noted it.
    pub(crate) path: StepPath,
    /// What.
    pub(crate) evidence: Evidence,
}

/// Something taken back, or not.
#[derive(Debug)]
pub(crate) struct Undone {
    /// The step.
    pub(crate) path: StepPath,
    /// None while it is under way.
    pub(crate) status: Option<UndoStatus>,
    /// What was done, or what is left.
    pub(crate) what: String,
}

/// Something with an effect.
#[derive(Debug)]
pub(crate) struct Effect {
    /// The step.
    pub(crate) path: StepPath,
    /// Its number.
    pub(crate) number: u64,
    /// What, in one line.
    pub(crate) summary: String,
    /// `done`, `failed`, `unknown`; none while it is under way.
    pub(crate) outcome: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// How.
    pub(crate) outcome: Outcome,
    /// The failure that decided it.
    pub(crate) failure: Option<Failure>,
    /// Whose failure that was.
    pub(crate) at: Option<StepPath>,
    /// What is left to do.
    pub(crate) debts: Vec<String>,
}

impl Entry {
    /// How long it took, or has taken by now; none when it has not started.
    pub(crate) fn took_ms(&self, now_ms: f64) -> Option<f64> {
        self.started_ms
            .map(|started| self.ended_ms.unwrap_or(now_ms) - started)
    }
}

/// What somebody wrote to the run, and why nothing came of it where nothing did; with the step that it is about.
pub(crate) fn heard(message: &Message, why: Option<&str>) -> (StepPath, String) {
    let Letter {
        by, reason, ask, ..
    } = &message.letter;
    let (path, what) = match ask {
        Ask::Cancel => (StepPath::root(), "cancel"),
        Ask::Approve { step } => (StepPath(step.as_str().into()), "approve"),
        Ask::Deny { step } => (StepPath(step.as_str().into()), "deny"),
    };
    let why = why.map_or_else(String::new, |why| format!("; nothing came of it: {why}"));
    (path, format!("{what}, by {by}: {reason}{why}"))
}
