//! One attempt of an action: probe, plan, apply, verify, within its limit.

use super::action::{Applied, Inputs, Probe};
use super::attempts::Tried;
use super::effects::{Guard, settle_open};
use super::panic::caught;
use super::past::Inherited;
use super::scope::{Fault, Run, Scope};
use super::shared::Undoable;
use super::{Action, Consequence, Event, Failure, Forecast, StepContext, StepPath, Verdict};
use crate::playbook::{EffectClass, Map, TroubleKind, format_duration};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long an attempt may take to end by itself once it is cancelled.
const GRACE: Duration = Duration::from_secs(5);

/// How long the question may take whether something happened that ran into its limit.
const LAST_LOOK: Duration = Duration::from_secs(10);

/// An action with its inputs.
pub(super) struct ActionWork {
    pub(super) action: Arc<dyn Action>,
    pub(super) inputs: Arc<Inputs>,
    pub(super) limit: Duration,
    pub(super) class: EffectClass,
}

/// What the attempts of one step remember of each other.
#[derive(Default)]
pub(super) struct Memory {
    /// `apply` was done, with these outputs.
    applied: Option<Map>,
    /// It ended in doubt, and there is no probe that could settle it: it is not tried again.
    pub(super) blind: bool,
    /// The attempt under way was begun by a runner that died.
    pub(super) continued: bool,
    /// That runner left an effect open, and no probe has settled yet what became of it.
    in_doubt: bool,
}

impl Memory {
    /// The failure that no other attempt follows. Where nobody could tell what became of an effect whose runner died, a
    /// person must.
    pub(super) fn decisive(&self, mut fault: Fault) -> Fault {
        if self.in_doubt && fault.failure.consequence == Consequence::Fail {
            fault.failure.consequence = Consequence::Hold;
            fault.failure.help.get_or_insert_with(|| {
                "the runner died while this was under way: find out what happened, then finish by hand"
                    .to_owned()
            });
        }
        fault
    }
}

/// Outputs, and whether there was nothing to do.
type Reached = Result<(Map, bool), Failure>;

/// Why an attempt was dropped.
enum Cut {
    Limit,
    Stopped,
}

impl ActionWork {
    /// Tries once. Whatever happens, no effect of the attempt is open afterwards and none can begin.
    pub(super) async fn attempt(
        &self,
        run: &Run<'_>,
        scope: &Scope<'_>,
        path: &StepPath,
        attempt: u32,
        limit: Duration,
        memory: &mut Memory,
    ) -> Tried {
        let inherited = memory.continued.then(|| run.inherited(path));
        memory.in_doubt |= inherited.as_ref().is_some_and(|inherited| inherited.open);
        let before = match &inherited {
            Some(inherited) => inherited.since,
            None => run.shared.read(|state| state.effects_of(&path.0)),
        };
        let over = scope.control.token.child_token();
        let below = inherited.as_ref().map(|inherited| inherited.below);
        let context = self.context(run, scope, path, (attempt, limit), &over, below);
        let end = {
            let work = self.work(run, &context, memory, inherited.as_ref());
            let mut work = std::pin::pin!(work);
            tokio::select! {
                biased;
                end = tokio::time::timeout_at(context.deadline, &mut work) => {
                    end.map_err(|_| Cut::Limit)
                }
                // `over` is a child of the scope's token: the action was told already.
                () = over.cancelled() => {
                    let grace = context.deadline.min(Instant::now() + GRACE);
                    tokio::time::timeout_at(grace, work).await.map_err(|_| Cut::Stopped)
                }
            }
        };
        over.cancel();
        let stopped = scope.control.token.is_cancelled();
        let end = match end {
            Ok(end) => {
                settle_open(
                    &run.shared,
                    path,
                    "the action ended without saying how this ended",
                );
                end
            }
            Err(cut) => {
                settle_open(
                    &run.shared,
                    path,
                    "it was given up while this was under way",
                );
                match cut {
                    Cut::Stopped => return Tried::Stopped,
                    Cut::Limit if stopped => return Tried::Stopped,
                    Cut::Limit => {
                        self.last_look(run, scope, path, attempt, limit, before)
                            .await
                    }
                }
            }
        };
        match end {
            Ok((outputs, satisfied)) => Tried::Done {
                outputs,
                unchanged: satisfied && !run.shared.read(|s| s.has_changed(&path.0)),
            },
            Err(_) if stopped => Tried::Stopped,
            Err(failure) => Tried::Failed(Fault {
                path: path.clone(),
                failure,
            }),
        }
    }

