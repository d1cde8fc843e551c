//! A step, or an item of one: condition, attempts, rescue, and what its failure means.

use super::attempts::{Ended, Work, try_until_done};
use super::control::Stop;
use super::each::run_each;
use super::fold::left_by;
use super::names::{ScopeNames, error_names};
use super::panic::caught_now;
use super::past::Standing;
use super::prepare::{by_name, outputs, prepare, unevaluated};
use super::scope::{DEFAULT_BUDGET, Fault, Run, Scope, run_block};
use super::slots::Slot;
use super::{Event, Evidence, Failure, ScopeKind, SkipReason, StepPath, StepStatus};
use crate::playbook::{Block, Body, Expression, Map, OnFailure, Step, TroubleKind, Value};

/// How a step ended, as far as its scope must know.
pub(super) struct StepEnd {
    /// Which, by its position in the block.
    pub(super) step: usize,
    /// Whether what needs it may start.
    pub(super) satisfied: bool,
    /// Nobody can know whether it runs, or how: what needs it is not known either.
    pub(super) unsure: bool,
    /// Its failure, when nothing made up for it.
    pub(super) fault: Option<Fault>,
}

/// How a step or an item ended.
pub(super) struct UnitEnd {
    pub(super) status: StepStatus,
    pub(super) fault: Option<Fault>,
}

/// Runs one step to its end. `_slot` is its place among those that may run at once.
pub(super) async fn run_step<'s>(
    run: &'s Run<'s>,
    scope: &'s Scope<'s>,
    index: usize,
    _slot: Slot,
) -> StepEnd {
    let step = &scope.block.steps[index];
    let path = scope.path.step(step.id.value.as_str());
    if let Some(reason) = &step.disabled {
        return skipped(run, path, index, SkipReason::Disabled(reason.value.clone()));
    }
    let condition = match &step.when {
        None => Ok(true),
        Some(when) => holds(when, &ScopeNames::of(run, scope)),
    };
    // It held when the step started.
    let condition = condition.map(|holds| holds || run.was_running(&path));
    if condition == Ok(false) {
        let when = step.when.as_ref().map(|when| when.text.clone());
        return skipped(run, path, index, SkipReason::When(when.unwrap_or_default()));
    }
    let broken = condition.err();
    if let Some(failure) = &broken
        && failure.kind == TroubleKind::Unknown
    {
        let end = may_run(run, path.clone(), failure);
        return conclude(run, scope, step, index, &path, end);
    }
    let end = match &step.for_each {
        Some(each) => Box::pin(run_each(run, scope, step, each, path.clone(), broken)).await,
        None => run_unit(run, scope, step, path.clone(), None, broken).await,
    };
    conclude(run, scope, step, index, &path, end)
}

/// It does not run, and what needs it goes on.
fn skipped(run: &Run<'_>, path: StepPath, index: usize, reason: SkipReason) -> StepEnd {
    run.shared.emit(Event::StepSkipped { path, reason });
    StepEnd {
        step: index,
        satisfied: true,
        unsure: false,
        fault: None,
    }
}

/// What the end of a step means for what needs it and for its scope.
pub(super) fn conclude(
    run: &Run<'_>,
    scope: &Scope<'_>,
    step: &Step,
    index: usize,
    path: &StepPath,
    end: UnitEnd,
) -> StepEnd {
    let ended = |satisfied, fault| StepEnd {
        step: index,
        satisfied,
        unsure: false,
        fault,
    };
    match (end.status, end.fault) {
        (StepStatus::Ok | StepStatus::Rescued, _) => ended(true, None),
        (StepStatus::MayRun, _) => StepEnd {
            unsure: true,
            ..ended(true, None)
        },
        (StepStatus::Failed, Some(fault)) => match step.on_failure.value {
            OnFailure::Fail => {
                scope.control.fail(&run.shared, &fault.path, &fault.failure);
                ended(false, Some(fault))
            }
            OnFailure::Degrade => {
                // What is left of an item was said of the item.
                let whose = if step.for_each.is_some() {
                    path
                } else {
                    &fault.path
                };
                degrade(run, path, left_by(whose, Some(&fault.failure)));
                ended(true, None)
            }
            OnFailure::Continue => ended(true, None),
        },
        _ => ended(false, None),
    }
}

/// Something that was allowed to fail did, and is left for a person to do.
fn degrade(run: &Run<'_>, path: &StepPath, text: String) {
    let evidence = Evidence::of_degradation(text);
    // The runner that died may have said so already.
    if run.resumed && run.shared.read(|state| state.noted.contains(&evidence)) {
        return;
    }
    run.shared.emit(Event::Noted {
        path: path.clone(),
        evidence,
    });
}

/// Whether a condition holds; what cannot be evaluated is a failure, never an answer.
pub(super) fn holds(condition: &Expression, names: &ScopeNames<'_>) -> Result<bool, Failure> {
    caught_now("a condition", || condition.holds(names))?.map_err(|error| unevaluated(&error))
}

/// A step that hangs on what a preview cannot know has no turn: nothing is guessed.
pub(super) fn may_run(run: &Run<'_>, path: StepPath, why: &Failure) -> UnitEnd {
    run.shared.emit(Event::StepSkipped {
        path,
        reason: SkipReason::Unknown(why.message.clone()),
    });
    UnitEnd {
        status: StepStatus::MayRun,
        fault: None,
    }
}

/// The same end, or that it is not known where something within the step is not.
pub(super) fn unsure(run: &Run<'_>, path: &StepPath, end: UnitEnd) -> UnitEnd {
    let within = end.status == StepStatus::Ok
        && run.forecast
        && run.shared.read(|state| state.is_unsure_within(&path.0));
    if within {
        return UnitEnd {
            status: StepStatus::MayRun,
            ..end
        };
    }
    end
}

