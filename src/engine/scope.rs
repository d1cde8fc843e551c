//! A scope: the steps of a block, each started as soon as what it needs has ended.

use super::control::{Control, Stop};
pub(super) use super::fault::Fault;
use super::graph::{ById, Graph};
use super::names::Base;
use super::past::Standing;
use super::running::Running;
use super::shared::Shared;
use super::slots::Slots;
use super::step::{StepEnd, run_step};
use super::{Actions, Event, Failure, ScopeKind, SkipReason, StepPath};
use crate::playbook::{Block, Map, Playbook, Step, TroubleKind, Value, format_duration};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The budget of a rescue or finally that says nothing.
pub(super) const DEFAULT_BUDGET: Duration = Duration::from_mins(2);

/// How many steps start before those that are done already are taken note of.
const BURST: usize = 64;

/// How many steps start before others get a turn.
const YIELD: usize = 256;

/// What is the same for all scopes of a run.
pub(super) struct Run<'s> {
    pub(super) actions: &'s dyn Actions,
    pub(super) playbooks: &'s BTreeMap<String, Arc<Playbook>>,
    pub(super) base: Base,
    pub(super) shared: Arc<Shared>,
    pub(super) seed: u64,
    pub(super) forecast: bool,
    pub(super) suppose: bool,
    /// Another runner began it, and died.
    pub(super) resumed: bool,
}

/// A block under way.
pub(super) struct Scope<'s> {
    pub(super) path: StepPath,
    pub(super) kind: ScopeKind,
    pub(super) playbook: &'s Playbook,
    pub(super) block: &'s Block,
    pub(super) params: Arc<Map>,
    /// The scope whose steps are visible too: that of the step or playbook that this one is the rescue or finally of.
    pub(super) outer: Option<&'s Scope<'s>>,
    pub(super) item: Option<&'s Value>,
    pub(super) error: Option<Map>,
    pub(super) control: Arc<Control>,
    /// How many playbooks it is nested in.
    pub(super) depth: usize,
    index: ById<'s>,
}

impl<'s> Scope<'s> {
    /// The steps of a playbook.
    pub(super) fn of_playbook(
        path: StepPath,
        kind: ScopeKind,
        playbook: &'s Playbook,
        params: Arc<Map>,
        control: Arc<Control>,
        depth: usize,
    ) -> Self {
        Self {
            path,
            kind,
            playbook,
            block: &playbook.steps,
            params,
            outer: None,
            item: None,
            error: None,
            control,
            depth,
            index: index(&playbook.steps),
        }
    }

    /// A rescue or finally that belongs to this scope or to a step of it.
    pub(super) fn beside(
        &'s self,
        path: StepPath,
        kind: ScopeKind,
        block: &'s Block,
        error: Option<Map>,
        control: Arc<Control>,
    ) -> Self {
        Self {
            path,
            kind,
            playbook: self.playbook,
            block,
            params: Arc::clone(&self.params),
            outer: Some(self),
            item: self.item,
            error: error.or_else(|| self.error.clone()),
            control,
            depth: self.depth,
            index: index(block),
        }
    }

    /// The step of this id in this scope.
    pub(super) fn step(&self, id: &str) -> Option<&'s Step> {
        self.index.get(id).map(|index| &self.block.steps[*index])
    }
}

fn index(block: &Block) -> ById<'_> {
    let steps = block.steps.iter().enumerate();
    steps
        .map(|(index, step)| (step.id.value.as_str(), index))
        .collect()
}

/// How a scope ended.
pub(super) struct ScopeEnd {
    /// What nothing in it made up for.
    pub(super) fault: Option<Fault>,
    /// It was ended by a cancellation.
    pub(super) cancelled: bool,
}

impl ScopeEnd {
    pub(super) fn is_ok(&self) -> bool {
        self.fault.is_none() && !self.cancelled
    }
}

