//! From what happened in the simulation to what would happen.

use super::model::{Decision, Foreseen, PlannedEffect, PlannedStep};
use super::own::TOPIC;
use crate::engine::{Envelope, Event, Forecast, ScopeKind, SkipReason, StepPath, StepStatus};
use crate::playbook::Map;
use std::collections::{BTreeMap, BTreeSet};

/// What a simulated run did.
#[derive(Default)]
pub(super) struct Folded {
    /// By path; ordered in the end.
    steps: BTreeMap<StepPath, PlannedStep>,
    /// What stands below what, in the playbook's order.
    children: BTreeMap<StepPath, Vec<StepPath>>,
    /// Where the effects of this number are.
    effects: BTreeMap<u64, (StepPath, usize)>,
    undoing: BTreeSet<StepPath>,
    forecasts: BTreeMap<StepPath, Vec<Forecast>>,
    pub(super) decisions: Vec<Decision>,
}

/// Folds the events of a run.
pub(super) fn fold(events: &[Envelope]) -> Folded {
    let mut folded = Folded::default();
    for envelope in events {
        folded.apply(&envelope.event);
    }
    folded
}

impl Folded {
    /// Every step, in the playbook's order, what it nests below it.
    pub(super) fn steps(mut self) -> (Vec<PlannedStep>, Vec<Decision>) {
        for (path, step) in &mut self.steps {
            let only_read = matches!(step.action.as_deref(), Some("exec" | "sql" | "http"))
                && step.effects.is_empty()
                && !step.unchanged;
            if only_read {
                step.reads = self.forecasts.remove(path).unwrap_or_default();
            }
        }
        let mut ordered = Vec::new();
        self.lay_out(&StepPath::root(), 0, &mut ordered);
        // Nothing is announced without a parent; if it were, it would still be shown.
        ordered.extend(std::mem::take(&mut self.steps).into_values());
        (ordered, self.decisions)
    }

