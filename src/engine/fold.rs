//! How events change the state of a run, and which sequences of events are legal.

mod effects;
mod messages;

use super::Failure;
use super::path::Owner;
use super::scope::Fault;
use super::state::{RunState, ScopeEnded, ScopeState, StepState};
use super::{Envelope, Event, ScopeKind, SkipReason, StepPath, StepStatus};
use std::time::Duration;

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
                .apply(&envelope.event, envelope.at())
                .map_err(|error| (envelope.seq, error))?;
        }
        Ok(state)
    }

    /// Takes one more event into account, which happened so long after the start of the run. An illegal one leaves the
    /// state as it was.
    pub fn apply(&mut self, event: &Event, at: Duration) -> Result<(), IllegalEvent> {
        self.legal(event)?;
        self.now = self.now.max(at);
        Ok(())
    }

    fn legal(&mut self, event: &Event) -> Result<(), IllegalEvent> {
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
            Event::RunResumed { .. } => {
                self.resumed();
                Ok(())
            }
            Event::ScopeOpened { path, kind, steps } => self.scope_opened(path, *kind, steps),
            Event::ScopeClosed {
                path,
                ok,
                failure,
                at,
                cancelled,
            } => {
                let ended = ScopeEnded {
                    ok: *ok,
                    fault: Fault::recorded(path, failure.as_ref(), at.as_ref()),
                    cancelled: *cancelled,
                };
                self.scope_closed(path, ended)
            }
            Event::StepStarted {
                path,
                action,
                node,
                items,
                inputs,
            } => {
                self.step_started(path, action, node.as_ref(), items.as_deref())?;
                self.known(path).map(|step| step.inputs.clone_from(inputs))
            }
            Event::StepSkipped { path, reason } => self.step_skipped(path, reason),
            Event::AttemptStarted {
                path,
                attempt,
                limit_ms,
            } => self.attempt_started(path, *attempt, Duration::from_millis(*limit_ms)),
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
            Event::Noted { path, evidence } => self.note(path, evidence),
            Event::AttemptFailed { .. } => self.attempt_failed(event),
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
            Event::MessageHeard {
                message, accepted, ..
            } => self.message_heard(message, *accepted),
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
        if self.scopes.contains_key(path) {
            // What stood within it belonged to an earlier attempt.
            let within = format!("{path}/");
            self.scopes.retain(|other, _| !other.0.starts_with(&within));
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
        let attempt = match path.owner() {
            Owner::Step(step) => self.steps.get(step).map_or(0, |step| step.attempts),
            Owner::Scope(scope) => self.scopes.get(scope).map_or(0, |scope| scope.attempt),
        };
        let scope = ScopeState {
            kind,
            steps,
            ended: None,
            opened: self.now,
            attempt,
        };
        self.scopes.insert(path.clone(), scope);
        self.open_scopes += 1;
        Ok(())
    }

    fn scope_closed(&mut self, path: &StepPath, ended: ScopeEnded) -> Result<(), IllegalEvent> {
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
        scope.ended = Some(ended);
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
        let now = self.now;
        let step = self.known(path)?;
        step.status = StepStatus::Running;
        step.started = now;
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
        let end = self.ends + 1;
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
        step.end = end;
        self.ends = end;
        Ok(())
    }

    fn attempt_started(
        &mut self,
        path: &StepPath,
        attempt: u32,
        limit: Duration,
    ) -> Result<(), IllegalEvent> {
        let step = self.running(path)?;
        if step.attempting {
            return illegal(path, "an attempt is under way already");
        }
        if attempt != step.attempts + 1 {
            return illegal(path, "attempts are counted without gaps");
        }
        if attempt == 1 {
            step.limit = limit;
        }
        step.attempts = attempt;
        step.attempting = true;
        step.effects_before = step.effects.len();
        step.failed = None;
        // An approval counts for the attempt that asked for it.
        step.question = false;
        step.decision = None;
        Ok(())
    }

    fn attempt_failed(&mut self, event: &Event) -> Result<(), IllegalEvent> {
        let Event::AttemptFailed {
            path,
            attempt,
            failure,
            retry_in_ms,
            at,
        } = event
        else {
            return Ok(());
        };
        let step = self.attempting(path)?;
        if step.attempts != *attempt {
            return illegal(path, "another attempt is under way");
        }
        step.attempting = false;
        let fault = Fault::recorded(path, Some(failure), at.as_ref());
        step.failed = fault.map(|fault| (fault, retry_in_ms.map(Duration::from_millis)));
        Ok(())
    }

    fn step_ended(&mut self, event: &Event) -> Result<(), IllegalEvent> {
        let Event::StepEnded {
            path,
            status,
            outputs,
            failure,
            unchanged,
            at,
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
        let some_failed = items.iter().any(|item| {
            self.steps
                .get(item)
                .is_some_and(|s| s.status == StepStatus::Failed)
        });
        self.degraded |= matches!(status, StepStatus::Ok | StepStatus::MayRun) && some_failed;
        self.ends += 1;
        let end = self.ends;
        let step = self.known(path)?;
        step.end = end;
        step.at.clone_from(at);
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
