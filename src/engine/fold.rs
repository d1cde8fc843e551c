//! How events change the state of a run, and which sequences of events are legal.

mod effects;

use super::Failure;
use super::state::{RunState, ScopeState, StepState};
use super::{Envelope, Event, ScopeKind, SkipReason, StepPath, StepStatus};

/// An event that cannot follow the events before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("illegal event at `{path}`: {why}")]
pub struct IllegalEvent {
    /// Where.
    pub path: String,
    /// What rule it breaks.
    pub why: &'static str,
}

fn illegal<T>(path: &StepPath, why: &'static str) -> Result<T, IllegalEvent> {
    Err(IllegalEvent {
        path: path.to_string(),
        why,
    })
}

impl RunState {
    /// The state after all these events, or the position of the first that is illegal.
    pub fn fold(events: &[Envelope]) -> Result<Self, (u64, IllegalEvent)> {
        let mut state = Self::default();
        for envelope in events {
            state
                .apply(&envelope.event)
                .map_err(|error| (envelope.seq, error))?;
        }
        Ok(state)
    }

    /// Takes one more event into account. An illegal one leaves the state as it was.
    pub fn apply(&mut self, event: &Event) -> Result<(), IllegalEvent> {
        let root = StepPath::root();
        if self.outcome.is_some() {
            return illegal(&root, "the run has ended");
        }
        if let Event::RunStarted { run, .. } = event {
            if self.run.is_some() {
                return illegal(&root, "the run has started already");
            }
            self.run = Some(run.clone());
            return Ok(());
        }
        if self.run.is_none() {
            return illegal(&root, "the run has not started");
        }
        match event {
            Event::RunStarted { .. } => Ok(()),
            Event::ScopeOpened { path, kind, steps } => self.scope_opened(path, *kind, steps),
            Event::ScopeClosed { path, ok } => self.scope_closed(path, *ok),
            Event::StepStarted {
                path,
                action,
                node,
                items,
            } => self.step_started(path, action, node.as_ref(), items.as_deref()),
            Event::StepSkipped { path, reason } => self.step_skipped(path, reason),
            Event::AttemptStarted { path, attempt, .. } => self.attempt_started(path, *attempt),
            Event::Probed { path, verdict, .. } => self.probed(path, *verdict),
            Event::EffectIntended {
                path,
                effect,
                forecast,
                point_of_no_return,
            } => self.effect_intended(path, *effect, forecast, *point_of_no_return),
            Event::EffectSettled {
                path,
                effect,
                outcome,
                returned,
                ..
            } => self.effect_settled(path, *effect, outcome, returned),
            Event::Noted { path, evidence } => {
                if !path.is_root() && !self.steps.contains_key(path) {
                    return illegal(path, "there is no such step");
                }
                if evidence.topic == "debt" {
                    self.owe(evidence.text.clone());
                }
                self.noted.push(evidence.clone());
                Ok(())
            }
            Event::AttemptFailed { path, attempt, .. } => {
                let step = self.attempting(path)?;
                if step.attempts != *attempt {
                    return illegal(path, "another attempt is under way");
                }
                step.attempting = false;
                Ok(())
            }
            Event::StepEnded { .. } => self.step_ended(event),
            Event::CancelRequested { accepted, .. } => {
                if *accepted && self.point_of_no_return.is_some() {
                    return illegal(&root, "cancelled after the point of no return");
                }
                if *accepted && self.cancelled {
                    return illegal(&root, "cancelled twice");
                }
                self.cancelled |= *accepted;
                Ok(())
            }
            Event::UndoStarted { path } => self.undo_started(path),
            Event::UndoEnded { path, status, what } => self.undo_ended(path, *status, what),
            Event::RunEnded { outcome, .. } => {
                if self.open_scopes > 0 {
                    return illegal(&root, "the run ended while a scope was open");
                }
                if self.undoing > 0 {
                    return illegal(&root, "the run ended while something was being undone");
                }
                self.outcome = Some(*outcome);
                Ok(())
            }
        }
    }

    fn scope_opened(
        &mut self,
        path: &StepPath,
        kind: ScopeKind,
        steps: &[String],
    ) -> Result<(), IllegalEvent> {
        use super::path::Owner;
        if self.scopes.get(path).is_some_and(|s| s.ended.is_none()) {
            return illegal(path, "the scope is open already");
        }
        if path.is_root() {
            if kind != ScopeKind::Run || self.scopes.contains_key(path) {
                return illegal(path, "the top level opens once, as the run");
            }
        } else {
            match path.owner() {
                Owner::Step(step) => match self.steps.get_mut(step) {
                    Some(step) if step.status == StepStatus::Running => step.open_scopes += 1,
                    _ => return illegal(path, "the scope's step is not under way"),
                },
                Owner::Scope(scope) => {
                    if self.scopes.get(scope).is_none_or(|s| s.ended.is_none()) {
                        return illegal(path, "the steps before it have not ended");
                    }
                }
            }
        }
        let steps: Vec<StepPath> = steps.iter().map(|id| path.step(id)).collect();
        for step in &steps {
            // A nested playbook that is tried again starts afresh, but what its steps did before stays known.
            let mut fresh = StepState::pending(path.clone());
            if let Some(before) = self.steps.remove(step) {
                fresh.effects = before.effects;
            }
            self.steps.insert(step.clone(), fresh);
        }
        let ended = None;
        self.scopes
            .insert(path.clone(), ScopeState { kind, steps, ended });
        self.open_scopes += 1;
        Ok(())
    }

