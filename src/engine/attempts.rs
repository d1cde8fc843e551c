//! A step's attempts: one after the other until one succeeds or there are no more.

use super::attempt::{ActionWork, Memory};
use super::names::{ScopeNames, error_names};
use super::nested::PlaybookWork;
use super::retry::{Decision, Failed, decide};
use super::scope::{Fault, Run, Scope};
use super::step::holds;
use super::{Event, Failure, Inputs, StepPath};
use crate::playbook::{Body, Map, Retry, Step, TroubleKind, format_duration};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What is recorded as the limit of a nested playbook that nothing bounds but its own steps.
const UNBOUNDED: Duration = Duration::from_hours(24);

/// What a step does, ready to be tried.
pub(super) enum Work<'s> {
    Action(ActionWork),
    Playbook(PlaybookWork<'s>),
}

impl Work<'_> {
    /// The node that it is for.
    pub(super) fn node(&self) -> Option<String> {
        match self {
            Self::Action(work) => work.inputs.node.clone(),
            Self::Playbook(_) => None,
        }
    }

    /// What its action is given.
    pub(super) fn inputs(&self) -> Option<Arc<Inputs>> {
        match self {
            Self::Action(work) => Some(Arc::clone(&work.inputs)),
            Self::Playbook(_) => None,
        }
    }

    fn limit(&self) -> Option<Duration> {
        match self {
            Self::Action(work) => Some(work.limit),
            Self::Playbook(work) => work.limit(),
        }
    }
}

/// How one attempt ended.
pub(super) enum Tried {
    Done {
        outputs: Map,
        unchanged: bool,
    },
    Failed(Fault),
    /// The scope was ended around it.
    Stopped,
}

/// How all attempts ended.
pub(super) enum Ended {
    Done {
        outputs: Map,
        unchanged: bool,
    },
    Failed(Fault),
    /// The scope was ended around them.
    Stopped,
}

/// Tries until it is done, until `retry` has no more attempts, or until the scope is ended.
pub(super) async fn try_until_done<'s>(
    run: &'s Run<'s>,
    scope: &'s Scope<'s>,
    step: &'s Step,
    path: &StepPath,
    work: Work<'s>,
    names: ScopeNames<'s>,
) -> Ended {
    let retry = match step.body {
        Body::Action { .. } => step
            .retry
            .as_ref()
            .or(scope.playbook.defaults.retry.as_ref()),
        // Defaults are meant for actions; a whole playbook is tried again only where the step itself says so.
        Body::Playbook { .. } => step.retry.as_ref(),
    };
    let before = run.tries(path);
    let stopped = scope.control.token.is_cancelled();
    if let Some(over) = before.as_ref().and_then(|tries| tries.over(stopped)) {
        return over;
    }
    let clock = Clock {
        before: before.as_ref().map_or(Duration::ZERO, |tries| tries.spent),
        begun: Instant::now(),
    };
    let mut memory = Memory::default();
    let mut first = 1;
    if let Some(tries) = before {
        memory.continued = tries.attempting;
        first = tries.attempts + u32::from(!tries.attempting);
        if let Some((_, Some(wait))) = tries.failed
            && !pause(scope, wait).await
        {
            return Ended::Stopped;
        }
    }
    for attempt in first.. {
        let left = retry
            .and_then(|retry| retry.within)
            .map(|within| whole_millis(within.saturating_sub(clock.spent())));
        let limit = [work.limit(), left].into_iter().flatten().min();
        if !memory.continued {
            run.shared.emit(Event::AttemptStarted {
                path: path.clone(),
                attempt,
                limit_ms: millis(limit.unwrap_or(UNBOUNDED)),
            });
        }
        let tried = match &work {
            Work::Action(work) => {
                let limit = limit.unwrap_or(work.limit);
                work.attempt(run, scope, path, attempt, limit, &mut memory)
                    .await
            }
            Work::Playbook(work) => Box::pin(work.attempt(run, scope, step, path, limit)).await,
        };
        let (fault, worth) = match tried {
            Tried::Done { outputs, unchanged } => match unmet(step, &outputs, names) {
                None => return Ended::Done { outputs, unchanged },
                Some((failure, worth)) => {
                    let path = path.clone();
                    (Fault { path, failure }, worth)
                }
            },
            // A doubt that nothing can settle is not tried again, whatever `retry.if` says.
            Tried::Failed(fault) => (fault, !memory.blind),
            Tried::Stopped => {
                let failure = scope.control.stop().failure();
                let path = path.clone();
                failed(run, &path.clone(), attempt, &Fault { path, failure }, None);
                return Ended::Stopped;
            }
        };
        memory.continued = false;
        if scope.control.token.is_cancelled() {
            failed(run, path, attempt, &fault, None);
            return Ended::Stopped;
        }
        let retry = retry.filter(|_| worth && run.shared.broken().is_none());
        let decision = next(run, step, retry, attempt, &fault, clock.spent(), names);
        let wait = match decision {
            Ok(Decision::Again(wait)) => wait,
            Ok(Decision::Enough) => {
                let fault = memory.decisive(fault);
                failed(run, path, attempt, &fault, None);
                return Ended::Failed(fault);
            }
            Err(failure) => {
                let fault = Fault { failure, ..fault };
                failed(run, path, attempt, &fault, None);
                return Ended::Failed(fault);
            }
        };
        failed(run, path, attempt, &fault, Some(wait));
        if !pause(scope, wait).await {
            return Ended::Stopped;
        }
    }
    // Attempts are counted in 32 bits; nobody waits that long.
    Ended::Stopped
}

