//! What a run would do whose start is for a person to decide: the whole plan, kept with the incident and told once.

use crate::engine::Outcome;
use crate::journal::Note;
use crate::runs::{Order, Plan, Records, RunsError, World};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

const KIND: &str = "incident_plan";

/// How many of a cluster are kept: each has the texts of its playbooks in it.
const KEPT: usize = 20;

/// How long it may take to make one. Of a cluster that has lost its primary somebody is always silent.
const PATIENCE: Duration = Duration::from_mins(1);

/// What decides whether a person lets it go on.
const WEIGHTY: [&str; 3] = ["proof", "choice", "loss"];

/// What would come of it, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Foretold {
    /// The playbook.
    pub playbook: String,
    /// How it would end; none where no plan could be made.
    pub outcome: Option<Outcome>,
    /// Why it would end so, or why there is no plan.
    pub why: Option<String>,
    /// Who would be the primary.
    pub primary: Option<String>,
    /// The proof, the choice and the loss, in sentences.
    pub decisions: Vec<String>,
    /// What it would leave for a person to do.
    pub left_to_do: Vec<String>,
}

impl Foretold {
    pub(super) fn of(playbook: &str, made: &Result<Plan, String>) -> Self {
        let playbook = playbook.to_owned();
        let plan = match made {
            Ok(plan) => plan,
            Err(why) => {
                return Self {
                    playbook,
                    outcome: None,
                    why: Some(why.clone()),
                    primary: None,
                    decisions: Vec::new(),
                    left_to_do: Vec::new(),
                };
            }
        };
        let weighty = plan.decisions.iter();
        let weighty = weighty.filter(|decision| WEIGHTY.contains(&decision.topic.as_str()));
        let primary = plan.after.primary();
        Self {
            playbook,
            outcome: Some(plan.outcome),
            why: plan.failure.as_ref().map(|failure| failure.message.clone()),
            primary: primary.map(|row| row.name.to_string()),
            decisions: weighty.map(|decision| decision.text.clone()).collect(),
            left_to_do: plan.debts.clone(),
        }
    }

    /// In a sentence.
    pub(super) fn told(&self) -> String {
        let Self { playbook, why, .. } = self;
        let reason = why.as_ref().map_or(String::new(), |why| format!(": {why}"));
        let Some(outcome) = self.outcome else {
            return format!("what `{playbook}` would do is not known{reason}");
        };
        let how = match outcome {
            Outcome::Ok => "would reach its goal",
            Outcome::Degraded => "would reach its goal in part",
            Outcome::Failed => "would fail",
            Outcome::Refused => "would refuse to go on",
            Outcome::Held => "would wait for a person",
            Outcome::Cancelled => "would be cancelled",
        };
        let who = self.primary.as_ref().filter(|_| outcome == Outcome::Ok);
        let who = who.map_or(String::new(), |who| format!(", and {who} be the primary"));
        format!("`{playbook}` {how}{who}{reason}")
    }
}

/// Makes the plan, when there is room for one more; an error says why there is none. Bounded.
pub(super) async fn make(world: &World, room: &Semaphore, order: Order) -> Result<Plan, String> {
    let work = async {
        let _turn = room.acquire().await;
        world.plan(order).await.map_err(|error| error.to_string())
    };
    let late = |_| format!("no plan was made within {} s", PATIENCE.as_secs());
    timeout(PATIENCE, work).await.map_err(late)?
}

/// Keeps it with its incident. The oldest go when there are many.
pub(super) async fn keep(records: &Records, incident: &str, plan: &Plan) -> Result<(), RunsError> {
    let note = Note {
        cluster: plan.cluster.clone(),
        kind: KIND.to_owned(),
        id: incident.to_owned(),
        at: jiff::Timestamp::now(),
        body: json!({ "v": 1, "plan": plan }),
    };
    records.keep_note(&note).await?;
    let kept = records.notes(Some(&note.cluster), KIND, KEPT + 5).await?;
    for old in kept.iter().skip(KEPT) {
        records.discard_note(&old.cluster, KIND, &old.id).await?;
    }
    Ok(())
}

/// The plan that was made for this incident of the cluster.
pub async fn incident_plan(
    records: &Records,
    cluster: &str,
    incident: &str,
) -> Result<Option<Plan>, RunsError> {
    let kept = records.notes(Some(cluster), KIND, KEPT + 5).await?;
    let note = kept.into_iter().find(|note| note.id == incident);
    // One of another form is one that cannot be shown.
    Ok(note.and_then(|mut note| serde_json::from_value(note.body["plan"].take()).ok()))
}