/// Runs a block to its end. `budget` bounds it: what still runs then is ended.
pub(super) fn run_block<'s>(
    run: &'s Run<'s>,
    scope: &'s Scope<'s>,
    budget: Option<Duration>,
) -> BoxFuture<'s, ScopeEnd> {
    Box::pin(async move {
        let spent = match run.standing(&scope.path) {
            Standing::Closed(end) => return end,
            Standing::Open(spent) => Some(spent),
            Standing::Fresh => {
                let steps = scope.block.steps.iter();
                run.shared.emit(Event::ScopeOpened {
                    path: scope.path.clone(),
                    kind: scope.kind,
                    steps: steps.map(|step| step.id.value.to_string()).collect(),
                });
                None
            }
        };
        let end = match Graph::of(scope.block, &scope.index) {
            Ok(graph) => {
                let mut driver = Driver::new(run, scope, graph);
                if spent.is_some() {
                    driver.take_up();
                }
                driver.drive(budget, spent.unwrap_or_default()).await
            }
            Err(failure) => {
                for step in &scope.block.steps {
                    skip(run, scope, step, SkipReason::Stopping);
                }
                let path = scope.path.clone();
                ScopeEnd {
                    fault: Some(Fault { path, failure }),
                    cancelled: false,
                }
            }
        };
        let fault = end.fault.as_ref();
        run.shared.emit(Event::ScopeClosed {
            path: scope.path.clone(),
            ok: end.is_ok(),
            failure: fault.map(|fault| fault.failure.clone()),
            at: fault.and_then(|fault| fault.below(&scope.path)),
            cancelled: end.cancelled,
        });
        end
    })
}

fn skip(run: &Run<'_>, scope: &Scope<'_>, step: &Step, reason: SkipReason) {
    run.shared.emit(Event::StepSkipped {
        path: scope.path.step(step.id.value.as_str()),
        reason,
    });
}

/// What a scope keeps while it runs.
struct Driver<'s> {
    run: &'s Run<'s>,
    scope: &'s Scope<'s>,
    graph: Graph,
    slots: Slots,
    /// For each step, a step that it needs and that did not end well.
    blocked: Vec<Option<usize>>,
    /// For each step, a step that it needs and of which a preview cannot know whether it runs.
    unsure: Vec<Option<usize>>,
    /// For each step, how it ended under a runner that died.
    before: Vec<Option<StepEnd>>,
    fault: Option<Fault>,
}

impl<'s> Driver<'s> {
    fn new(run: &'s Run<'s>, scope: &'s Scope<'s>, graph: Graph) -> Self {
        Self {
            run,
            scope,
            graph,
            slots: Slots::of(scope.control.slots.as_ref()),
            blocked: vec![None; scope.block.steps.len()],
            unsure: vec![None; scope.block.steps.len()],
            before: Vec::new(),
            fault: None,
        }
    }

    /// Takes the steps that ended under a runner that died as they ended, in that order.
    fn take_up(&mut self) {
        self.before
            .resize_with(self.scope.block.steps.len(), || None);
        for mut end in self.run.ends_before(self.scope) {
            if let Some(fault) = end.fault.take() {
                self.fault = Some(Fault::decisive(self.fault.take(), fault));
            }
            let step = end.step;
            self.before[step] = Some(end);
        }
    }