    fn scope_closed(&mut self, path: &StepPath, ok: bool) -> Result<(), IllegalEvent> {
        let Some(scope) = self.scopes.get_mut(path).filter(|s| s.ended.is_none()) else {
            return illegal(path, "the scope is not open");
        };
        let over = |step: &StepPath| {
            self.steps.get(step).is_some_and(|state| {
                !matches!(state.status, StepStatus::Pending | StepStatus::Running)
            })
        };
        if !scope.steps.iter().all(over) {
            return illegal(path, "the scope closed before its steps ended");
        }
        scope.ended = Some(ok);
        self.open_scopes -= 1;
        if let super::path::Owner::Step(owner) = path.owner()
            && let Some(step) = self.steps.get_mut(owner)
        {
            step.open_scopes -= 1;
        }
        Ok(())
    }

    fn known(&mut self, path: &StepPath) -> Result<&mut StepState, IllegalEvent> {
        match self.steps.get_mut(path) {
            Some(step) => Ok(step),
            None => illegal(path, "there is no such step"),
        }
    }

    fn running(&mut self, path: &StepPath) -> Result<&mut StepState, IllegalEvent> {
        let step = self.known(path)?;
        if step.status == StepStatus::Running {
            Ok(step)
        } else {
            illegal(path, "the step is not under way")
        }
    }

    fn attempting(&mut self, path: &StepPath) -> Result<&mut StepState, IllegalEvent> {
        let step = self.running(path)?;
        if step.attempting {
            Ok(step)
        } else {
            illegal(path, "no attempt is under way")
        }
    }

    fn step_started(
        &mut self,
        path: &StepPath,
        action: &str,
        node: Option<&String>,
        items: Option<&[String]>,
    ) -> Result<(), IllegalEvent> {
        let step = self.known(path)?;
        if step.status != StepStatus::Pending {
            return illegal(path, "the step started twice");
        }
        let parent = step.parent.clone();
        let open = if path.is_item() {
            self.steps
                .get(&parent)
                .is_some_and(|s| s.status == StepStatus::Running)
        } else {
            self.scopes.get(&parent).is_some_and(|s| s.ended.is_none())
        };
        if !open {
            return illegal(path, "the scope of the step is not open");
        }
        let step = self.known(path)?;
        step.status = StepStatus::Running;
        step.action = Some(action.to_owned());
        step.node = node.cloned();
        step.items = items.map(<[String]>::to_vec);
        for key in items.unwrap_or_default() {
            let item = path.item(key);
            let mut fresh = StepState::pending(path.clone());
            if let Some(before) = self.steps.remove(&item) {
                fresh.effects = before.effects;
            }
            self.steps.insert(item, fresh);
        }
        Ok(())
    }

    fn step_skipped(&mut self, path: &StepPath, reason: &SkipReason) -> Result<(), IllegalEvent> {
        let step = self.known(path)?;
        if step.status != StepStatus::Pending {
            return illegal(path, "a step that started cannot be skipped");
        }
        step.status = match reason {
            SkipReason::When(_) | SkipReason::Disabled(_) => StepStatus::Skipped,
            SkipReason::Needs(_) | SkipReason::Failures | SkipReason::Stopping => {
                StepStatus::NotRun
            }
            SkipReason::Unknown(_) => StepStatus::MayRun,
        };
        Ok(())
    }

    fn attempt_started(&mut self, path: &StepPath, attempt: u32) -> Result<(), IllegalEvent> {
        let step = self.running(path)?;
        if step.attempting {
            return illegal(path, "an attempt is under way already");
        }
        if attempt != step.attempts + 1 {
            return illegal(path, "attempts are counted without gaps");
        }
        step.attempts = attempt;
        step.attempting = true;
        Ok(())
    }

    fn step_ended(&mut self, event: &Event) -> Result<(), IllegalEvent> {
        let Event::StepEnded {
            path,
            status,
            outputs,
            failure,
            unchanged,
        } = event
        else {
            return Ok(());
        };
        let settled = self.open_effects(&path.0).is_empty();
        let step = self.running(path)?;
        if !matches!(
            status,
            StepStatus::Ok
                | StepStatus::Rescued
                | StepStatus::Failed
                | StepStatus::Cancelled
                | StepStatus::MayRun
        ) {
            return illegal(path, "a step ends ok, rescued, failed or cancelled");
        }
        if !settled {
            return illegal(path, "the step ended while an effect was open");
        }
        if step.open_scopes > 0 {
            return illegal(path, "the step ended while a scope of its was open");
        }
        let items: Vec<StepPath> = step
            .items
            .iter()
            .flatten()
            .map(|key| path.item(key))
            .collect();
        let under_way = |item: &StepPath| {
            self.steps
                .get(item)
                .is_some_and(|s| matches!(s.status, StepStatus::Pending | StepStatus::Running))
        };
        if items.iter().any(under_way) {
            return illegal(path, "the step ended before its items");
        }
        let step = self.known(path)?;
        step.status = *status;
        step.attempting = false;
        step.outputs.clone_from(outputs);
        step.failure.clone_from(failure);
        step.unchanged = *unchanged;
        if *status == StepStatus::Failed && path.is_item() {
            self.owe(left_by(path, failure.as_ref()));
        }
        Ok(())
    }

    fn owe(&mut self, debt: String) {
        if self.owed.insert(debt.clone()) {
            self.debts.push(debt);
        }
    }
}

/// What a failed item leaves, as a sentence.
pub(super) fn left_by(path: &StepPath, failure: Option<&Failure>) -> String {
    let Some(failure) = failure else {
        return format!("{path} failed");
    };
    match &failure.help {
        Some(help) => format!("{path} failed: {}; {help}", failure.message),
        None => format!("{path} failed: {}", failure.message),
    }
}

#[cfg(test)]
mod tests;