    fn context(
        &self,
        run: &Run<'_>,
        scope: &Scope<'_>,
        path: &StepPath,
        (attempt, limit): (u32, Duration),
        over: &CancellationToken,
        inherited: Option<usize>,
    ) -> StepContext {
        let guard = Guard {
            inherited,
            class: self.class,
            shared: Arc::clone(&run.shared),
            path: path.clone(),
            control: Some(Arc::clone(&scope.control)),
            over: over.clone(),
            undoable: Undoable {
                action: Arc::clone(&self.action),
                inputs: Arc::clone(&self.inputs),
                limit: self.limit,
            },
        };
        StepContext {
            path: path.clone(),
            run: run.shared.run.clone(),
            attempt,
            inputs: Arc::clone(&self.inputs),
            limit,
            deadline: Instant::now() + limit,
            cancel: over.clone(),
            effects: Arc::new(guard),
        }
    }

    async fn work(
        &self,
        run: &Run<'_>,
        context: &StepContext,
        memory: &mut Memory,
        inherited: Option<&Inherited>,
    ) -> Reached {
        let found = self.probe(context).await;
        memory.in_doubt &= matches!(found, Probe::Conflict(_) | Probe::Unknown(_));
        match found {
            Probe::Satisfied(outputs, why) => {
                settle_open(
                    &run.shared,
                    &context.path,
                    "its runner died while this was under way; what it is for is found done",
                );
                probed(run, context, Verdict::Satisfied, why, Vec::new());
                self.verify(context, outputs).await.map(|o| (o, true))
            }
            Probe::Needed(why) | Probe::Blind(why) => {
                if self.class == EffectClass::Once {
                    // It has been done; only the evidence is missing.
                    if let Some(outputs) = memory.applied.clone() {
                        probed(run, context, Verdict::Needed, why, Vec::new());
                        return self.verify(context, outputs).await.map(|o| (o, false));
                    }
                    let again = inherited.is_some_and(|inherited| inherited.repeatable);
                    if !again && run.shared.read(|s| s.has_changed(&context.path.0)) {
                        probed(run, context, Verdict::Needed, why.clone(), Vec::new());
                        return Err(perhaps_done(&why));
                    }
                }
                let plan = if run.forecast {
                    caught("`plan`", self.action.plan(context))
                        .await
                        .unwrap_or_default()
                } else {
                    Vec::new()
                };
                probed(run, context, Verdict::Needed, why, plan);
                let outputs = self.apply(run, context, memory).await?;
                memory.applied = Some(outputs.clone());
                self.verify(context, outputs).await.map(|o| (o, false))
            }
            Probe::Conflict(failure) => {
                let why = failure.message.clone();
                probed(run, context, Verdict::Conflict, why, Vec::new());
                Err(in_conflict(failure))
            }
            Probe::Unknown(failure) => {
                let why = failure.message.clone();
                probed(run, context, Verdict::Unknown, why, Vec::new());
                Err(failure)
            }
        }
    }

    /// Applies; when it cannot be told how that ended, the probe decides.
    async fn apply(
        &self,
        run: &Run<'_>,
        context: &StepContext,
        memory: &mut Memory,
    ) -> Result<Map, Failure> {
        let applied = caught("`apply`", self.action.apply(context)).await;
        let applied = applied.unwrap_or_else(Applied::Unknown);
        let doubt = match applied {
            Applied::Done(outputs) => return Ok(outputs),
            Applied::Failed(failure) => return Err(failure),
            Applied::Unknown(doubt) => doubt,
        };
        settle_open(&run.shared, &context.path, &doubt.message);
        match self.look_again(run, context).await {
            Probe::Satisfied(outputs, _) => Ok(outputs),
            Probe::Needed(why) | Probe::Blind(why) if self.class == EffectClass::Once => {
                let mut failure = perhaps_done(&why);
                failure.message = format!("{}; {}", doubt.message, failure.message);
                Err(failure)
            }
            Probe::Needed(why) => Err(unknown(doubt, &format!("it did not happen: {why}"))),
            Probe::Blind(why) => {
                memory.blind = true;
                Err(unknown(
                    doubt,
                    &format!("nobody can tell whether it happened: {why}"),
                ))
            }
            Probe::Conflict(found) | Probe::Unknown(found) => {
                let mut failure = unknown(doubt, &found.message);
                if found.consequence != Consequence::Fail {
                    failure.consequence = found.consequence;
                }
                failure.help = failure.help.or(found.help);
                Err(failure)
            }
        }
    }

