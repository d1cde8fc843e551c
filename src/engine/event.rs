//! What happened. The one way out of the engine.

use super::action::{Evidence, Failure, Forecast, Inputs};
use super::{Message, Pins, RunId, StepPath};
use crate::playbook::Map;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// An event with its place in the run's order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The version of this format; 1.
    pub v: u32,
    /// Position in the run, from 0, without gaps.
    pub seq: u64,
    /// Milliseconds since the run started, by the monotonic clock.
    pub at_ms: f64,
    /// The event.
    pub event: Event,
}

impl Envelope {
    /// When it happened, from the start of the run.
    pub fn at(&self) -> Duration {
        Duration::try_from_secs_f64(self.at_ms / 1000.0).unwrap_or_default()
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// First of all.
    RunStarted {
        /// The run.
        run: RunId,
        /// The playbook's name.
        playbook: String,
        /// Its version.
        version: Option<String>,
        /// The cluster it is about.
        cluster: String,
        /// What started it: `cli`, `demo`, a monitor's name.
        trigger: String,
        /// Wall-clock time, RFC 3339, UTC.
        started: String,
        /// Parameters as bound; secrets are references.
        params: Map,
        /// The facts pinned at the start, as expressions see them under `cluster`.
        cluster_facts: Map,
        /// The seed of everything random in the run.
        seed: u64,
        /// What else a resume needs; none for a run that nobody will resume.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pins: Option<Arc<Pins>>,
    },
    /// Its runner died, and another one goes on with it. What was under way then is under way again.
    RunResumed {
        /// Who goes on: host name and process id.
        runner: String,
        /// Wall-clock time, RFC 3339, UTC.
        at: String,
        /// The fencing token of the lease that it is done under; greater than that of the runner that died.
        token: Option<u64>,
    },
    /// A set of steps begins: the top level, an item, a nested playbook, a rescue, the finally. All but the top level and
    /// a playbook's rescue and finally stand within the step that they belong to: after its `StepStarted`, before its
    /// `StepEnded`. A nested playbook that is tried again opens again.
    ScopeOpened {
        /// Where.
        path: StepPath,
        /// What it is.
        kind: ScopeKind,
        /// The ids of its steps, in source order; empty for an item of an action.
        steps: Vec<String>,
    },
    /// It ended.
    ScopeClosed {
        /// Where.
        path: StepPath,
        /// Whether everything in it ended well enough.
        ok: bool,
        /// The failure that nothing in it made up for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
        /// The step or item whose failure it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<StepPath>,
        /// It was ended by a cancellation.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cancelled: bool,
    },
    /// A step's turn has come: its needs are met and its condition holds, or cannot be evaluated, which fails it. Each
    /// item of a `for_each` starts and ends in the same way, within its step.
    StepStarted {
        /// Where.
        path: StepPath,
        /// The action, or `playbook NAME`.
        action: String,
        /// The node it is for.
        node: Option<String>,
        /// The keys of its items, when it is a `for_each`.
        items: Option<Vec<String>>,
        /// What the action is given; secrets are references.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inputs: Option<Arc<Inputs>>,
    },
    /// A step ended without having started.
    StepSkipped {
        /// Where.
        path: StepPath,
        /// Why.
        reason: SkipReason,
    },
    /// An attempt begins.
    AttemptStarted {
        /// Where.
        path: StepPath,
        /// From 1.
        attempt: u32,
        /// Its limit in milliseconds.
        limit_ms: u64,
    },
    /// What the probe said.
    Probed {
        /// Where.
        path: StepPath,
        /// Its verdict.
        verdict: Verdict,
        /// Why.
        why: String,
        /// What the action expects to do.
        forecast: Vec<Forecast>,
    },
    /// Something with an effect is about to be done. Durable before it is.
    EffectIntended {
        /// Where.
        path: StepPath,
        /// Unique in the run; the operation's id on the host.
        effect: u64,
        /// What.
        forecast: Forecast,
        /// This intent is the point of no return.
        point_of_no_return: bool,
    },
    /// How it ended.
    EffectSettled {
        /// Where.
        path: StepPath,
        /// Which.
        effect: u64,
        /// `done`, `failed` or `unknown`.
        outcome: String,
        /// What it returned, as the action will need it for its undo.
        returned: serde_json::Value,
        /// What went wrong.
        failure: Option<Failure>,
    },
    /// Something worth knowing that a step found out: a decision and its evidence.
    Noted {
        /// Where.
        path: StepPath,
        /// What.
        evidence: Evidence,
    },
    /// An attempt failed.
    AttemptFailed {
        /// Where.
        path: StepPath,
        /// From 1.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// When the next one begins, in milliseconds from now; none when there is none.
        retry_in_ms: Option<u64>,
        /// The step or item whose failure it was, where it is one within this step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<StepPath>,
    },
    /// A step ended. (A step that was skipped or never run has no other event.)
    StepEnded {
        /// Where.
        path: StepPath,
        /// How.
        status: StepStatus,
        /// Its outputs: those of the action, or of the rescue.
        outputs: Map,
        /// Why it failed.
        failure: Option<Failure>,
        /// Nothing had to be done: the probe said so.
        unchanged: bool,
        /// The step or item whose failure it was, where it is one within this step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<StepPath>,
    },
    /// Somebody asked to cancel.
    CancelRequested {
        /// It is done; otherwise refused because the point of no return has passed.
        accepted: bool,
        /// Why refused.
        reason: Option<String>,
    },
    /// Somebody wrote to the run, and this is the answer.
    MessageHeard {
        /// The message.
        message: Message,
        /// It is done; otherwise it has no effect.
        accepted: bool,
        /// Why not.
        why: Option<String>,
    },
    /// What a step did is being taken back.
    UndoStarted {
        /// The step.
        path: StepPath,
    },
    /// It has been.
    UndoEnded {
        /// The step.
        path: StepPath,
        /// Whether.
        status: UndoStatus,
        /// What was done, or what is left as it is.
        what: String,
    },
    /// Last of all.
    RunEnded {
        /// How.
        outcome: Outcome,
        /// The failure that decided it.
        failure: Option<Failure>,
        /// The step or item whose failure it was.
        #[serde(default)]
        at: Option<StepPath>,
        /// The run's outputs.
        outputs: Map,
        /// What is left to do, in sentences for a person.
        debts: Vec<String>,
    },
}

/// What a scope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    /// The top level.
    Run,
    /// One item of a `for_each`.
    Item,
    /// A nested playbook.
    Playbook,
    /// What a step's or the run's failure called.
    Rescue,
    /// The end, always.
    Finally,
}