/// Whether something may make up for a failure of this step before it reaches the step's scope.
pub(super) fn absorbs(step: &Step) -> bool {
    step.rescue.is_some()
        || step.on_failure.value != OnFailure::Fail
        || (step.retry.is_some() && matches!(step.body, Body::Playbook { .. }))
        || step
            .for_each
            .as_ref()
            .is_some_and(|each| !each.max_failures.is_none())
}

/// The action, or `playbook NAME`.
pub(super) fn label(step: &Step) -> String {
    match &step.body {
        Body::Action { name, .. } => name.value.clone(),
        Body::Playbook { name, .. } => format!("playbook {}", name.value),
    }
}

/// Runs a step that is no `for_each`, or one item. `broken`: why it cannot even be tried.
pub(super) async fn run_unit<'s>(
    run: &'s Run<'s>,
    scope: &'s Scope<'s>,
    step: &'s Step,
    path: StepPath,
    item: Option<&'s Value>,
    broken: Option<Failure>,
) -> UnitEnd {
    let names = ScopeNames {
        item: item.or(scope.item),
        ..ScopeNames::of(run, scope)
    };
    let work = match broken {
        Some(failure) => Err(failure),
        None => prepare(run, scope, step, &names),
    };
    if let Err(failure) = &work
        && failure.kind == TroubleKind::Unknown
    {
        return may_run(run, path, failure);
    }
    if !run.was_running(&path) {
        run.shared.emit(Event::StepStarted {
            path: path.clone(),
            action: label(step),
            node: work.as_ref().ok().and_then(Work::node),
            items: None,
            inputs: work.as_ref().ok().and_then(Work::inputs),
        });
    }
    // The steps of a nested playbook are the item's scope; for an action the item has one without steps.
    let own_scope = item.is_some() && !matches!(work, Ok(Work::Playbook(_)));
    if own_scope && !matches!(run.standing(&path), Standing::Open(_)) {
        run.shared.emit(Event::ScopeOpened {
            path: path.clone(),
            kind: ScopeKind::Item,
            steps: Vec::new(),
        });
    }
    let ended = match work {
        Ok(work) => try_until_done(run, scope, step, &path, work, names).await,
        Err(failure) => Ended::Failed(Fault {
            path: path.clone(),
            failure,
        }),
    };
    let (status, outputs, fault, unchanged) = match ended {
        Ended::Done { outputs, unchanged } => (StepStatus::Ok, outputs, None, unchanged),
        Ended::Stopped => stopped(scope, &path),
        Ended::Failed(fault) => match &step.rescue {
            Some(rescue) if may_rescue(run, scope) => {
                Box::pin(run_rescue(run, scope, rescue, &path, names.item, fault)).await
            }
            _ => (StepStatus::Failed, Map::new(), Some(fault), false),
        },
    };
    if own_scope {
        run.shared.emit(Event::ScopeClosed {
            path: path.clone(),
            ok: fault.is_none(),
            failure: None,
            at: None,
            cancelled: false,
        });
    }
    let end = unsure(run, &path, UnitEnd { status, fault });
    run.shared.emit(Event::StepEnded {
        at: end.fault.as_ref().and_then(|fault| fault.below(&path)),
        path,
        status: end.status,
        outputs,
        failure: end.fault.as_ref().map(|fault| fault.failure.clone()),
        unchanged,
    });
    end
}

type Verdict = (StepStatus, Map, Option<Fault>, bool);

/// A step that was ended from outside.
fn stopped(scope: &Scope<'_>, path: &StepPath) -> Verdict {
    let stop = scope.control.stop();
    let status = match &stop {
        Stop::Cancelled => StepStatus::Cancelled,
        Stop::Expired(_) => StepStatus::Failed,
    };
    let fault = Fault {
        path: path.clone(),
        failure: stop.failure(),
    };
    (status, Map::new(), Some(fault), false)
}

/// A run without a journal has no right to a rescue. (What was cancelled or ran out of time never gets here: it was
/// stopped, it did not fail.)
fn may_rescue(run: &Run<'_>, scope: &Scope<'_>) -> bool {
    scope.control.after || run.shared.broken().is_none()
}

async fn run_rescue<'s>(
    run: &'s Run<'s>,
    scope: &'s Scope<'s>,
    rescue: &'s Block,
    path: &StepPath,
    item: Option<&'s Value>,
    mut fault: Fault,
) -> Verdict {
    let error = error_names(&fault.path.0, &fault.failure);
    let control = scope
        .control
        .within(true, scope.playbook.defaults.max_parallel);
    let mut inside = scope.beside(
        path.rescue(),
        ScopeKind::Rescue,
        rescue,
        Some(error),
        control,
    );
    inside.item = item;
    let budget = rescue.timeout.unwrap_or(DEFAULT_BUDGET);
    let end = run_block(run, &inside, Some(budget)).await;
    let second = match end.fault {
        Some(second) => second,
        None if end.cancelled => return stopped(scope, path),
        None => match outputs(by_name!(rescue.outputs), &ScopeNames::of(run, &inside)) {
            Ok(outputs) => return (StepStatus::Rescued, outputs, None, false),
            Err(failure) => Fault {
                path: inside.path.clone(),
                failure,
            },
        },
    };
    fault.failure.message = format!(
        "{}; its rescue failed too: `{}`: {}",
        fault.failure.message, second.path, second.failure.message
    );
    let decisive = Fault::decisive(Some(fault.clone()), second);
    fault.failure.consequence = decisive.failure.consequence;
    (StepStatus::Failed, Map::new(), Some(fault), false)
}
