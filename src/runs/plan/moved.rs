//! Whether a plan still holds.

use super::super::world::World;
use super::super::{Order, RunsError};
use super::model::{Change, Plan, PlannedStep};
use crate::engine::Outcome;
use crate::playbook::Value;
use std::collections::BTreeMap;

impl World {
    /// Whether a run of `playbook` would still do what this plan says. Asks the live cluster and makes the plan anew, in
    /// the same way: every fact that a decision rests on, and every decision, must be what it was.
    pub async fn still_holds(&self, plan: &Plan, playbook: &str) -> Result<Order, RunsError> {
        let unusable = |what: String| RunsError::NotFound { what, help: None };
        if plan.cluster != self.inventory().cluster {
            return Err(unusable(format!(
                "the plan is for cluster {}, not for {}",
                plan.cluster,
                self.inventory().cluster
            )));
        }
        if plan.playbook != playbook {
            return Err(unusable(format!(
                "the plan is one of playbook {}, not of {playbook}",
                plan.playbook
            )));
        }
        if !matches!(plan.outcome, Outcome::Ok | Outcome::Degraded) {
            let why = plan.failure.as_ref().map(|failure| failure.message.clone());
            return Err(RunsError::Hopeless {
                why: why.unwrap_or_else(|| "it would not succeed".to_owned()),
            });
        }
        let order = Order {
            playbook: playbook.to_owned(),
            params: plan.given.clone(),
            trigger: "cli".to_owned(),
            ..Order::default()
        };
        let now = self.plan(order.clone()).await?;
        let changes = changes(plan, &now);
        if changes.is_empty() {
            Ok(order)
        } else {
            Err(RunsError::Moved { changes })
        }
    }
}

/// What is not what it was: facts first; decisions only where the facts do not say it already.
fn changes(then: &Plan, now: &Plan) -> Vec<Change> {
    let mut changes = differences(&texts(then), &texts(now));
    let grounds = differences(&then.grounds, &now.grounds);
    match end(now) {
        // What it does not come to any more it does not ask for: that is no fact that has changed.
        Some(end) => {
            let asked = |change: &Change| now.grounds.contains_key(&change.fact);
            changes.extend(grounds.into_iter().filter(asked));
            changes.push(end);
        }
        None => changes.extend(grounds),
    }
    changes.extend(differences(&params(then), &params(now)));
    changes.extend(differences(&choice(then), &choice(now)));
    if changes.is_empty() {
        changes = differences(&course(then), &course(now));
    }
    changes
}

/// How it would end now, where that is not well.
fn end(now: &Plan) -> Option<Change> {
    if matches!(now.outcome, Outcome::Ok | Outcome::Degraded) {
        return None;
    }
    let word = format!("{:?}", now.outcome).to_lowercase();
    let why = now.failure.as_ref();
    Some(Change {
        fact: "how it would end".to_owned(),
        then: "ok".to_owned(),
        now: why.map_or_else(|| word.clone(), |why| format!("{word}: {}", why.message)),
    })
}

fn differences(then: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<Change> {
    let missing = || "not there".to_owned();
    let mut names: Vec<&String> = then.keys().chain(now.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| then.get(*name) != now.get(*name))
        .map(|name| Change {
            fact: name.clone(),
            then: then.get(name).cloned().unwrap_or_else(missing),
            now: now.get(name).cloned().unwrap_or_else(missing),
        })
        .collect()
}

/// The playbooks; of texts that differ only that they do is worth telling.
fn texts(plan: &Plan) -> BTreeMap<String, String> {
    let text = |text: &super::model::PlaybookText| {
        let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in text.text.bytes() {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let lines = text.text.lines().count();
        let what = format!("{} ({lines} lines, {sum:016x})", text.source);
        (format!("playbook {}", text.name), what)
    };
    plan.texts.iter().map(text).collect()
}

fn params(plan: &Plan) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_json().to_string(),
    };
    let params = plan.params.iter();
    params
        .map(|(name, value)| (format!("params.{name}"), text(value)))
        .collect()
}

/// Whom `choose` chose.
fn choice(plan: &Plan) -> BTreeMap<String, String> {
    let chosen = plan.decisions.iter().filter(|d| d.topic == "choice");
    chosen
        .filter_map(|d| {
            let node = d.data.get("node")?.as_str()?;
            Some((format!("the choice of {}", d.path), node.to_owned()))
        })
        .collect()
}

/// How every step ends, and what it does.
fn course(plan: &Plan) -> BTreeMap<String, String> {
    let text = |step: &PlannedStep| {
        let effects: Vec<&str> = step.effects.iter().map(|e| e.summary.as_str()).collect();
        format!("{}: {}", step.status.as_str(), effects.join(", "))
    };
    let steps = plan.steps.iter();
    steps
        .map(|step| (format!("what {} comes to", step.path), text(step)))
        .collect()
}
