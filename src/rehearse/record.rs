//! Reads a run's events at the moment when they happen, and keeps what the invariants need of them.

use super::invariant::Invariant;
use super::own::{Answers, Walked};
use super::script::{Fate, Script, list};
use super::stage::Stage;
use crate::cluster::{NodeName, Operation};
use crate::engine::{
    Durability, Envelope, Event, Forecast, RecordError, Recorder, RunId, SkipReason, StepPath,
    StepStatus, UndoStatus,
};
use crate::simulate::{At, SimCluster};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a run's events told.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// About which node, which proof.
    pub(super) proofs: Vec<(String, String)>,
    /// The nodes whose promotion was intended.
    pub(super) intended: BTreeSet<String>,
    /// The loss that was told, and whether a person accepted whatever it is.
    pub(super) loss: Option<i64>,
    pub(super) loss_accepted: bool,
    /// A write that was done: by which step, on which node, and when it was intended.
    pub(super) writes: Vec<(StepPath, String, At)>,
    /// Everything that went wrong or is left to do, in words and paths.
    pub(super) told: Vec<String>,
    /// The steps, where an account of them is wanted.
    pub(super) walked: Option<Vec<Walked>>,
    /// Beginnings and ends of steps so far.
    moments: usize,
    marks: BTreeMap<u64, (String, At)>,
}

/// A recorder that keeps [`Facts`], and the events only where the runner may die. Clones share them.
#[derive(Clone)]
pub(super) struct Record {
    facts: Arc<Mutex<Facts>>,
    /// The journal, as the next runner finds it; none where nobody dies.
    journal: Option<Arc<Mutex<Vec<Envelope>>>>,
    /// The runner whose recorder this is has died.
    dead: Arc<AtomicBool>,
    sim: SimCluster,
    script: Script,
    answers: Option<Answers>,
    story: bool,
}

impl Record {
    pub(super) fn new(stage: &Stage<'_>) -> Self {
        let facts = Facts {
            walked: stage.accounts.then(Vec::new),
            ..Facts::default()
        };
        Self {
            facts: Arc::new(Mutex::new(facts)),
            journal: stage.script.may_die().then(Arc::default),
            dead: Arc::default(),
            sim: stage.sim.clone(),
            script: stage.script.clone(),
            answers: stage.answers.clone(),
            story: stage.story,
        }
    }

    pub(super) fn facts(&self) -> Facts {
        self.lock().clone()
    }

    /// The recorder of the next runner, with the journal that this one left.
    pub(super) fn of_next_runner(&self) -> Self {
        Self {
            dead: Arc::default(),
            ..self.clone()
        }
    }

    /// The journal so far.
    pub(super) fn events(&self) -> Vec<Envelope> {
        self.journal.as_ref().map_or_else(Vec::new, |journal| {
            journal
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        })
    }

