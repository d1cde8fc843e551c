//! The engine's side of the guard: may this effect happen, and how did it end?

use super::action::{Before, EffectOutcome, Effects, Evidence, Forecast, Intent};
use super::control::Control;
use super::shared::{Inner, Shared, Undoable, journal_lost};
use super::state::Settled;
use super::{Decision, Event, Failure, StepPath};
use crate::playbook::{EffectClass, Role, TroubleKind};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// The guard of one attempt, or of one undo. It records for its own step, whatever path it is given.
pub(super) struct Guard {
    pub(super) shared: Arc<Shared>,
    /// The step.
    pub(super) path: StepPath,
    /// Of the scope that the step stands in; none for an undo.
    pub(super) control: Option<Arc<Control>>,
    /// Fired once the attempt is over. What still runs on behind it may do nothing more.
    pub(super) over: CancellationToken,
    /// How to take the step's effects back.
    pub(super) undoable: Undoable,
    /// Effects with lower numbers are those of a runner that died in the middle of this attempt.
    pub(super) inherited: Option<usize>,
    /// What doing it twice means.
    pub(super) class: EffectClass,
}

impl Guard {
    /// Whether the effect may happen, by everything that is known under the lock.
    fn refusal(&self, inner: &Inner, no_return: bool) -> Option<Failure> {
        let denied = |message: String| Failure::new(TroubleKind::Denied, message);
        if let Some(error) = self.shared.lost.why() {
            return Some(journal_lost(error));
        }
        if let Some(failure) = self.lease_lost() {
            return Some(failure);
        }
        let after = self.control.as_ref().is_none_or(|control| control.after);
        if inner.state.cancelled() && !after {
            return Some(denied("the run was cancelled".to_owned()));
        }
        if self.over.is_cancelled() {
            return Some(denied("this attempt is over".to_owned()));
        }
        let passed = inner.state.point_of_no_return();
        // Whoever passed it may try again: the run goes forward.
        if no_return && passed != Some(&self.path) {
            if let Some(passed) = passed {
                return Some(Failure::hold(format!(
                    "`{passed}` has passed the point of no return already, there is no second"
                )));
            }
            if after {
                return Some(denied(
                    "the point of no return cannot be passed while the run is ending".to_owned(),
                ));
            }
            if let Some(why) = &inner.doomed {
                return Some(denied(format!(
                    "the point of no return cannot be passed any more: {why}"
                )));
            }
        }
        let unfreezes = self.undoable.action.signature().has_role(Role::Unfreeze);
        if unfreezes && let Some(passed) = passed {
            return Some(denied(format!(
                "`{passed}` has passed the point of no return: nothing is let back to the old primary"
            )));
        }
        None
    }

    /// The same effect as a runner that died intended it in this attempt: it keeps its number, and with it the id of its
    /// operation. Which is the same is told by its summary: deadlines differ from one call to the next.
    fn left_behind(&self, inner: &Inner, forecast: &Forecast) -> Option<Intent> {
        let below = self.inherited?;
        let step = inner.state.step(&self.path.0)?;
        let present = step.effects.iter().skip(step.effects_before);
        for index in present.filter(|index| **index < below) {
            let state = inner.state.effects().get(*index)?;
            if state.undoing || state.forecast.summary != forecast.summary {
                continue;
            }
            let before = match &state.settled {
                None => Before::Intended,
                Some(Settled::Done(value)) if self.class == EffectClass::Once => {
                    Before::Done(value.clone())
                }
                Some(_) => continue,
            };
            let effect = u64::try_from(*index).ok()?;
            return Some(Intent { effect, before });
        }
        None
    }

    fn lease_lost(&self) -> Option<Failure> {
        match &self.shared.lease {
            None => Some(
                Failure::refused("this run only reads, it holds no lease on the cluster")
                    .with_help("a step of it has an effect that its signature does not show"),
            ),
            Some(lease) if !lease.is_valid() => Some(
                Failure::hold("this run has lost its lease on the cluster")
                    .with_help("see which run holds it now, and what this one left"),
            ),
            Some(_) => None,
        }
    }
}

