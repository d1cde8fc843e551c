//! Everything that a run's events tell, in the order in which a reader asks for it.

use crate::cli::console::{Entry, View};
use crate::engine::{Envelope, Event, Failure, Forecast, Inputs, StepPath, UndoStatus, Verdict};
use crate::playbook::Map;
use std::collections::HashMap;
use std::sync::Arc;

/// A run as its journal has it; it may be under way still.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// The tree of its steps, its decisions and its end.
    pub(super) view: View,
    /// What it was started with.
    pub(super) start: Start,
    /// Who went on with it.
    pub(super) resumed: Vec<Resumed>,
    /// What was done or tried, in order.
    pub(super) effects: Vec<Effect>,
    /// The run's outputs.
    pub(super) outputs: Map,
    details: HashMap<StepPath, Detail>,
    undoing: Option<StepPath>,
}

/// What a run was started with.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// What started it.
    pub(super) trigger: String,
    /// When, as the journal has it.
    pub(super) at: String,
    /// Parameters; secrets are references.
    pub(super) params: Map,
    /// The facts of the cluster.
    pub(super) facts: Map,
}

/// A runner died and another one went on.
#[derive(Debug)]
pub(super) struct Resumed {
    /// Who.
    pub(super) runner: String,
    /// The wall-clock time.
    pub(super) at: String,
    /// The time of the run.
    pub(super) at_ms: f64,
    /// When the one before was last heard.
    pub(super) since_ms: f64,
}

/// What the tree does not hold of a step.
#[derive(Debug, Default)]
pub(super) struct Detail {
    pub(super) attempts: Vec<Attempt>,
    pub(super) probes: Vec<(Verdict, String)>,
    pub(super) inputs: Option<Arc<Inputs>>,
    pub(super) outputs: Map,
    /// Whether something was taken back, and what.
    pub(super) undone: Vec<(UndoStatus, String)>,
}

/// One attempt of a step.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) number: u32,
    pub(super) limit_ms: u64,
    pub(super) started_ms: f64,
    /// None while it is under way.
    pub(super) ended_ms: Option<f64>,
    pub(super) failure: Option<Failure>,
    /// When the next one was due.
    pub(super) again_ms: Option<f64>,
    /// Its runner died meanwhile.
    pub(super) lost: bool,
}

/// Something with an effect.
#[derive(Debug)]
pub(super) struct Effect {
    pub(super) path: StepPath,
    pub(super) number: u64,
    pub(super) forecast: Forecast,
    /// It was the point of no return.
    pub(super) last: bool,
    /// It takes something back.
    pub(super) undo: bool,
    pub(super) started_ms: f64,
    pub(super) ended_ms: Option<f64>,
    /// `done`, `failed` or `unknown`; none while nobody said so.
    pub(super) outcome: Option<String>,
    pub(super) failure: Option<Failure>,
}

impl Effect {
    /// How it ended, in a word or two.
    pub(super) fn word(&self) -> &str {
        self.outcome
            .as_deref()
            .unwrap_or("nobody said how it ended")
    }
}

impl Record {
    /// Reads a run.
    pub(crate) fn of(events: &[Envelope]) -> Self {
        let mut record = Self::default();
        for envelope in events {
            record.apply(envelope);
        }
        record
    }