    fn keep(&self, envelope: &Envelope) {
        if let Some(journal) = &self.journal {
            let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
            journal.push(envelope.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Recorder for Record {
    async fn record(
        &self,
        _run: &RunId,
        events: &[Envelope],
        _durability: Durability,
    ) -> Result<(), RecordError> {
        // All of one batch were written at once.
        let now = self.sim.now();
        for envelope in events {
            let fate = if self.dead.load(Ordering::Relaxed) {
                Fate::Lost
            } else {
                self.script.writes(now, envelope)
            };
            if fate != Fate::Written {
                self.dead.store(true, Ordering::Relaxed);
            }
            if fate == Fate::Lost {
                // Nobody is there to be answered.
                return std::future::pending().await;
            }
            self.keep(envelope);
            if let Some(answers) = &self.answers {
                answers.hear(&envelope.event);
            }
            if self.story
                && let Some(line) = line(&envelope.event)
            {
                self.script.tell(now, || line);
            }
            if let Event::EffectIntended {
                forecast,
                point_of_no_return: true,
                ..
            } = &envelope.event
            {
                self.promotion_intended(forecast);
            }
            self.lock().take(&envelope.event, now);
            if fate == Fate::Last {
                return std::future::pending().await;
            }
        }
        Ok(())
    }
}

impl Record {
    /// The last moment before the point of no return.
    fn promotion_intended(&self, forecast: &Forecast) {
        let now = self.sim.now();
        let old = self.script.lock().old.clone();
        let node = node_of(forecast).unwrap_or_default();
        let proven = {
            let facts = self.lock();
            facts.proofs.iter().any(|(of, _)| of == old.as_str())
        };
        if !proven {
            let detail = format!("{node} is promoted without a recorded proof about {old}");
            self.script.violated(now, Invariant::Proof, detail);
        }
        let compared = self.script.lock().compared.clone();
        let Some(compared) = compared else {
            return;
        };
        let states = self.sim.with(|w| w.states());
        let grown: Vec<NodeName> = states
            .into_iter()
            .filter(|s| compared.nodes.contains(&s.name) && s.at > compared.best)
            .map(|s| s.name)
            .collect();
        if !grown.is_empty() {
            let detail = format!(
                "{} received more after the comparison, before {node} was promoted",
                list(&grown)
            );
            self.script
                .violated(now, Invariant::FrozenBeforeCompared, detail);
        }
    }
}

impl Facts {
    fn take(&mut self, event: &Event, now: At) {
        if self.walked.is_some() {
            self.walk(event);
        }
        match event {
            Event::EffectIntended {
                path: _,
                effect,
                forecast,
                point_of_no_return,
            } => {
                if *point_of_no_return {
                    self.intended.extend(node_of(forecast));
                }
                if forecast.operation["operation"] == "mark" {
                    let node = node_of(forecast).unwrap_or_default();
                    self.marks.insert(*effect, (node, now));
                }
            }
            Event::EffectSettled {
                path,
                effect,
                outcome,
                ..
            } => {
                if let Some((node, at)) = self.marks.remove(effect).filter(|_| outcome == "done") {
                    self.writes.push((path.clone(), node, at));
                }
            }
            Event::Noted { evidence, .. } => {
                let text = |key: &str| evidence.data[key].as_str().unwrap_or_default().to_owned();
                match evidence.topic.as_str() {
                    "proof" => self.proofs.push((text("node"), text("proof"))),
                    "loss" => self.loss = evidence.data["bytes"].as_i64(),
                    "waived" => self.loss_accepted = true,
                    "debt" => self.told.push(evidence.text.clone()),
                    _ => {}
                }
            }
            Event::StepEnded {
                path,
                status: StepStatus::Failed | StepStatus::Rescued | StepStatus::Cancelled,
                failure,
                ..
            } => {
                let why = failure.as_ref().map_or("", |f| f.message.as_str());
                self.told.push(format!("{path}: {why}"));
            }
            Event::UndoEnded {
                path,
                status: UndoStatus::Failed,
                what,
            } => self.told.push(format!("{path}: {what}")),
            Event::RunEnded { debts, failure, .. } => {
                self.told.extend(debts.iter().cloned());
                if let Some(failure) = failure {
                    self.told.push(failure.message.clone());
                    self.told.extend(failure.help.clone());
                }
            }
            _ => {}
        }
    }

    /// Keeps what the event tells of a step's beginning or end.
    fn walk(&mut self, event: &Event) {
        self.moments += 1;
        let at = self.moments;
        let Some(steps) = &mut self.walked else {
            return;
        };
        match event {
            Event::StepStarted { path, .. } => steps.push(Walked {
                path: path.to_string(),
                status: None,
                why: None,
                began: at,
                ended: usize::MAX,
            }),
            Event::StepSkipped { path, reason } => steps.push(Walked {
                path: path.to_string(),
                status: Some(status_of(reason)),
                why: None,
                began: 0,
                ended: at,
            }),
            Event::StepEnded {
                path,
                status,
                failure,
                ..
            } => {
                let path = path.to_string();
                if let Some(step) = steps.iter_mut().rev().find(|step| step.path == path) {
                    step.status = Some(*status);
                    step.why = failure.as_ref().map(|failure| failure.message.clone());
                    step.ended = at;
                }
            }
            _ => {}
        }
    }

    /// The proof on which a promotion that replaced `old` rests.
    pub(super) fn proof_about(&self, old: &NodeName) -> Option<&str> {
        let about = self.proofs.iter().rev();
        about
            .filter(|(of, _)| of == old.as_str())
            .map(|(_, proof)| proof.as_str())
            .next()
    }

    /// Whether what went wrong or is left to do names this.
    pub(super) fn names(&self, what: &str) -> bool {
        self.told.iter().any(|text| super::named::names(text, what))
    }
}

/// How a step ends that did not begin.
fn status_of(reason: &SkipReason) -> StepStatus {
    match reason {
        SkipReason::When(_) | SkipReason::Disabled(_) => StepStatus::Skipped,
        SkipReason::Needs(_) | SkipReason::Failures | SkipReason::Stopping => StepStatus::NotRun,
        SkipReason::Unknown(_) => StepStatus::MayRun,
    }
}

fn node_of(forecast: &Forecast) -> Option<String> {
    forecast.operation["node"].as_str().map(str::to_owned)
}

/// An event as a line of a story; none for what says little.
fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::StepStarted { path, action, .. } => format!("{path}: {action}"),
        Event::EffectIntended { path, forecast, .. } => {
            let operation = serde_json::from_value::<Operation>(forecast.operation.clone());
            let mark = if operation.is_ok() { "→" } else { "?" };
            format!("{path}: {mark} {}", forecast.summary)
        }
        Event::EffectSettled {
            path,
            outcome,
            failure: Some(failure),
            ..
        } => {
            format!("{path}: {outcome}: {}", failure.message)
        }
        Event::Noted { path, evidence } => {
            format!("{path}: {}: {}", evidence.topic, evidence.text)
        }
        Event::AttemptFailed {
            path,
            attempt,
            failure,
            retry_in_ms,
            ..
        } => {
            let again = if retry_in_ms.is_some() {
                ", tried again"
            } else {
                ""
            };
            format!(
                "{path}: attempt {attempt} failed{again}: {}",
                failure.message
            )
        }
        Event::StepEnded { path, status, .. } => format!("{path}: {}", status.as_str()),
        Event::RunResumed { .. } => "another runner goes on".to_owned(),
        Event::UndoEnded { path, status, what } => {
            format!("{path}: taken back ({status:?}): {what}").to_lowercase()
        }
        Event::RunEnded {
            outcome,
            failure,
            debts,
            ..
        } => {
            let why = failure
                .as_ref()
                .map_or_else(String::new, |f| format!(": {}", f.message));
            let debts: String = debts
                .iter()
                .flat_map(|d| ["; left to do: ", d.as_str()])
                .collect();
            format!(
                "the run ends {}{why}{debts}",
                format!("{outcome:?}").to_lowercase()
            )
        }
        _ => return None,
    })
}
