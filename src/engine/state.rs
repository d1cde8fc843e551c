//! The state of a run: a pure fold over its events, and the only place where it is kept.

use super::action::{Done, Evidence, Failure, Forecast, Inputs};
use super::scope::Fault;
use super::{Decision, Outcome, RunId, ScopeKind, StepPath, StepStatus, UndoStatus};
use crate::playbook::Map;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Paths are long and have much in common, and nobody from outside chooses them: a hash that is fast will do.
pub(super) type ByPath<T> = HashMap<StepPath, T, foldhash::fast::FixedState>;

/// How a run stands after the events so far. Expressions, the undo list, the report and resume all read it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunState {
    pub(super) run: Option<RunId>,
    pub(super) scopes: ByPath<ScopeState>,
    pub(super) open_scopes: usize,
    pub(super) steps: ByPath<StepState>,
    pub(super) effects: Vec<EffectState>,
    pub(super) point_of_no_return: Option<StepPath>,
    pub(super) cancelled: bool,
    pub(super) undoing: usize,
    pub(super) debts: Vec<String>,
    pub(super) owed: HashSet<String>,
    pub(super) noted: Vec<Evidence>,
    pub(super) degraded: bool,
    pub(super) outcome: Option<Outcome>,
    /// The number of the last message that was heard.
    pub(super) heard: u64,
    /// When the last event happened, from the start of the run.
    pub(super) now: Duration,
    /// How many steps and items have ended or were passed over.
    pub(super) ends: u64,
}

/// A set of steps that is or was under way.
#[derive(Debug, Clone, PartialEq)]
pub struct ScopeState {
    /// What it is.
    pub kind: ScopeKind,
    /// Its steps, in source order.
    pub steps: Vec<StepPath>,
    /// How it ended; none while it is open.
    pub ended: Option<ScopeEnded>,
    /// When it opened, from the start of the run.
    pub(super) opened: Duration,
    /// Which attempt of the step that it belongs to it is part of.
    pub(super) attempt: u32,
}

/// How a scope ended.
#[derive(Debug, Clone, PartialEq)]
pub struct ScopeEnded {
    /// Whether everything in it ended well enough.
    pub ok: bool,
    /// The failure that nothing in it made up for, and where it was.
    pub(super) fault: Option<Fault>,
    /// It was ended by a cancellation.
    pub(super) cancelled: bool,
}

/// How a step, or an item of a `for_each`, stands.
#[derive(Debug, Clone, PartialEq)]
pub struct StepState {
    /// How.
    pub status: StepStatus,
    /// The action, or `playbook NAME`, once it started.
    pub action: Option<String>,
    /// The node it is for.
    pub node: Option<String>,
    /// The keys of its items, when it is a `for_each` that started.
    pub items: Option<Vec<String>>,
    /// How many attempts have begun.
    pub attempts: u32,
    /// Whether one is under way.
    pub attempting: bool,
    /// Its outputs, once it ended `ok` or `rescued`.
    pub outputs: Map,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Nothing had to be done.
    pub unchanged: bool,
    /// Its effects, as positions in [`RunState::effects`].
    pub effects: Vec<usize>,
    /// What its action was given.
    pub inputs: Option<Arc<Inputs>>,
    /// How its undo stands.
    pub undo: UndoState,
    /// How many scopes of its own (nested playbook, item, rescue) are open.
    pub(super) open_scopes: u32,
    /// Its attempt under way asked a person.
    pub(super) question: bool,
    /// What the person decided.
    pub(super) decision: Option<Decision>,
    /// The scope it stands in, or the step whose item it is.
    pub(super) parent: StepPath,
    /// When it started, from the start of the run.
    pub(super) started: Duration,
    /// The limit of its first attempt.
    pub(super) limit: Duration,
    /// How many effects it had when its last attempt began.
    pub(super) effects_before: usize,
    /// How its last attempt failed, and the wait before the next one where there is to be one.
    pub(super) failed: Option<(Fault, Option<Duration>)>,
    /// The step or item within this one whose failure it was.
    pub(super) at: Option<StepPath>,
    /// Its place among the ends of steps.
    pub(super) end: u64,
}

/// How the undo of a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndoState {
    /// It was not tried.
    Not,
    /// It is under way.
    Running,
    /// It ended.
    Ended(UndoStatus),
}

/// An effect that was intended.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectState {
    /// The step.
    pub path: StepPath,
    /// What.
    pub forecast: Forecast,
    /// It was part of the step's undo.
    pub undoing: bool,
    /// How it ended; none while nobody said so.
    pub settled: Option<Settled>,
}

/// How an effect ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Settled {
    /// It happened; what it returned.
    Done(serde_json::Value),
    /// It did not happen.
    Failed,
    /// Nobody can tell.
    Unknown(serde_json::Value),
}

impl EffectState {
    /// Whether it happened or may have happened.
    pub fn may_have_happened(&self) -> bool {
        self.settled != Some(Settled::Failed)
    }

    /// Whether nobody can tell whether it happened.
    pub fn is_uncertain(&self) -> bool {
        matches!(self.settled, None | Some(Settled::Unknown(_)))
    }
}

