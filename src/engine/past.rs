//! What a runner that died left of a run, for the one that goes on with it.
//!
//! A resumed run is driven from its beginning, through the same code. Whatever the journal says has ended is taken as
//! it ended, whatever was under way is under way again: nothing is done twice that is known to have been done. In a run
//! that was not resumed nothing here has an answer.

use super::action::Failure;
use super::attempts::Ended;
use super::scope::{Fault, Run, Scope, ScopeEnd};
use super::shared::{Shared, Undoable};
use super::state::{ByPath, RunState, Settled};
use super::step::{StepEnd, UnitEnd, conclude};
use super::{Actions, Envelope, IllegalEvent, StepPath, StepStatus};
use crate::playbook::TroubleKind;
use std::time::Duration;

/// Why a run cannot be resumed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresumable {
    /// Its first event is not there: it had not begun.
    #[error("its journal does not say how it started, so nothing of it has happened")]
    NotStarted,
    /// It ended.
    #[error("it has ended")]
    Ended,
    /// Its journal cannot be true.
    #[error("its journal contradicts itself at record {seq}: {error}")]
    Contradiction {
        /// The record.
        seq: u64,
        /// How.
        #[source]
        error: IllegalEvent,
    },
}

/// What was recorded of a run until its runner died.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) state: RunState,
    /// How many events there are.
    pub(super) events: u64,
    /// When the last one happened, from the start of the run.
    pub(super) at: Duration,
}

impl Past {
    /// Of these events.
    pub(super) fn of(events: &[Envelope]) -> Result<Self, Unresumable> {
        let state = RunState::fold(events)
            .map_err(|(seq, error)| Unresumable::Contradiction { seq, error })?;
        if state.run().is_none() {
            return Err(Unresumable::NotStarted);
        }
        if state.outcome().is_some() {
            return Err(Unresumable::Ended);
        }
        Ok(Self {
            events: events.last().map_or(0, |last| last.seq + 1),
            at: state.now,
            state,
        })
    }

    /// How to take back what its steps did.
    pub(super) fn undoables(&self, actions: &dyn Actions) -> ByPath<Undoable> {
        let steps = self.state.steps.iter();
        let known = steps.filter(|(_, step)| !step.effects.is_empty());
        known
            .filter_map(|(path, step)| {
                let undoable = Undoable {
                    action: actions.find(step.action.as_deref()?)?,
                    inputs: step.inputs.clone()?,
                    limit: step.limit,
                };
                Some((path.clone(), undoable))
            })
            .collect()
    }
}

/// How a scope stands when its turn comes.
pub(super) enum Standing {
    /// It has not opened in the present attempt of what it belongs to.
    Fresh,
    /// It is open, for so long already.
    Open(Duration),
    /// It ended, and what it belongs to has not taken note of that.
    Closed(ScopeEnd),
}

impl RunState {
    fn standing(&self, path: &StepPath) -> Standing {
        use super::path::Owner;
        let Some(scope) = self.scopes.get(path) else {
            return Standing::Fresh;
        };
        let Some(ended) = &scope.ended else {
            return Standing::Open(self.now.saturating_sub(scope.opened));
        };
        let present = path.is_root()
            || match path.owner() {
                Owner::Step(step) => self.steps.get(step).is_some_and(|step| {
                    step.status == StepStatus::Running && step.attempts == scope.attempt
                }),
                Owner::Scope(outer) => self
                    .scopes
                    .get(outer)
                    .is_some_and(|outer| outer.attempt == scope.attempt),
            };
        if present {
            Standing::Closed(ScopeEnd {
                fault: ended.fault.clone(),
                cancelled: ended.cancelled,
            })
        } else {
            Standing::Fresh
        }
    }
}

/// The attempts that a step has behind it.
pub(super) struct Tries {
    /// How many.
    pub(super) attempts: u32,
    /// Whether the last of them is under way.
    pub(super) attempting: bool,
    /// The time that they and the waits between them took.
    pub(super) spent: Duration,
    /// How the last one failed, and the wait before the next.
    pub(super) failed: Option<(Fault, Option<Duration>)>,
}

/// What an attempt that is gone on with has done already.
pub(super) struct Inherited {
    /// Effects with lower numbers are those of the runner that died.
    pub(super) below: usize,
    /// The attempt's own begin at this one of the step's effects.
    pub(super) since: usize,
    /// An effect of it was intended, and nobody said how it ended.
    pub(super) open: bool,
    /// It may do what it is for without doing it twice: all that it intended is open or known to have happened, and no
    /// attempt before it may have done anything.
    pub(super) repeatable: bool,
}

