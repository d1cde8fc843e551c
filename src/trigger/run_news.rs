//! What the world is told of runs, read from the journal: whoever started and runs them, this process or another.

use crate::engine::{Event, Outcome, QUESTION, RunId};
use crate::journal::{Filter, RunSummary, Standing};
use crate::notify::{News, Notifier};
use crate::runs::{Records, RunsError};
use crate::site::NewsKind;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How often is looked.
const LOOK: Duration = Duration::from_secs(1);

/// How many of the latest runs are looked at. One that began longer ago is told no more.
const LATEST: u32 = 50;

/// Tells of runs. It only reads what they have recorded, so that no run can be held up by it.
pub struct RunNews {
    records: Arc<Records>,
    cluster: Option<String>,
    notifier: Notifier,
    /// The runs that were seen; none before the first look, which tells only of what is still open.
    known: Option<HashMap<RunId, Known>>,
}

/// What is known of a run.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// Its events are read from here on.
    next: u64,
    ended: bool,
}

impl RunNews {
    /// Of all clusters, or of the one that is named.
    pub fn new(records: Arc<Records>, cluster: Option<String>, notifier: Notifier) -> Self {
        Self {
            records,
            cluster,
            notifier,
            known: None,
        }
    }

    /// Tells until it is dropped.
    pub async fn keep_telling(mut self) {
        let mut silent = false;
        loop {
            if self.notifier.is_idle() {
                // Who is to be told from some time on is not told of what was before.
                self.known = None;
            } else {
                let looked = self.look().await;
                // Once, not every second.
                if let (Err(error), false) = (&looked, silent) {
                    tracing::warn!(%error, "nobody can be told of runs");
                }
                silent = looked.is_err();
            }
            sleep(LOOK).await;
        }
    }

    async fn look(&mut self) -> Result<(), RunsError> {
        let filter = Filter {
            cluster: self.cluster.clone(),
            limit: Some(LATEST),
            ..Filter::default()
        };
        let runs = self.records.list(&filter).await?;
        let before = self.known.clone();
        let mut known = HashMap::new();
        let mut failed = Ok(());
        // The oldest first: in the order in which it happened.
        for run in runs.iter().rev() {
            let seen = before.as_ref().map(|before| before.get(&run.run));
            let seen = match seen {
                Some(Some(seen)) => *seen,
                Some(None) => {
                    self.started(run);
                    Known::default()
                }
                None => self.as_found(run).await?,
            };
            // What was told of it stays told, whatever cannot be read now.
            let seen = match self.go_on(run, seen).await {
                Ok(seen) => seen,
                Err(error) => {
                    failed = Err(error);
                    seen
                }
            };
            known.insert(run.run.clone(), seen);
        }
        self.known = Some(known);
        failed
    }

    /// A run that was there before anybody was told: only what it asks now is told.
    async fn as_found(&self, run: &RunSummary) -> Result<Known, RunsError> {
        let ended = matches!(run.standing, Standing::Ended(_));
        if !ended {
            for step in self.records.asking(&run.run).await? {
                self.asks(run, &step, "it was asked before pgbaton was started");
            }
        }
        Ok(Known {
            next: run.last_seq + 1,
            ended,
        })
    }

    /// What has come since the last look.
    async fn go_on(&self, run: &RunSummary, mut seen: Known) -> Result<Known, RunsError> {
        if seen.ended {
            return Ok(seen);
        }
        let mut end = None;
        for event in self.records.read_from(&run.run, seen.next).await? {
            seen.next = event.seq + 1;
            match event.event {
                Event::Noted { path, evidence } if evidence.topic == QUESTION => {
                    self.asks(run, &path.to_string(), &evidence.text);
                }
                Event::RunEnded {
                    outcome,
                    failure,
                    at,
                    debts,
                    ..
                } => {
                    end = Some((outcome, failure, at, debts));
                }
                _ => {}
            }
        }
        let Some((outcome, failure, at, debts)) = end else {
            return Ok(seen);
        };
        seen.ended = true;
        let why = failure.as_ref().map(|failure| failure.message.clone());
        let reason = why.as_ref().map_or(String::new(), |why| format!(": {why}"));
        let text = format!(
            "`{}` {}{reason} (run {})",
            run.playbook,
            ended_so(outcome),
            run.run
        );
        let details = json!({
            "playbook": run.playbook,
            "trigger": run.trigger,
            "outcome": outcome,
            "failure": why,
            "at": at.map(|at| at.to_string()),
            "left_to_do": debts,
        });
        self.say(NewsKind::RunEnded, run, text, details);
        Ok(seen)
    }

    fn started(&self, run: &RunSummary) {
        let text = format!("`{}` has begun (run {})", run.playbook, run.run);
        let details = json!({ "playbook": run.playbook, "trigger": run.trigger });
        self.say(NewsKind::RunStarted, run, text, details);
    }

    fn asks(&self, run: &RunSummary, step: &str, question: &str) {
        let text = format!(
            "run {} asks: {question} (`pgbaton runs approve {} --reason …`)",
            run.run, run.run
        );
        let details = json!({ "playbook": run.playbook, "step": step, "question": question });
        self.say(NewsKind::ApprovalAsked, run, text, details);
    }

    fn say(&self, event: NewsKind, run: &RunSummary, text: String, details: serde_json::Value) {
        let news = News::now(event, &run.cluster, text);
        self.notifier.tell(news.of_run(&run.run.0).with(details));
    }
}

/// How it ended, as it follows the name of the playbook.
pub fn ended_so(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "reached its goal",
        Outcome::Degraded => "reached its goal in part: see what is left to do",
        Outcome::Failed => "failed",
        Outcome::Refused => "refused to go on",
        Outcome::Held => "waits for a person",
        Outcome::Cancelled => "was cancelled",
    }
}
