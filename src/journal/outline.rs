//! What a batch of events says about its run, and whether it fits what is there.

use super::ledger::Line;
use crate::engine::{Envelope, Event, Outcome, RunId};

/// How a moment of the clock is written: all of one length, so that their order is that of the texts.
const MOMENT: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";

/// A run's number of events is bounded by the number that a place in a store leaves them.
pub(super) const LAST: u64 = u32::MAX as u64;

/// A batch without the text of its events.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) begin: Option<Begin>,
    pub(super) end: Option<End>,
    /// What it leaves to be done, and what it has done of that.
    pub(super) ledger: Vec<Line>,
    seqs: Vec<u64>,
}

/// What a run's own row takes from its first event.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) run: RunId,
    pub(super) cluster: String,
    pub(super) playbook: String,
    pub(super) version: Option<String>,
    pub(super) trigger: String,
    pub(super) started: String,
}

/// What it takes from its last event.
#[derive(Debug)]
pub(super) struct End {
    seq: u64,
    at_ms: f64,
    pub(super) outcome: Outcome,
}

impl Outline {
    pub(super) fn new(events: &[Envelope]) -> Self {
        let mut outline = Self {
            begin: None,
            end: None,
            ledger: events.iter().filter_map(Line::of).collect(),
            seqs: events.iter().map(|envelope| envelope.seq).collect(),
        };
        for envelope in events {
            match &envelope.event {
                Event::RunStarted {
                    run,
                    playbook,
                    version,
                    cluster,
                    trigger,
                    started,
                    ..
                } if envelope.seq == 0 => {
                    outline.begin = Some(Begin {
                        run: run.clone(),
                        cluster: cluster.clone(),
                        playbook: playbook.clone(),
                        version: version.clone(),
                        trigger: trigger.clone(),
                        started: of_one_length(started),
                    });
                }
                Event::RunEnded { outcome, .. } => {
                    outline.end = Some(End {
                        seq: envelope.seq,
                        at_ms: envelope.at_ms,
                        outcome: *outcome,
                    });
                }
                _ => {}
            }
        }
        outline
    }

    /// The position of its last event, when all of it fits from `due` on; why not otherwise.
    pub(super) fn fit(&self, due: u64) -> Result<u64, String> {
        let mut due = due;
        for seq in &self.seqs {
            if *seq != due {
                return Err(format!("event {seq} came where {due} was due"));
            }
            if self.end.as_ref().is_some_and(|end| end.seq < *seq) {
                return Err(format!("event {due} came after the end of the run"));
            }
            due += 1;
        }
        match due.checked_sub(1) {
            Some(last) if last <= LAST => Ok(last),
            _ => Err(format!("a run has from 1 to {LAST} events")),
        }
    }
}

impl End {
    /// When the run ended that started then.
    pub(super) fn moment(&self, started: &str) -> Option<String> {
        let started: jiff::Timestamp = started.parse().ok()?;
        let passed = jiff::SignedDuration::try_from_secs_f64(self.at_ms / 1000.0).ok()?;
        let ended = started.checked_add(passed).ok()?;
        Some(ended.strftime(MOMENT).to_string())
    }
}

/// What cannot be read as a moment stays as it is.
fn of_one_length(moment: &str) -> String {
    match moment.parse::<jiff::Timestamp>() {
        Ok(moment) => moment.strftime(MOMENT).to_string(),
        Err(_) => moment.to_owned(),
    }
}

/// An outcome as it stands in the events.
pub(super) fn word(outcome: Outcome) -> String {
    serde_json::to_value(outcome)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}