    /// An attempt ran into its limit. If it began an effect, whether that happened is asked once more.
    async fn last_look(
        &self,
        run: &Run<'_>,
        scope: &Scope<'_>,
        path: &StepPath,
        attempt: u32,
        limit: Duration,
        before: usize,
    ) -> Reached {
        let node = self.inputs.node.as_ref();
        let node = node.map(|node| format!("{node}: ")).unwrap_or_default();
        let mut failure = Failure::new(
            TroubleKind::Timeout,
            format!("{node}not done within {}", format_duration(limit)),
        );
        if !run.shared.read(|s| s.is_uncertain(&path.0, before)) {
            return Err(failure);
        }
        let over = scope.control.token.child_token();
        let context = self.context(run, scope, path, (attempt, LAST_LOOK), &over, None);
        let look = async {
            match self.look_again(run, &context).await {
                Probe::Satisfied(outputs, _) => Ok(self.verify(&context, outputs).await),
                other => Err(other),
            }
        };
        let found = tokio::select! {
            biased;
            found = tokio::time::timeout_at(context.deadline, look) => found.ok(),
            () = over.cancelled() => None,
        };
        over.cancel();
        let what = match found {
            Some(Ok(Ok(outputs))) => return Ok((outputs, false)),
            Some(Ok(Err(unverified))) => {
                format!("it happened, but without evidence: {}", unverified.message)
            }
            Some(Err(Probe::Needed(why) | Probe::Blind(why)))
                if self.class == EffectClass::Once =>
            {
                let held = perhaps_done(&why);
                failure.consequence = held.consequence;
                failure.help = held.help;
                held.message
            }
            Some(Err(Probe::Needed(why))) => format!("it did not happen: {why}"),
            Some(Err(Probe::Blind(why))) => {
                format!("nobody can tell whether it happened: {why}")
            }
            Some(Err(Probe::Conflict(found) | Probe::Unknown(found))) => {
                format!("nobody can tell whether it happened: {}", found.message)
            }
            Some(Err(Probe::Satisfied(..))) | None => {
                "nobody can tell whether it happened".to_owned()
            }
        };
        failure.message = format!("{}; {what}", failure.message);
        Err(failure)
    }

    async fn probe(&self, context: &StepContext) -> Probe {
        caught("`probe`", self.action.probe(context))
            .await
            .unwrap_or_else(Probe::Unknown)
    }

    /// Probes in the middle of an attempt, and writes down what it said.
    async fn look_again(&self, run: &Run<'_>, context: &StepContext) -> Probe {
        let found = self.probe(context).await;
        let (verdict, why) = match &found {
            Probe::Satisfied(_, why) => (Verdict::Satisfied, why),
            Probe::Needed(why) | Probe::Blind(why) => (Verdict::Needed, why),
            Probe::Conflict(failure) => (Verdict::Conflict, &failure.message),
            Probe::Unknown(failure) => (Verdict::Unknown, &failure.message),
        };
        probed(run, context, verdict, why.clone(), Vec::new());
        found
    }

    async fn verify(&self, context: &StepContext, outputs: Map) -> Result<Map, Failure> {
        caught("`verify`", self.action.verify(context, outputs)).await?
    }
}

fn probed(
    run: &Run<'_>,
    context: &StepContext,
    verdict: Verdict,
    why: String,
    forecast: Vec<Forecast>,
) {
    run.shared.emit(Event::Probed {
        path: context.path.clone(),
        verdict,
        why,
        forecast,
    });
}

/// What must not be done twice was perhaps done.
fn perhaps_done(why: &str) -> Failure {
    Failure {
        kind: TroubleKind::Unknown,
        message: format!(
            "it was perhaps done and must not be done twice, so it is not tried again: {why}"
        ),
        help: Some("find out whether it happened, then finish by hand".to_owned()),
        consequence: Consequence::Hold,
    }
}

/// It was sent, and what the probe found does not settle it.
fn unknown(doubt: Failure, found: &str) -> Failure {
    Failure {
        kind: TroubleKind::Unknown,
        message: format!("{}; {found}", doubt.message),
        ..doubt
    }
}

/// A conflict is one whatever the action called it; only a refusal stays one.
fn in_conflict(failure: Failure) -> Failure {
    let kind = match failure.kind {
        TroubleKind::Denied => TroubleKind::Denied,
        _ => TroubleKind::Conflict,
    };
    Failure { kind, ..failure }
}