/// Why a step did not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Its condition, given here, does not hold: status `skipped`.
    When(String),
    /// It is switched off, with this reason: status `skipped`.
    Disabled(String),
    /// What it needs, named here, did not end well: status `not_run`.
    Needs(String),
    /// More items failed than may: status `not_run`.
    Failures,
    /// Nothing new starts any more: status `not_run`.
    Stopping,
    /// It hangs on something that a preview cannot know, named here: status `may_run`.
    Unknown(String),
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Its turn has not come.
    Pending,
    /// Under way.
    Running,
    /// Done, with evidence.
    Ok,
    /// It failed and its rescue succeeded.
    Rescued,
    /// Its condition did not hold.
    Skipped,
    /// It failed.
    Failed,
    /// Something it needs did not end well, or the run was stopping.
    NotRun,
    /// It was cancelled.
    Cancelled,
    /// Whether it runs, and how, hangs on something that a preview cannot know. Only in previews.
    MayRun,
}

impl StepStatus {
    /// As expressions see it in `steps.<id>.status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Ok => "ok",
            Self::Rescued => "rescued",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::NotRun => "not_run",
            Self::Cancelled => "cancelled",
            Self::MayRun => "may_run",
        }
    }
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The goal is reached already.
    Satisfied,
    /// There is something to do.
    Needed,
    /// It must not be done.
    Conflict,
    /// It could not be told.
    Unknown,
}

/// How an undo ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoStatus {
    /// Taken back.
    Done,
    /// There was nothing to take back, or it had been already.
    Nothing,
    /// It could not be taken back.
    Failed,
}

/// How a run ends. Exit codes: `docs/exit-codes.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything reached its goal.
    Ok,
    /// The goal was reached, something that was allowed to fail did not.
    Degraded,
    /// It failed; what it did was undone as far as the events say.
    Failed,
    /// A safety rule or gate refused it.
    Refused,
    /// It waits for a person.
    Held,
    /// It was cancelled.
    Cancelled,
}

impl Outcome {
    /// As the journal has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Held => "held",
            Self::Cancelled => "cancelled",
        }
    }

    /// What the process says that ran it.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Refused => 3,
            Self::Degraded => 4,
            Self::Held => 6,
            Self::Cancelled => 130,
        }
    }
}