    /// `spent`: how much of the budget was used before.
    async fn drive(mut self, budget: Option<Duration>, spent: Duration) -> ScopeEnd {
        let (run, scope) = (self.run, self.scope);
        let mut running = Running::new();
        let left = budget.map(|budget| budget.saturating_sub(spent));
        let end = left.map(|left| Instant::now() + left);
        let mut expired = std::pin::pin!(until(end));
        let mut in_time = left != Some(Duration::ZERO) || spent.is_zero();
        if !in_time {
            let failure = out_of_time(scope, budget.unwrap_or_default());
            scope.control.expire(&run.shared, &scope.path, failure);
        }
        let mut started: usize = 0;
        loop {
            let mut more = true;
            while more {
                let mut burst = 0;
                while burst < BURST
                    && let Some((step, slot)) = self.start()
                {
                    running.push(run_step(run, scope, step, slot));
                    burst += 1;
                    started += 1;
                }
                more = burst == BURST;
                // Steps that were done at once make room, in memory too, before the next start.
                while let Some(ended) = running.next().now_or_never() {
                    self.ended(&ended);
                    more = true;
                }
                if started >= YIELD {
                    // Thousands of steps that never wait would keep cancellation and the writer from their turn.
                    started = 0;
                    tokio::task::yield_now().await;
                }
            }
            if running.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                () = &mut expired, if in_time => {
                    in_time = false;
                    let failure = out_of_time(scope, budget.unwrap_or_default());
                    scope.control.expire(&run.shared, &scope.path, failure);
                }
                () = self.slots.granted(), if self.slots.asked() => {}
                ended = running.next() => self.ended(&ended),
            }
        }
        self.close()
    }

    /// The next step that may start now. Steps that cannot start any more are skipped on the way.
    fn start(&mut self) -> Option<(usize, super::slots::Slot)> {
        while let Some(next) = self.graph.peek() {
            let step = &self.scope.block.steps[next];
            if let Some(end) = self.before.get_mut(next).and_then(Option::take) {
                self.graph.take();
                self.ended(&end);
            } else if self.was_running(step) {
                let slot = self.slots.take()?;
                self.graph.take();
                return Some((next, slot));
            } else if let Some(need) = self.blocked[next] {
                let need = &self.scope.block.steps[need].id.value;
                self.pass_over(next, SkipReason::Needs(need.to_string()), Some(next));
            } else if let Some(need) = self.unsure[next] {
                let need = &self.scope.block.steps[need].id.value;
                let why = format!("it needs `{need}`, which may or may not run");
                self.pass_over(next, SkipReason::Unknown(why), None);
            } else if self.scope.control.nothing_new(&self.run.shared) {
                self.pass_over(next, SkipReason::Stopping, None);
            } else {
                // A `for_each` itself does nothing; its items take the places.
                let slot = if step.for_each.is_some() {
                    None
                } else {
                    self.slots.take()?
                };
                self.graph.take();
                return Some((next, slot));
            }
        }
        self.slots.release();
        None
    }

    fn was_running(&self, step: &Step) -> bool {
        self.run.resumed && {
            let path = self.scope.path.step(step.id.value.as_str());
            self.run.was_running(&path)
        }
    }

    fn pass_over(&mut self, step: usize, reason: SkipReason, blocks: Option<usize>) {
        self.graph.take();
        let unsures = matches!(reason, SkipReason::Unknown(_)).then_some(step);
        skip(self.run, self.scope, &self.scope.block.steps[step], reason);
        let (blocked, unsure) = (&mut self.blocked, &mut self.unsure);
        self.graph.ended(step, |next| {
            blocked[next] = blocked[next].or(blocks);
            unsure[next] = unsure[next].or(unsures);
        });
    }

    fn ended(&mut self, end: &StepEnd) {
        let (blocked, unsure) = (&mut self.blocked, &mut self.unsure);
        self.graph.ended(end.step, |next| {
            if !end.satisfied {
                blocked[next].get_or_insert(end.step);
            }
            if end.unsure {
                unsure[next].get_or_insert(end.step);
            }
        });
        if let Some(fault) = &end.fault {
            self.fault = Some(Fault::decisive(self.fault.take(), fault.clone()));
        }
    }

    /// Nothing runs any more and nothing can start.
    fn close(mut self) -> ScopeEnd {
        if self.graph.left() > 0 {
            // The checker refuses such playbooks; here it only must not hang or go unnoticed.
            let path = self.scope.path.clone();
            let left: Vec<&Step> = self.scope.block.steps.iter().collect();
            let pending = |step: &&Step| {
                let path = path.step(step.id.value.as_str());
                self.run.shared.read(|state| {
                    state
                        .step(&path.0)
                        .is_some_and(|s| s.status == super::StepStatus::Pending)
                })
            };
            let left: Vec<&Step> = left.into_iter().filter(pending).collect();
            let names: Vec<&str> = left.iter().map(|step| step.id.value.as_str()).collect();
            let failure = Failure::new(
                TroubleKind::Failed,
                format!("the steps {} wait for each other", names.join(", ")),
            );
            for step in left {
                skip(self.run, self.scope, step, SkipReason::Stopping);
            }
            self.fault = Some(Fault::decisive(self.fault.take(), Fault { path, failure }));
        }
        if !self.scope.control.after
            && let Some(failure) = self.run.shared.broken()
        {
            let path = self.scope.path.clone();
            self.fault = Some(Fault::decisive(self.fault.take(), Fault { path, failure }));
        }
        let mut cancelled = false;
        if self.scope.control.token.is_cancelled() {
            match self.scope.control.stop() {
                Stop::Cancelled => cancelled = true,
                Stop::Expired(failure) => self.fault = Some(self.out_of_time(failure)),
            }
        }
        let fault = self.fault;
        ScopeEnd { fault, cancelled }
    }

    /// The scope's failure when its time, or that of a scope around it, was up.
    fn out_of_time(&mut self, failure: Failure) -> Fault {
        let path = self.scope.path.clone();
        match self.fault.take() {
            // The steps that were ended failed with the scope's own reason: it is told where it belongs.
            Some(ended) if ended.failure == failure && self.scope.control.has_expired() => {
                let message = format!("{}: `{}` was under way", failure.message, ended.path);
                let failure = Failure { message, ..failure };
                Fault { path, failure }
            }
            first => Fault::decisive(first, Fault { path, failure }),
        }
    }
}

/// Ends then, or never.
async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn out_of_time(scope: &Scope<'_>, budget: Duration) -> Failure {
    let what = match scope.kind {
        ScopeKind::Run => "the run".to_owned(),
        _ => format!("`{}`", scope.path),
    };
    Failure::new(
        TroubleKind::Timeout,
        format!("{what} did not end within {}", format_duration(budget)),
    )
}
