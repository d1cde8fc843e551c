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

/// How a watch stands.
#[derive(Serialize, JsonSchema)]
pub(super) struct Watch {
    /// What the last thorough or close look came to; null before the first.
    analysis: Option<Analysis>,
    /// What a failover would meet now; null while no one primary works.
    obstacles: Option<Vec<Obstacle>>,
    /// Since when the analysis has had its code: RFC 3339, UTC.
    since: Option<String>,
    /// Thorough and close looks so far.
    looks: u64,
    /// A run that it has started is under way.
    running: bool,
    /// The last run that it did not start, and why.
    held_back: Option<BTreeMap<String, Json>>,
    /// The last failover that it has started: from the first sign to a write that the new primary took.
    gap: Option<Gap>,
}

/// How long no write was taken.
#[derive(Serialize, JsonSchema)]
struct Gap {
    /// The run that ended it.
    run: String,
    /// How long.
    seconds: f64,
}

/// What a look came to.
#[derive(Serialize, JsonSchema)]
struct Analysis {
    /// What it says of the primary, by name: docs/detector.md has them.
    code: String,
    /// In a sentence.
    text: String,
    /// The primary that it is about.
    primary: Option<String>,
    /// It was shut down cleanly.
    shut_down: bool,
    /// What each witness says of it.
    votes: Vec<Vote>,
    /// What else is not as it should be.
    findings: Vec<Finding>,
}

/// What a witness says of the primary.
#[derive(Serialize, JsonSchema)]
struct Vote {
    /// `here`, a standby, or `host`.
    witness: String,
    /// Null where it cannot tell.
    alive: Option<bool>,
    /// Why.
    says: String,
}

/// Something about a node.
#[derive(Serialize, JsonSchema)]
struct Finding {
    /// What, by name.
    code: String,
    /// Where.
    node: Option<String>,
    /// In a sentence.
    text: String,
}

/// Something that a failover would meet.
#[derive(Serialize, JsonSchema)]
struct Obstacle {
    /// What, by name.
    code: String,
    /// In a sentence.
    text: String,
}

/// What was found, and what was made of it.
#[derive(Serialize, JsonSchema)]
pub(super) struct Notice {
    /// The cluster.
    cluster: String,
    /// What, by name.
    code: String,
    /// The incident that it belongs to; null in notes of earlier versions.
    incident: Option<String>,
    /// In a sentence.
    text: String,
    /// What would come of a run that a person decides about; null elsewhere.
    foretold: Option<BTreeMap<String, Json>>,
    /// The run that was not started, and why; null where one was.
    held_back: Option<BTreeMap<String, Json>>,
    /// What it rests on.
    analysis: Option<Analysis>,
}

/// A pause.
#[derive(Serialize, JsonSchema)]
pub(super) struct Pause {
    /// Who.
    owner: String,
    /// Why.
    reason: String,
    /// Since when: RFC 3339, UTC.
    since: String,
    /// Until when.
    until: String,
}