    fn apply(&mut self, envelope: &Envelope) {
        let at = envelope.at_ms;
        match &envelope.event {
            Event::RunStarted {
                trigger,
                started,
                params,
                cluster_facts,
                ..
            } => {
                self.start = Start {
                    trigger: trigger.clone(),
                    at: started.clone(),
                    params: params.clone(),
                    facts: cluster_facts.clone(),
                };
            }
            Event::RunResumed {
                runner, at: clock, ..
            } => self.resume(runner, clock, at),
            Event::EffectIntended {
                path,
                effect,
                forecast,
                point_of_no_return,
            } => self.effects.push(Effect {
                path: path.clone(),
                number: *effect,
                forecast: forecast.clone(),
                last: *point_of_no_return,
                undo: self.undoing.as_ref() == Some(path),
                started_ms: at,
                ended_ms: None,
                outcome: None,
                failure: None,
            }),
            Event::EffectSettled {
                effect,
                outcome,
                failure,
                ..
            } => {
                if let Some(known) = self.effects.iter_mut().rfind(|e| e.number == *effect) {
                    known.ended_ms = Some(at);
                    known.outcome = Some(outcome.clone());
                    known.failure.clone_from(failure);
                }
            }
            Event::UndoStarted { path } => self.undoing = Some(path.clone()),
            Event::UndoEnded { path, status, what } => {
                self.undoing = None;
                self.detail(path).undone.push((*status, what.clone()));
            }
            Event::RunEnded { outputs, .. } => self.outputs = outputs.clone(),
            event => self.apply_to_step(event, at),
        }
        self.view.apply(envelope);
    }

    fn apply_to_step(&mut self, event: &Event, at: f64) {
        match event {
            Event::StepStarted { path, inputs, .. } => {
                self.detail(path).inputs.clone_from(inputs);
            }
            Event::AttemptStarted {
                path,
                attempt,
                limit_ms,
            } => self.detail(path).attempts.push(Attempt {
                number: *attempt,
                limit_ms: *limit_ms,
                started_ms: at,
                ended_ms: None,
                failure: None,
                again_ms: None,
                lost: false,
            }),
            Event::AttemptFailed {
                path,
                failure,
                retry_in_ms,
                ..
            } => {
                if let Some(open) = self.detail(path).open() {
                    open.ended_ms = Some(at);
                    open.failure = Some(failure.clone());
                    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
                    let again = retry_in_ms.map(|wait| at + wait as f64);
                    open.again_ms = again;
                }
            }
            Event::Probed {
                path, verdict, why, ..
            } => self.detail(path).probes.push((*verdict, why.clone())),
            Event::StepEnded { path, outputs, .. } => {
                let detail = self.detail(path);
                detail.outputs = outputs.clone();
                if let Some(open) = detail.open() {
                    open.ended_ms = Some(at);
                }
            }
            _ => {}
        }
    }

    /// What was under way when its runner died has no end of its own.
    fn resume(&mut self, runner: &str, clock: &str, at: f64) {
        let since_ms = self.view.now_ms;
        for detail in self.details.values_mut() {
            if let Some(open) = detail.open() {
                open.ended_ms = Some(since_ms);
                open.lost = true;
            }
        }
        self.resumed.push(Resumed {
            runner: runner.to_owned(),
            at: clock.to_owned(),
            at_ms: at,
            since_ms,
        });
    }

    fn detail(&mut self, path: &StepPath) -> &mut Detail {
        self.details.entry(path.clone()).or_default()
    }

    /// What the tree does not hold of a step; nothing for one that never had a turn.
    pub(super) fn about(&self, path: &StepPath) -> Option<&Detail> {
        self.details.get(path)
    }

    /// The effects of a step itself, in order.
    pub(super) fn effects_of(&self, path: &StepPath) -> impl Iterator<Item = &Effect> {
        self.effects.iter().filter(move |e| e.path == *path)
    }

    /// All lines of the tree from top to bottom, each with its depth.
    pub(super) fn lines(&self) -> Vec<(usize, &Entry)> {
        let mut lines = Vec::new();
        let mut open: Vec<(usize, usize)> = self.view.roots.iter().rev().map(|r| (0, *r)).collect();
        while let Some((depth, place)) = open.pop() {
            let entry = &self.view.entries[place];
            lines.push((depth, entry));
            let below = entry.children.iter().rev();
            open.extend(below.map(|child| (depth + 1, *child)));
        }
        lines
    }
}

impl Detail {
    fn open(&mut self) -> Option<&mut Attempt> {
        self.attempts
            .last_mut()
            .filter(|last| last.ended_ms.is_none())
    }
}