impl<'s> Run<'s> {
    /// How the scope stands.
    pub(super) fn standing(&self, path: &StepPath) -> Standing {
        if !self.resumed {
            return Standing::Fresh;
        }
        self.shared.read(|state| state.standing(path))
    }

    /// Whether the step or item was under way when its runner died.
    pub(super) fn was_running(&self, path: &StepPath) -> bool {
        self.resumed
            && self.shared.read(|state| {
                state
                    .step(&path.0)
                    .is_some_and(|step| step.status == StepStatus::Running)
            })
    }

    /// The attempts that the step has behind it.
    pub(super) fn tries(&self, path: &StepPath) -> Option<Tries> {
        if !self.resumed {
            return None;
        }
        self.shared.read(|state| {
            let step = state.step(&path.0).filter(|step| step.attempts > 0)?;
            Some(Tries {
                attempts: step.attempts,
                attempting: step.attempting,
                spent: state.now.saturating_sub(step.started),
                failed: step.failed.clone(),
            })
        })
    }

    /// What the attempt under way has done already.
    pub(super) fn inherited(&self, path: &StepPath) -> Inherited {
        self.shared.read(|state| {
            let (since, own) = state.step(&path.0).map_or((0, &[][..]), |step| {
                (step.effects_before, step.effects.as_slice())
            });
            let effects = || own.iter().filter_map(|index| state.effects.get(*index));
            let earlier = effects()
                .take(since)
                .any(super::state::EffectState::may_have_happened);
            let present = || effects().skip(since);
            Inherited {
                below: state.effects.len(),
                since,
                open: present().any(|effect| effect.settled.is_none()),
                repeatable: !earlier
                    && !present().any(|e| matches!(e.settled, Some(Settled::Unknown(_)))),
            }
        })
    }

    /// How a step or item ended, where it has; with its place among the ends.
    pub(super) fn ended_before(&self, path: &StepPath) -> Option<(u64, UnitEnd)> {
        if !self.resumed {
            return None;
        }
        self.shared.read(|state| {
            let step = state.step(&path.0)?;
            if matches!(step.status, StepStatus::Pending | StepStatus::Running) {
                return None;
            }
            let fault = Fault::recorded(path, step.failure.as_ref(), step.at.as_ref());
            let status = step.status;
            Some((step.end, UnitEnd { status, fault }))
        })
    }

    /// The steps of a scope that have ended, in the order in which they did.
    pub(super) fn ends_before(&self, scope: &Scope<'s>) -> Vec<StepEnd> {
        if !self.resumed {
            return Vec::new();
        }
        let steps = scope.block.steps.iter().enumerate();
        let mut ends: Vec<_> = steps
            .filter_map(|(index, step)| {
                let path = scope.path.step(step.id.value.as_str());
                let (place, end) = self.ended_before(&path)?;
                Some((place, index, path, end))
            })
            .collect();
        ends.sort_by_key(|(place, ..)| *place);
        let conclude = |(_, index, path, end): (u64, usize, StepPath, UnitEnd)| {
            let step = &scope.block.steps[index];
            match end.status {
                StepStatus::Skipped => StepEnd {
                    step: index,
                    satisfied: true,
                    unsure: false,
                    fault: None,
                },
                _ => conclude(self, scope, step, index, &path, end),
            }
        };
        ends.into_iter().map(conclude).collect()
    }
}

impl Tries {
    /// What the end of the last attempt means where there is to be no other; none where there is.
    pub(super) fn over(&self, stopped: bool) -> Option<Ended> {
        match &self.failed {
            Some(_) if stopped => Some(Ended::Stopped),
            Some((fault, None)) => Some(Ended::Failed(fault.clone())),
            _ => None,
        }
    }
}

/// The items of a `for_each` are not those that it started with: what the run was given has changed under it.
pub(super) fn other_items(path: &StepPath) -> Failure {
    let mut failure = Failure::hold(format!(
        "`{path}` would go over other items than it began with"
    ));
    failure.kind = TroubleKind::Failed;
    failure.with_help("report this with the run's journal")
}

/// Whether the keys are those that a `for_each` began with.
pub(super) fn same_items(shared: &Shared, path: &StepPath, keys: &[String]) -> bool {
    shared.read(|state| {
        let began = state.step(&path.0).and_then(|step| step.items.as_deref());
        began.is_none_or(|began| began == keys)
    })
}