    fn lay_out(&mut self, parent: &StepPath, depth: usize, ordered: &mut Vec<PlannedStep>) {
        for path in self.children.remove(parent).unwrap_or_default() {
            if let Some(mut step) = self.steps.remove(&path) {
                step.depth = depth;
                ordered.push(step);
            }
            self.lay_out(&path, depth + 1, ordered);
        }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::ScopeOpened { path, kind, steps } => self.open(path, *kind, steps),
            Event::ScopeClosed { path, ok, .. } => {
                if let Some(step) = self.steps.get_mut(path)
                    && step.status == StepStatus::Running
                    && step.action.is_none()
                {
                    step.status = if *ok {
                        StepStatus::Ok
                    } else {
                        StepStatus::Failed
                    };
                }
            }
            Event::EffectIntended { .. }
            | Event::EffectSettled { .. }
            | Event::UndoStarted { .. } => self.effect(event),
            Event::Noted { path, evidence } if evidence.topic == TOPIC => {
                let kind = evidence.data.get("outputs").and_then(|kind| kind.as_str());
                self.step(path).foreseen = match kind {
                    Some("read") => Some(Foreseen::Read),
                    Some("assumed") => Some(Foreseen::Assumed),
                    _ => Some(Foreseen::Unknown),
                };
            }
            Event::Noted { path, evidence } => {
                let decision = Decision {
                    path: path.clone(),
                    topic: evidence.topic.clone(),
                    text: evidence.text.clone(),
                    data: evidence.data.clone(),
                };
                self.decisions.push(decision);
            }
            other => self.turn(other),
        }
    }

    fn turn(&mut self, event: &Event) {
        match event {
            Event::StepStarted {
                path,
                action,
                node,
                items,
                ..
            } => {
                for key in items.iter().flatten() {
                    self.child(path, &path.item(key), &format!("[{key}]"));
                }
                let step = self.step(path);
                step.status = StepStatus::Running;
                step.action = Some(action.clone());
                step.node.clone_from(node);
            }
            Event::StepSkipped { path, reason } => {
                let step = self.step(path);
                step.status = match reason {
                    SkipReason::When(_) | SkipReason::Disabled(_) => StepStatus::Skipped,
                    SkipReason::Unknown(_) => StepStatus::MayRun,
                    SkipReason::Needs(_) | SkipReason::Failures | SkipReason::Stopping => {
                        StepStatus::NotRun
                    }
                };
                step.skipped = Some(reason.clone());
            }
            Event::AttemptStarted { path, attempt, .. } => self.step(path).attempts = *attempt,
            Event::Probed {
                path,
                why,
                forecast,
                ..
            } => {
                if !forecast.is_empty() {
                    self.forecasts.insert(path.clone(), forecast.clone());
                }
                self.step(path).why.get_or_insert_with(|| why.clone());
            }
            Event::StepEnded {
                path,
                status,
                outputs,
                failure,
                unchanged,
                ..
            } => {
                let step = self.step(path);
                step.status = *status;
                step.outputs.clone_from(outputs);
                step.failure.clone_from(failure);
                step.unchanged = *unchanged;
            }
            _ => {}
        }
    }

    fn effect(&mut self, event: &Event) {
        match event {
            Event::EffectIntended {
                path,
                effect,
                forecast,
                point_of_no_return,
            } => {
                let undo = self.undoing.contains(path);
                let step = self.step(path);
                step.effects.push(PlannedEffect {
                    summary: forecast.summary.clone(),
                    rendered: forecast.rendered.clone(),
                    operation: forecast.operation.clone(),
                    outcome: "unknown".to_owned(),
                    point_of_no_return: *point_of_no_return,
                    undo,
                });
                let place = step.effects.len() - 1;
                self.effects.insert(*effect, (path.clone(), place));
            }
            Event::EffectSettled {
                effect, outcome, ..
            } => {
                if let Some((path, place)) = self.effects.get(effect).cloned()
                    && let Some(known) = self.step(&path).effects.get_mut(place)
                {
                    known.outcome.clone_from(outcome);
                }
            }
            Event::UndoStarted { path } => {
                self.undoing.insert(path.clone());
            }
            _ => {}
        }
    }

    fn open(&mut self, path: &StepPath, kind: ScopeKind, steps: &[String]) {
        let beside = match kind {
            ScopeKind::Rescue => Some(("(rescue)", "rescue")),
            ScopeKind::Finally => Some(("(finally)", "finally")),
            ScopeKind::Run | ScopeKind::Item | ScopeKind::Playbook => None,
        };
        if let Some((suffix, label)) = beside {
            let owner = path.0.strip_suffix(suffix).unwrap_or_default();
            let owner = owner.strip_suffix('/').unwrap_or(owner);
            self.child(&StepPath(owner.into()), path, label);
            self.step(path).status = StepStatus::Running;
        }
        for id in steps {
            self.child(path, &path.step(id), id);
        }
    }

    /// Makes a step known, once.
    fn child(&mut self, parent: &StepPath, path: &StepPath, label: &str) {
        if self.steps.contains_key(path) {
            return;
        }
        self.steps.insert(path.clone(), without_a_turn(path, label));
        let siblings = self.children.entry(parent.clone()).or_default();
        siblings.push(path.clone());
    }

    /// The step at this path; one that nobody announced stands at the end under its whole path.
    fn step(&mut self, path: &StepPath) -> &mut PlannedStep {
        self.steps
            .entry(path.clone())
            .or_insert_with(|| without_a_turn(path, &path.to_string()))
    }
}

fn without_a_turn(path: &StepPath, label: &str) -> PlannedStep {
    PlannedStep {
        path: path.clone(),
        label: label.to_owned(),
        depth: 0,
        action: None,
        node: None,
        status: StepStatus::Pending,
        why: None,
        skipped: None,
        unchanged: false,
        attempts: 0,
        failure: None,
        effects: Vec::new(),
        reads: Vec::new(),
        foreseen: None,
        outputs: Map::new(),
    }
}