/// How long a step's attempts have taken, under all its runners.
struct Clock {
    before: Duration,
    begun: Instant,
}

impl Clock {
    fn spent(&self) -> Duration {
        self.before + self.begun.elapsed()
    }
}

/// Waits before the next attempt; false when the scope is ended meanwhile.
async fn pause(scope: &Scope<'_>, wait: Duration) -> bool {
    tokio::select! {
        biased;
        () = scope.control.token.cancelled() => false,
        () = tokio::time::sleep(wait) => true,
    }
}

/// What follows a failure; an error when `retry.if` has no answer.
fn next(
    run: &Run<'_>,
    step: &Step,
    retry: Option<&Retry>,
    attempt: u32,
    fault: &Fault,
    spent: Duration,
    names: ScopeNames<'_>,
) -> Result<Decision, Failure> {
    let mut condition = None;
    if let Some(expression) = retry.and_then(|retry| retry.condition.as_ref()) {
        let error = error_names(&fault.path.0, &fault.failure);
        let names = ScopeNames {
            error: Some(&error),
            ..names
        };
        let answer = holds(expression, &names).map_err(|broken| Failure {
            message: format!(
                "{}; and `retry.if` has no answer: {}",
                fault.failure.message, broken.message
            ),
            ..fault.failure.clone()
        })?;
        condition = Some(answer);
    }
    let failed = Failed {
        attempt,
        kind: fault.failure.kind,
        consequence: fault.failure.consequence,
        condition,
        spent,
        random: random(run.seed, step.id.value.as_str(), &fault.path, attempt),
    };
    Ok(decide(retry, failed))
}

/// Why a verified attempt is not enough, and whether another may help.
fn unmet(step: &Step, outputs: &Map, names: ScopeNames<'_>) -> Option<(Failure, bool)> {
    let until = step.until.as_ref()?;
    let names = ScopeNames {
        result: Some(outputs),
        ..names
    };
    match holds(until, &names) {
        Ok(true) => None,
        Ok(false) => {
            let message = format!("everything worked, but `{}` does not hold yet", until.text);
            Some((Failure::new(TroubleKind::Unmet, message), true))
        }
        // A preview cannot know the result: it is taken to be as it should.
        Err(broken) if broken.kind == TroubleKind::Unknown => None,
        Err(broken) => Some((broken, false)),
    }
}

fn failed(run: &Run<'_>, path: &StepPath, attempt: u32, fault: &Fault, wait: Option<Duration>) {
    if let Some(wait) = wait {
        tracing::debug!(%path, attempt, wait = %format_duration(wait), "trying again");
    }
    run.shared.emit(Event::AttemptFailed {
        path: path.clone(),
        attempt,
        failure: fault.failure.clone(),
        retry_in_ms: wait.map(millis),
        at: fault.below(path),
    });
}

/// Rounded up, so that a message has no fractions of a millisecond.
fn whole_millis(duration: Duration) -> Duration {
    Duration::from_millis(
        u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX),
    )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A number between 0 and 1 that depends on the seed, the place and the attempt alone, so that a run can be replayed
/// however its steps interleave.
fn random(seed: u64, id: &str, path: &StepPath, attempt: u32) -> f64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in id.bytes().chain(path.0.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let place = hash ^ u64::from(attempt).rotate_left(32);
    let mut generator = ChaCha8Rng::seed_from_u64(seed ^ place);
    f64::from(generator.next_u32()) / f64::from(u32::MAX)
}
