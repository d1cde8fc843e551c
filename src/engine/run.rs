//! The engine.

use super::control::Control;
use super::names::{Base, ScopeNames};
use super::nested::{both, run_beside};
use super::outcome::{Facts, outcome};
use super::past::{Past, Unresumable};
use super::prepare::{by_name, lenient_outputs};
use super::requests::Requests;
use super::scope::{Fault, Run, Scope, ScopeEnd, run_block};
use super::shared::{Shared, journal_lost};
use super::undo::{left_behind, undo_all};
use super::writer::{Lost, write};
use super::{
    Actions, Consequence, Envelope, Event, Failure, Held, Inbox, Outcome, Pins, Recorder, RunId,
    ScopeKind, StepPath, StepStatus,
};
use crate::playbook::{Checked, Map, TroubleKind, Value};
use std::mem::take;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What is needed to run playbooks. Made once, used for any number of runs.
pub struct Engine {
    /// What steps do.
    pub actions: Arc<dyn Actions>,
    /// Where events are kept.
    pub recorder: Arc<dyn Recorder>,
}

/// One run, all decided but under way.
pub struct Request {
    /// Its id.
    pub run: RunId,
    /// The wall-clock time of its start: `run.started`. The engine itself asks no clock but tokio's.
    pub started: jiff::Timestamp,
    /// The playbook, checked.
    pub playbook: Checked,
    /// The cluster's name.
    pub cluster_name: String,
    /// Parameters as bound.
    pub params: Map,
    /// `site.vars`.
    pub site_vars: Map,
    /// `cluster`: inventory and facts pinned at the start.
    pub cluster: Map,
    /// `run.trigger`.
    pub trigger: String,
    /// `trigger`: the payload.
    pub trigger_payload: Map,
    /// The seed of everything random.
    pub seed: u64,
    /// Whether actions are asked for a plan before they apply: a preview lives of it. A live run does without, for a plan
    /// costs questions while servers wait, and every intent tells exactly what is done.
    pub forecast: bool,
    /// Whether `assume` of own steps is looked at: where they are not executed.
    pub suppose: bool,
    /// What a resume needs besides; none for a run that nobody will resume.
    pub pins: Option<Arc<Pins>>,
    /// The right to have effects; none for a playbook that only reads.
    pub lease: Option<Arc<dyn Held>>,
    /// Asks to cancel. The engine decides whether it does.
    pub cancel: CancellationToken,
    /// Where people write to this run; none where nobody can, and then every question counts as approved.
    pub inbox: Option<Arc<dyn Inbox>>,
    /// Who watches. Every event arrives here after it was recorded.
    pub observers: Vec<mpsc::UnboundedSender<Arc<Envelope>>>,
}

/// Who goes on with a run, and when.
#[derive(Debug, Clone)]
pub struct Resume {
    /// Host name and process id.
    pub runner: String,
    /// Wall-clock time.
    pub at: jiff::Timestamp,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// How.
    pub outcome: Outcome,
    /// The failure that decided it.
    pub failure: Option<Failure>,
    /// The step or item whose failure it was; none where it was the run's own.
    pub at: Option<StepPath>,
    /// Its outputs.
    pub outputs: Map,
    /// What is left to do.
    pub debts: Vec<String>,
}

impl Report {
    /// The event that ends the run.
    pub fn event(&self) -> Event {
        Event::RunEnded {
            outcome: self.outcome,
            failure: self.failure.clone(),
            at: self.at.clone(),
            outputs: self.outputs.clone(),
            debts: self.debts.clone(),
        }
    }
}

impl Engine {
    /// Runs to the end. Never panics on what a playbook, an action or the recorder does. Must be called on a tokio
    /// runtime; dropping the future gives the run up where it stands.
    pub async fn run(&self, request: Request) -> Report {
        self.conduct(request, Past::default(), None).await
    }

    /// Goes on with a run whose runner died: `events` are all that it recorded, and `request` is what it was started
    /// with, under a lease of its own. Time that was spent counts on, the time without a runner does not.
    pub async fn resume(
        &self,
        request: Request,
        events: &[Envelope],
        resume: Resume,
    ) -> Result<Report, Unresumable> {
        let past = Past::of(events)?;
        Ok(self.conduct(request, past, Some(resume)).await)
    }

