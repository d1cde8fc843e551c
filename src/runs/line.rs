//! A run in a list, as data.

use crate::engine::{Outcome, RunId};
use crate::journal::{RunSummary, Standing};
use schemars::JsonSchema;
use serde::Serialize;

/// A run in a list: what `runs list --json` prints and the API answers.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RunLine {
    /// Its id.
    #[schemars(with = "String")]
    pub run: RunId,
    /// The cluster that it is about.
    pub cluster: String,
    /// The playbook's name.
    pub playbook: String,
    /// The playbook's version.
    pub version: Option<String>,
    /// What started it: `cli`, `api`, …
    pub trigger: String,
    /// Its idempotency key.
    pub key: Option<String>,
    /// When it started: RFC 3339, UTC.
    pub started: String,
    /// When it ended, in the same form.
    pub ended: Option<String>,
    /// `under_way`, `interrupted` (nobody runs it any more) or `ended`.
    pub standing: &'static str,
    /// How it ended: `ok`, `degraded`, `failed`, `refused`, `held` or `cancelled`.
    #[schemars(with = "Option<String>")]
    pub outcome: Option<Outcome>,
}

impl From<&RunSummary> for RunLine {
    fn from(run: &RunSummary) -> Self {
        let (standing, outcome) = match run.standing {
            Standing::UnderWay => ("under_way", None),
            Standing::Interrupted => ("interrupted", None),
            Standing::Ended(outcome) => ("ended", Some(outcome)),
        };
        Self {
            run: run.run.clone(),
            cluster: run.cluster.clone(),
            playbook: run.playbook.clone(),
            version: run.version.clone(),
            trigger: run.trigger.clone(),
            key: run.key.clone(),
            started: run.started.clone(),
            ended: run.ended.clone(),
            standing,
            outcome,
        }
    }
}
