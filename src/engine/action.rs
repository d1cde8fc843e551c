//! What a step does, seen from the engine.

use super::{Decision, StepPath};
use crate::playbook::{Map, Signature, TroubleKind, Value};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The actions that the engine can call.
pub trait Actions: Send + Sync {
    /// The action of this name.
    fn find(&self, name: &str) -> Option<Arc<dyn Action>>;
}

/// One action. The engine calls, for every attempt: `probe`; when needed `plan`, `apply`; then `verify`. Any call may be
/// dropped when its time is up. No call has an effect but `apply` and `undo`, and those only through the guard.
#[async_trait]
pub trait Action: Send + Sync {
    /// Its contract.
    fn signature(&self) -> &Signature;

    /// Is the goal reached already? Read only.
    async fn probe(&self, step: &StepContext) -> Probe;

    /// What it expects to do; a forecast. Read only.
    async fn plan(&self, step: &StepContext) -> Vec<Forecast>;

    /// Does it.
    async fn apply(&self, step: &StepContext) -> Applied;

    /// Independent evidence that the goal is reached, and the final outputs. `outputs` are those of `apply` or `probe`.
    async fn verify(&self, step: &StepContext, outputs: Map) -> Result<Map, Failure>;

    /// Takes back what this step did in this run. The default has nothing to take back.
    async fn undo(&self, _step: &StepContext, _done: &[Done]) -> Undone {
        Undone::Nothing
    }
}

/// An effect of this step that happened or may have happened, as recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// What was intended.
    pub forecast: Forecast,
    /// It is certain that it happened.
    pub certain: bool,
    /// What it returned.
    pub returned: serde_json::Value,
}

/// What an effect is: readable for people, and the operation as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// One line for people.
    pub summary: String,
    /// The exact statements and commands, secrets masked.
    pub rendered: Vec<String>,
    /// The operation.
    pub operation: serde_json::Value,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// The goal is reached; with the outputs, as `apply` would give them.
    Satisfied(Map, String),
    /// There is something to do, and why.
    Needed(String),
    /// There is nothing to look at, and why: it is done without a look, and nobody can tell afterwards whether it was.
    Blind(String),
    /// The world is such that it must not be done.
    Conflict(Failure),
    /// It could not be told.
    Unknown(Failure),
}

/// How `apply` ended. Three values, always.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied {
    /// Done; with outputs.
    Done(Map),
    /// Not done.
    Failed(Failure),
    /// Perhaps done. The engine probes before it decides.
    Unknown(Failure),
}

/// How `undo` ended; each with a sentence for people.
#[derive(Debug, Clone, PartialEq)]
pub enum Undone {
    /// Taken back: what was done.
    Done(String),
    /// Nothing to take back.
    Nothing,
    /// Not taken back: what is left as it is, and what to do.
    Failed(String),
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind; `retry.if` and rescues see it as `error.kind`.
    pub kind: TroubleKind,
    /// What failed, where, what was tried.
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
    /// What it means for the run.
    pub consequence: Consequence,
}

/// What a failure means for the run when nothing catches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consequence {
    /// The run fails (exit code 1).
    Fail,
    /// A safety rule refuses (exit code 3).
    Refuse,
    /// A person must decide (exit code 6).
    Hold,
}

impl Failure {
    /// A plain failure of this kind.
    pub fn new(kind: TroubleKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            help: None,
            consequence: Consequence::Fail,
        }
    }

    /// A safety rule refuses.
    pub fn refused(message: impl Into<String>) -> Self {
        Self {
            kind: TroubleKind::Denied,
            message: message.into(),
            help: None,
            consequence: Consequence::Refuse,
        }
    }

    /// A person must decide.
    pub fn hold(message: impl Into<String>) -> Self {
        Self {
            kind: TroubleKind::Conflict,
            message: message.into(),
            help: None,
            consequence: Consequence::Hold,
        }
    }

    /// The same with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The topic of what is left for a person to do.
pub(super) const DEBT: &str = "debt";

/// The topic of a question to a person.
pub const QUESTION: &str = "question";