    async fn conduct(&self, mut request: Request, past: Past, resume: Option<Resume>) -> Report {
        let (writer, entries) = mpsc::unbounded_channel();
        let lost = Lost::default();
        let writing = tokio::spawn(write(
            Arc::clone(&self.recorder),
            request.run.clone(),
            entries,
            request.observers.clone(),
            lost.clone(),
        ));
        let undoables = past.undoables(self.actions.as_ref());
        let (run, lease) = (request.run.clone(), request.lease.clone());
        let can_be_asked = request.inbox.is_some();
        let shared = Shared::new(run, lease, writer, lost, past, undoables, can_be_asked);
        let shared = Arc::new(shared);
        let report = conduct(self.actions.as_ref(), &mut request, &shared, resume).await;
        drop(request);
        // The writer ends after the last event, and then the observers see the end too.
        shared.close();
        if let Err(error) = writing.await {
            tracing::error!(%error, "the writer of the journal ended unexpectedly");
        }
        report
    }
}

async fn conduct(
    actions: &dyn Actions,
    request: &mut Request,
    shared: &Arc<Shared>,
    resume: Option<Resume>,
) -> Report {
    let resumed = resume.is_some();
    let first = match resume {
        None => started(request),
        Some(resume) => Event::RunResumed {
            runner: resume.runner,
            at: resume.at.to_string(),
            token: request.lease.as_ref().map(|lease| lease.token()),
        },
    };
    if let Err(error) = shared.emit_synced(first).await {
        return Report {
            outcome: Outcome::Failed,
            failure: Some(journal_lost(&error)),
            at: None,
            outputs: Map::new(),
            debts: Vec::new(),
        };
    }
    let base = base(request);
    let request = &*request;
    let playbook = &*request.playbook.playbook;
    let run = Run {
        actions,
        playbooks: &request.playbook.nested,
        base,
        shared: Arc::clone(shared),
        seed: request.seed,
        forecast: request.forecast,
        suppose: request.suppose,
        resumed,
    };
    let slots = playbook.defaults.max_parallel;
    let control = Control::top(false, slots);
    let top = Scope::of_playbook(
        StepPath::root(),
        ScopeKind::Run,
        playbook,
        Arc::new(request.params.clone()),
        Arc::clone(&control),
        0,
    );
    let budget = playbook.timeout.as_ref().map(|timeout| timeout.value);
    let mut cancel = Requests::to(request, shared);
    if cancel.is_cancelled() {
        control.token.cancel();
    }
    let mut end = cancel
        .watch(run_block(&run, &top, budget), || control.token.cancel())
        .await;
    shared.doom(|| "its steps have ended".to_owned());
    let reached = end.is_ok();
    if !reached {
        end = cancel.watch(make_up_for(&run, &top, end), || {}).await;
    }
    if let Some(finally) = &playbook.finally {
        let path = top.path.playbook_finally();
        let control = Control::top(true, slots);
        let last = run_beside(&run, &top, finally, path, ScopeKind::Finally, None, control);
        let last = cancel.watch(last, || {}).await;
        end = both(end, last, "`finally`");
    }
    close(&run, &top, end, reached).await
}

/// The run has failed or was cancelled: its rescue, then the undo of what it did.
async fn make_up_for(run: &Run<'_>, top: &Scope<'_>, mut end: ScopeEnd) -> ScopeEnd {
    if let Some(rescue) = &top.playbook.rescue {
        let path = top.path.playbook_rescue();
        let control = Control::top(true, top.playbook.defaults.max_parallel);
        let cancelled = end.cancelled.then(|| Fault {
            path: top.path.clone(),
            failure: Failure::new(TroubleKind::Failed, "the run was cancelled"),
        });
        let fault = end.fault.as_ref().or(cancelled.as_ref());
        let second = run_beside(run, top, rescue, path, ScopeKind::Rescue, fault, control).await;
        if end.fault.is_none() {
            end.fault = cancelled.filter(|_| !second.is_ok());
        }
        end = both(end, second, "the rescue");
    }
    if run.shared.read(|s| s.point_of_no_return().is_none()) {
        undo_all(&run.shared).await;
    }
    end
}

