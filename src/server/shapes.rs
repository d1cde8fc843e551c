//! What answers look like whose types belong to rooms that know no schema: for the document only, and held against real
//! answers by the tests.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// A cluster at a glance.
#[derive(Serialize, JsonSchema)]
pub(super) struct Glance {
    /// Its name.
    cluster: String,
    /// `ok`, `degraded` or `no_primary`.
    health: String,
    /// A row for each node.
    rows: Vec<Row>,
    /// Other programs that manage the same servers.
    managers: Vec<Manager>,
    /// What earlier runs left to do; null where the journal could not tell.
    debts: Option<Vec<Debt>>,
}

/// A node.
#[derive(Serialize, JsonSchema)]
struct Row {
    /// Its number.
    id: u32,
    /// Its name.
    name: String,
    /// `primary` or `standby`; null when it could not be told.
    role: Option<String>,
    /// `running`, `rejecting` (it refuses sessions) or `unreachable`.
    status: String,
    /// What it receives from, or is set to follow.
    upstream: Option<String>,
    /// It really streams from there.
    attached: bool,
    /// Its location.
    location: String,
    /// Its priority.
    priority: i64,
    /// Its timeline.
    timeline: Option<u32>,
    /// Its position.
    at: Option<Json>,
    /// Bytes behind the primary.
    lag: Option<i64>,
    /// What is wrong, where something is.
    note: Option<String>,
}

/// Another program that manages a server.
#[derive(Serialize, JsonSchema)]
struct Manager {
    /// The node.
    node: String,
    /// `repmgrd`, `kbha` or `patroni`.
    kind: String,
    /// What gave it away.
    sign: String,
    /// It does not act at present.
    paused: Option<bool>,
}

/// Something that a run left to do.
#[derive(Serialize, JsonSchema)]
struct Debt {
    /// The run.
    run: String,
    /// What, for programs.
    owed: BTreeMap<String, Json>,
    /// What, for people.
    text: String,
}

/// What a run did.
#[derive(Serialize, JsonSchema)]
pub(super) struct Record {
    /// The version of this form.
    form: u32,
    /// Its id.
    run: Option<String>,
    /// The playbook and its version.
    playbook: Option<String>,
    /// The cluster.
    cluster: Option<String>,
    /// What started it.
    trigger: String,
    /// When: RFC 3339, UTC.
    started: String,
    /// Whether it has ended.
    ended: bool,
    /// How: `ok`, `degraded`, `failed`, `refused`, `held` or `cancelled`.
    outcome: Option<String>,
    /// How long it took, or has taken so far, in milliseconds.
    took_ms: f64,
    /// Why it did not succeed.
    failure: Option<Json>,
    /// The step whose failure that was.
    at: Option<String>,
    /// What is left to do.
    left_to_do: Vec<String>,
    /// Its parameters.
    params: BTreeMap<String, Json>,
    /// Its outputs.
    outputs: BTreeMap<String, Json>,
    /// Its steps with attempts, effects and outputs.
    steps: Vec<BTreeMap<String, Json>>,
    /// Decisions and findings with their evidence.
    decisions: Vec<BTreeMap<String, Json>>,
    /// Where it is kept.
    journal: String,
}

/// What a run would do.
#[derive(Serialize, JsonSchema)]
pub(super) struct Plan {
    /// The version of this form.
    format: u32,
    /// When it was made: RFC 3339, UTC.
    made: String,
    /// The cluster.
    cluster: String,
    /// What was asked for.
    playbook: String,
    /// The playbook's version.
    version: Option<String>,
    /// How the run would end: `ok`, `degraded`, `failed`, `refused`, `held` or `cancelled`.
    outcome: String,
    /// What would stop it.
    failure: Option<Json>,
    /// The step whose failure that is.
    at: Option<String>,
    /// What it would leave to do.
    debts: Vec<String>,
    /// Its steps, with the exact statements, commands and file changes.
    steps: Vec<BTreeMap<String, Json>>,
    /// Decisions and findings with their evidence.
    decisions: Vec<BTreeMap<String, Json>>,
    /// What is taken for granted.
    assumptions: Vec<BTreeMap<String, Json>>,
    /// What could not be found out.
    unknown: Vec<BTreeMap<String, Json>>,
    /// The cluster now.
    before: BTreeMap<String, Json>,
    /// The cluster after the run, as foretold.
    after: BTreeMap<String, Json>,
}