impl StepState {
    /// Whether a person answered the question of its attempt under way.
    pub fn is_answered(&self) -> bool {
        self.decision.is_some()
    }

    /// A step whose turn has not come.
    pub(super) fn pending(parent: StepPath) -> Self {
        Self {
            status: StepStatus::Pending,
            action: None,
            node: None,
            items: None,
            attempts: 0,
            attempting: false,
            outputs: Map::new(),
            failure: None,
            unchanged: false,
            effects: Vec::new(),
            undo: UndoState::Not,
            open_scopes: 0,
            parent,
            inputs: None,
            started: Duration::ZERO,
            limit: Duration::ZERO,
            effects_before: 0,
            question: false,
            decision: None,
            failed: None,
            at: None,
            end: 0,
        }
    }
}

impl RunState {
    /// The run, once it started.
    pub fn run(&self) -> Option<&RunId> {
        self.run.as_ref()
    }

    /// How the step or item at this path stands; none when its scope never opened.
    pub fn step(&self, path: &str) -> Option<&StepState> {
        self.steps.get(path)
    }

    /// How the scope at this path stands; none when it never opened.
    pub fn scope(&self, path: &str) -> Option<&ScopeState> {
        self.scopes.get(path)
    }

    /// All effects, in the order in which they were intended; an effect's id is its position.
    pub fn effects(&self) -> &[EffectState] {
        &self.effects
    }

    /// The step that passed the point of no return.
    pub fn point_of_no_return(&self) -> Option<&StepPath> {
        self.point_of_no_return.as_ref()
    }

    /// Whether the run was cancelled.
    pub fn cancelled(&self) -> bool {
        self.cancelled
    }

    /// What is left to do, in sentences for a person, in the order in which it came up.
    pub fn debts(&self) -> &[String] {
        &self.debts
    }

    /// What steps recorded under this topic, in the order in which they did.
    pub fn noted(&self, topic: &str) -> impl Iterator<Item = &Evidence> {
        self.noted.iter().filter(move |e| e.topic == topic)
    }

    /// Whether something that was allowed to fail did.
    pub fn degraded(&self) -> bool {
        self.degraded
    }

    /// How the run ended; none while it is under way.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// The effects of a step that happened or may have happened, oldest first, as its undo needs them.
    pub fn done_by(&self, path: &str) -> Vec<Done> {
        let own = self.steps.get(path).map_or(&[][..], |step| &step.effects);
        own.iter()
            .filter_map(|index| self.effects.get(*index))
            .filter(|effect| !effect.undoing && effect.may_have_happened())
            .map(|effect| Done {
                forecast: effect.forecast.clone(),
                certain: !effect.is_uncertain(),
                returned: match &effect.settled {
                    Some(Settled::Done(value) | Settled::Unknown(value)) => value.clone(),
                    Some(Settled::Failed) | None => serde_json::Value::Null,
                },
            })
            .collect()
    }

    /// The steps that have something to take back, the one with the newest effect first. Steps that were undone, and
    /// those that made up for something themselves, are left out.
    pub fn to_undo(&self) -> Vec<StepPath> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        for effect in self.effects.iter().rev() {
            let open = self
                .steps
                .get(&effect.path)
                .is_some_and(|step| step.undo == UndoState::Not);
            if open
                && !effect.undoing
                && effect.may_have_happened()
                && !effect.path.makes_up()
                && seen.insert(&effect.path)
            {
                found.push(effect.path.clone());
            }
        }
        found
    }

    /// The effects of a step that nobody said the end of.
    pub(super) fn open_effects(&self, path: &str) -> Vec<u64> {
        let own = self.steps.get(path).map_or(&[][..], |step| &step.effects);
        own.iter()
            .filter(|index| {
                self.effects
                    .get(**index)
                    .is_some_and(|e| e.settled.is_none())
            })
            .filter_map(|index| u64::try_from(*index).ok())
            .collect()
    }

    /// Whether an effect of the step, from the `since`th of its effects on, is of unknown end.
    pub(super) fn is_uncertain(&self, path: &str, since: usize) -> bool {
        let own = self.steps.get(path).map_or(&[][..], |step| &step.effects);
        own.iter()
            .skip(since)
            .filter_map(|index| self.effects.get(*index))
            .any(|effect| !effect.undoing && effect.is_uncertain())
    }

    /// Whether the step changed anything, or may have.
    pub(super) fn has_changed(&self, path: &str) -> bool {
        let own = self.steps.get(path).map_or(&[][..], |step| &step.effects);
        own.iter()
            .filter_map(|index| self.effects.get(*index))
            .any(EffectState::may_have_happened)
    }

    /// Whether a step or an item within this step is one of which a preview cannot know whether it runs.
    pub(super) fn is_unsure_within(&self, path: &str) -> bool {
        self.steps.iter().any(|(inner, step)| {
            let below = inner.0.strip_prefix(path);
            step.status == StepStatus::MayRun
                && below.is_some_and(|rest| rest.starts_with(['/', '[']))
        })
    }

    pub(super) fn effects_of(&self, path: &str) -> usize {
        self.steps.get(path).map_or(0, |step| step.effects.len())
    }
}