/// Says how it ended, in the journal and to the caller.
async fn close(run: &Run<'_>, top: &Scope<'_>, end: ScopeEnd, reached: bool) -> Report {
    let shared = &run.shared;
    let outputs = lenient_outputs(by_name!(top.playbook.outputs), &ScopeNames::of(run, top));
    let lost = shared.lost.why().map(journal_lost);
    let fault = match (end.fault, shared.broken()) {
        (None, Some(failure)) => Some(Fault {
            path: top.path.clone(),
            failure,
        }),
        (fault, _) => fault,
    };
    let (passed, degraded, mut debts, not_run) = {
        let inner = shared.lock();
        let passed =
            inner.state.point_of_no_return().is_some() && (lost.is_none() || inner.passed_for_sure);
        let not_run = not_run(&inner.state);
        (
            passed,
            inner.state.degraded(),
            inner.state.debts().to_vec(),
            not_run,
        )
    };
    let outcome = outcome(Facts {
        failed: fault.as_ref().map(|fault| fault.failure.consequence),
        cancelled: end.cancelled,
        passed,
        only_finally: reached && lost.is_none(),
        degraded,
    });
    if lost.is_some() {
        debts.extend(left_behind(shared));
    }
    if passed && outcome == Outcome::Held && lost.is_none() {
        // Nothing is undone any more: what was done for what did not come stays.
        debts.extend(left_behind(shared));
    }
    if passed && outcome == Outcome::Held && !not_run.is_empty() {
        debts.push(format!("these steps were not run: {}", not_run.join(", ")));
    }
    let at = fault.as_ref().map(|fault| fault.path.clone());
    let report = Report {
        outcome,
        at: at.filter(|path| !path.is_root()),
        failure: fault.map(|fault| decisive(fault, passed && outcome == Outcome::Held)),
        outputs,
        debts,
    };
    match shared.emit_synced(report.event()).await {
        Ok(()) => report,
        Err(error) => unrecorded(report, passed, journal_lost(&error)),
    }
}

/// The end itself could not be written down: nobody may take the run for a success.
fn unrecorded(report: Report, passed: bool, lost: Failure) -> Report {
    let failure = match report.failure {
        Some(mut failure) if !failure.message.contains(&lost.message) => {
            failure.message = format!("{}; and {}", failure.message, lost.message);
            failure
        }
        Some(failure) => failure,
        None => lost,
    };
    let outcome = match report.outcome {
        Outcome::Ok | Outcome::Degraded if passed => Outcome::Held,
        Outcome::Ok | Outcome::Degraded => Outcome::Failed,
        other => other,
    };
    Report {
        outcome,
        failure: Some(failure),
        ..report
    }
}

/// The failure that decided, with the place where it happened, and with advice when a person must go on.
fn decisive(fault: Fault, held: bool) -> Failure {
    let mut failure = fault.failure;
    if !fault.path.is_root() {
        failure.message = format!("step `{}`: {}", fault.path, failure.message);
    }
    if held {
        failure.consequence = Consequence::Hold;
        let advice = "the point of no return has passed, so nothing was undone: put right what \
                      failed, then do the steps that are left";
        failure.help = Some(match failure.help {
            Some(own) => format!("{own}; {advice}"),
            None => advice.to_owned(),
        });
    }
    failure
}

/// The steps of the top level that had no turn.
fn not_run(state: &super::state::RunState) -> Vec<String> {
    let steps = state.scope("").map_or(&[][..], |scope| &scope.steps);
    steps
        .iter()
        .filter(|path| {
            state
                .step(&path.0)
                .is_some_and(|step| step.status == StepStatus::NotRun)
        })
        .map(ToString::to_string)
        .collect()
}

fn started(request: &Request) -> Event {
    let playbook = &request.playbook.playbook;
    Event::RunStarted {
        run: request.run.clone(),
        playbook: playbook.name.value.clone(),
        version: playbook.version.as_ref().map(|v| v.value.clone()),
        cluster: request.cluster_name.clone(),
        trigger: request.trigger.clone(),
        started: request.started.to_string(),
        params: request.params.clone(),
        cluster_facts: request.cluster.clone(),
        seed: request.seed,
        pins: request.pins.clone(),
    }
}

/// Takes its names out of the request: maps of a whole cluster are not copied for nothing.
fn base(request: &mut Request) -> Base {
    let map = |fields: Vec<(&str, Value)>| {
        let fields = fields.into_iter();
        Value::Map(fields.map(|(name, v)| (name.to_owned(), v)).collect())
    };
    Base {
        site: map(vec![("vars", Value::Map(take(&mut request.site_vars)))]),
        cluster: Value::Map(take(&mut request.cluster)),
        run: map(vec![
            ("id", Value::from(request.run.to_string())),
            ("started", Value::from(request.started.to_string())),
            ("trigger", Value::from(request.trigger.as_str())),
        ]),
        trigger: Value::Map(take(&mut request.trigger_payload)),
    }
}
