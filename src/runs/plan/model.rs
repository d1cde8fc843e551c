//! A plan as data: shown to people, kept in a file, compared with what stands later.

use super::super::RunsError;
use super::details::Details;
use crate::cluster::Topology;
use crate::document::read_file;
use crate::engine::{Failure, Forecast, Outcome, SkipReason, StepPath, StepStatus};
use crate::playbook::Map;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What a run would do, as far as it can be known, and on what that rests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The form of what follows.
    pub format: u32,
    /// When it was made: RFC 3339, UTC.
    pub made: String,
    /// The cluster that it is about.
    pub cluster: String,
    /// What was asked for: a name or a path.
    pub playbook: String,
    /// The playbook's version.
    pub version: Option<String>,
    /// The texts of the playbook and of those that it nests: only these are run by it.
    pub texts: Vec<PlaybookText>,
    /// Parameters as given.
    pub given: Vec<(String, String)>,
    /// Parameters as bound; secrets are references.
    pub params: Map,
    /// The facts as expressions saw them under `cluster`.
    pub pinned: Map,
    /// How the run would end.
    pub outcome: Outcome,
    /// What would stop it.
    pub failure: Option<Failure>,
    /// The step whose failure that is.
    pub at: Option<StepPath>,
    /// Its outputs.
    pub outputs: Map,
    /// What it would leave for a person to do.
    pub debts: Vec<String>,
    /// Every step, in the playbook's order, what it nests below it.
    pub steps: Vec<PlannedStep>,
    /// Decisions and findings with their evidence, in order.
    pub decisions: Vec<Decision>,
    /// What is taken for granted because nobody can know it before the run.
    pub assumptions: Vec<Supposed>,
    /// What could not be found out.
    pub unknown: Vec<Supposed>,
    /// The cluster now.
    pub before: Topology,
    /// The cluster after the run, as foretold.
    pub after: Topology,
    /// Settings and slots of the nodes that answer now.
    pub details_before: Details,
    /// Settings and slots of the nodes that answer after the run, as foretold.
    pub details_after: Details,
    /// The facts that the decisions rest on, by name.
    pub grounds: BTreeMap<String, String>,
}

/// A playbook's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaybookText {
    /// Its name.
    pub name: String,
    /// Where it was found.
    pub source: String,
    /// The whole of it.
    pub text: String,
}

/// What a step would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedStep {
    /// Where in the run.
    pub path: StepPath,
    /// What it is called below its parent.
    pub label: String,
    /// How many lines it stands below the top level.
    pub depth: usize,
    /// The action, or `playbook NAME`; none for items, rescues and the finally, and for steps without a turn.
    pub action: Option<String>,
    /// The node it is for.
    pub node: Option<String>,
    /// How it would end.
    pub status: StepStatus,
    /// What its probe found: why it would do something, or nothing.
    pub why: Option<String>,
    /// Why it would not run, or may not.
    pub skipped: Option<SkipReason>,
    /// There is nothing to do.
    pub unchanged: bool,
    /// How often it would be tried.
    pub attempts: u32,
    /// Why it would fail.
    pub failure: Option<Failure>,
    /// What it would do, in order.
    pub effects: Vec<PlannedEffect>,
    /// What an own step that only reads executes.
    pub reads: Vec<Forecast>,
    /// How an own step's outputs came about.
    pub foreseen: Option<Foreseen>,
    /// Its outputs.
    pub outputs: Map,
}

/// Something with an effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedEffect {
    /// One line for people.
    pub summary: String,
    /// The exact statements, commands, file changes and requests, secrets masked.
    pub rendered: Vec<String>,
    /// The operation.
    pub operation: serde_json::Value,
    /// `done`, `failed` or `unknown`.
    pub outcome: String,
    /// From this on the run only goes forward.
    pub point_of_no_return: bool,
    /// It takes back what was done before.
    pub undo: bool,
}

/// How the outputs of an own step (`exec`, `sql`, `http`) came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Foreseen {
    /// It was really read, just now.
    Read,
    /// They are what its `assume` says.
    Assumed,
    /// They are not known.
    Unknown,
}

/// A decision or finding with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The step.
    pub path: StepPath,
    /// `proof`, `choice`, `loss`, …
    pub topic: String,
    /// One sentence.
    pub text: String,
    /// The facts in it.
    pub data: serde_json::Value,
}

/// Something that nobody can know before the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supposed {
    /// The node or the step that it is about.
    pub about: String,
    /// What is assumed, or what is not known and why.
    pub text: String,
}

/// A fact that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub fact: String,
    /// What the plan rests on.
    pub then: String,
    /// What it is now.
    pub now: String,
}

impl Plan {
    /// The form that this version writes and reads.
    pub const FORMAT: u32 = 2;

    /// Reads a plan that was kept. Another form, and anything that does not belong there, is an error.
    pub fn read(file: &Path) -> Result<Self, RunsError> {
        /// What every form has.
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let unusable = |why: String| RunsError::NotFound {
            what: format!("the plan {} cannot be used: {why}", file.display()),
            help: Some("make it again with `pgbaton plan … --out FILE`".to_owned()),
        };
        let text = read_file(file).map_err(|error| unusable(error.to_string()))?;
        let form: Form =
            serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
        if form.format != Self::FORMAT {
            return Err(unusable(format!(
                "it has form {}, this program reads form {}",
                form.format,
                Self::FORMAT
            )));
        }
        serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))
    }

    /// As the file has it.
    pub fn to_text(&self) -> String {
        // Maps with text keys, texts and numbers: nothing in it that JSON cannot hold.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The steps of which nobody can know whether they run.
    pub fn unsure(&self) -> impl Iterator<Item = &PlannedStep> {
        self.steps
            .iter()
            .filter(|step| step.status == StepStatus::MayRun)
    }
}