#[async_trait]
impl Effects for Guard {
    async fn intend(
        &self,
        _: &StepPath,
        forecast: Forecast,
        point_of_no_return: bool,
    ) -> Result<Intent, Failure> {
        let path = &self.path;
        let (effect, durable) = {
            let mut inner = self.shared.lock();
            if let Some(refusal) = self.refusal(&inner, point_of_no_return) {
                return Err(refusal);
            }
            if let Some(intent) = self.left_behind(&inner, &forecast) {
                return Ok(intent);
            }
            let effect = u64::try_from(inner.state.effects().len()).unwrap_or(u64::MAX);
            let (done, durable) = oneshot::channel();
            let event = Event::EffectIntended {
                path: path.clone(),
                effect,
                forecast,
                point_of_no_return,
            };
            if !self.shared.emit_in(&mut inner, event, Some(done)) {
                return Err(Failure::new(
                    TroubleKind::Failed,
                    format!("`{path}` may have no effect now"),
                ));
            }
            inner
                .undoables
                .entry(path.clone())
                .or_insert_with(|| self.undoable.clone());
            (effect, durable)
        };
        let refused = match self.shared.durable(durable).await {
            Err(error) => Some(journal_lost(&error)),
            // It can have been lost while the disk was busy.
            Ok(()) => self.lease_lost(),
        };
        if let Some(failure) = refused {
            self.settle(path, effect, EffectOutcome::Failed(failure.clone()))
                .await;
            return Err(failure);
        }
        if point_of_no_return {
            self.shared.lock().passed_for_sure = true;
        }
        Ok(Intent {
            effect,
            before: Before::Nothing,
        })
    }

    async fn settle(&self, _: &StepPath, effect: u64, outcome: EffectOutcome) {
        let path = &self.path;
        let (outcome, returned, failure) = match outcome {
            EffectOutcome::Done(returned) => ("done", returned, None),
            EffectOutcome::Failed(failure) => ("failed", serde_json::Value::Null, Some(failure)),
            EffectOutcome::Unknown(failure) => ("unknown", serde_json::Value::Null, Some(failure)),
        };
        let mut inner = self.shared.lock();
        if !inner.state.open_effects(&path.0).contains(&effect) {
            // The attempt was given up and the effect written down as unknown.
            tracing::debug!(%path, effect, outcome, "an effect ended after its attempt");
            return;
        }
        let event = Event::EffectSettled {
            path: path.clone(),
            effect,
            outcome: outcome.to_owned(),
            returned,
            failure,
        };
        self.shared.emit_in(&mut inner, event, None);
    }

    async fn note(&self, _: &StepPath, evidence: Evidence) {
        let mut inner = self.shared.lock();
        if inner.state.outcome().is_some() {
            tracing::debug!(path = %self.path, ?evidence, "a finding after the end of the run");
            return;
        }
        let path = self.path.clone();
        let event = Event::Noted { path, evidence };
        self.shared.emit_in(&mut inner, event, None);
    }

    fn noted(&self, topic: &str) -> Vec<Evidence> {
        self.shared.read(|s| s.noted(topic).cloned().collect())
    }

    fn token(&self) -> Option<u64> {
        self.shared.lease.as_ref().map(|lease| lease.token())
    }

    fn point_of_no_return_passed(&self) -> bool {
        self.shared.read(|s| s.point_of_no_return().is_some())
    }

    fn can_be_asked(&self) -> bool {
        self.shared.can_be_asked
    }

    fn decision(&self) -> Option<Decision> {
        self.shared
            .read(|s| s.step(&self.path.0).and_then(|step| step.decision.clone()))
    }
}

/// Writes down as unknown what an attempt left open.
pub(super) fn settle_open(shared: &Shared, path: &StepPath, why: &str) {
    let mut inner = shared.lock();
    for effect in inner.state.open_effects(&path.0) {
        let event = Event::EffectSettled {
            path: path.clone(),
            effect,
            outcome: "unknown".to_owned(),
            returned: serde_json::Value::Null,
            failure: Some(Failure::new(TroubleKind::Unknown, why)),
        };
        shared.emit_in(&mut inner, event, None);
    }
}