impl Evidence {
    /// Something that was allowed to fail did, and this is what it leaves.
    pub(super) fn of_degradation(text: String) -> Self {
        Self {
            topic: DEBT.to_owned(),
            text,
            data: serde_json::json!({ "degraded": true }),
        }
    }

    /// Whether it says that something that was allowed to fail did.
    pub(super) fn degrades(&self) -> bool {
        self.topic == DEBT && self.data.get("degraded").is_some()
    }
}

/// A decision or finding with its evidence, for people and the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Stable: `proof`, `choice`, `loss`, `position`, `escalation`, `debt`, `nudge`, …
    pub topic: String,
    /// One sentence.
    pub text: String,
    /// The facts it rests on.
    pub data: serde_json::Value,
}

/// The rendered inputs of a step. Kept in the journal, so that its undo needs nothing else.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Inputs {
    /// The node, when the step names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// `with`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub with: Map,
    /// `effect`, as the step says it (own steps only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<crate::playbook::EffectClass>,
    /// `probe`, rendered (own steps only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Map>,
    /// `undo`, rendered (own steps only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Map>,
    /// `assume`, rendered (own steps only, and only where they are not executed).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume: Option<Map>,
}

impl Inputs {
    /// An input; null when it was not given.
    pub fn get(&self, name: &str) -> &Value {
        static NULL: Value = Value::Null;
        self.with.get(name).unwrap_or(&NULL)
    }
}

/// What an action is given. Cheap to clone.
#[derive(Clone)]
pub struct StepContext {
    /// Where.
    pub path: StepPath,
    /// The run's id, for names that must be unique and for records on hosts.
    pub run: super::RunId,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The inputs.
    pub inputs: Arc<Inputs>,
    /// How long this attempt may take from its start.
    pub limit: Duration,
    /// When this attempt ends at the latest.
    pub deadline: tokio::time::Instant,
    /// Ends waits at once.
    pub cancel: CancellationToken,
    /// Where effects are recorded. Only the guard uses it.
    pub effects: Arc<dyn Effects>,
}

/// The engine's side of the guard: effects are recorded here before and after they happen.
#[async_trait]
pub trait Effects: Send + Sync {
    /// Records the intent and waits until it is durable. Refused when the journal or the lease is lost, when the run is
    /// stopping, or when the point of no return forbids it. `point_of_no_return` marks this intent as that point.
    async fn intend(
        &self,
        path: &StepPath,
        forecast: Forecast,
        point_of_no_return: bool,
    ) -> Result<Intent, Failure>;

    /// Records how it ended.
    async fn settle(&self, path: &StepPath, effect: u64, outcome: EffectOutcome);

    /// Records a decision or finding. Topic `debt` ends up in the run's debts.
    async fn note(&self, path: &StepPath, evidence: Evidence);

    /// What this run has recorded under this topic so far, whichever step did it.
    fn noted(&self, topic: &str) -> Vec<Evidence>;

    /// The fencing token of the run's lease; none for a run without one.
    fn token(&self) -> Option<u64>;

    /// Whether the point of no return has passed.
    fn point_of_no_return_passed(&self) -> bool;

    /// Whether somebody can answer a question of this run. Where not, nobody is to be waited for.
    fn can_be_asked(&self) -> bool;

    /// What a person decided about this attempt, once it asked (a note of topic `question`) and was answered.
    fn decision(&self) -> Option<Decision>;
}

/// An effect that may be had now.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// Unique in the run; the operation's id on the host.
    pub effect: u64,
    /// What is known of it from a runner that died.
    pub before: Before,
}

/// What a runner that died left of an effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Before {
    /// Nothing: it is new.
    Nothing,
    /// It was intended, and nobody said how it ended. Its operation has the same id as then.
    Intended,
    /// It happened, and must not happen twice; what it returned.
    Done(serde_json::Value),
}

/// How an effect ended.
#[derive(Debug, Clone, PartialEq)]
pub enum EffectOutcome {
    /// It happened; what it returned.
    Done(serde_json::Value),
    /// It did not happen.
    Failed(Failure),
    /// Nobody can tell.
    Unknown(Failure),
}
