//! What there is to say of a run in words.

use super::record::Record;
use crate::cli::console::outcome_look;
use crate::cli::paint::Tone;
use crate::cli::text;
use crate::engine::Outcome;
use crate::playbook::{Map, Value};

/// The word for how it ended, and its tone.
pub(super) fn ending(record: &Record) -> (&'static str, Tone) {
    match &record.view.ended {
        Some(ended) => outcome_look(ended.outcome),
        None => ("not ended", Tone::Busy),
    }
}

/// Playbook and cluster.
pub(super) fn title(record: &Record) -> String {
    record.view.header.as_ref().map_or_else(
        || "a run that never started".to_owned(),
        |header| format!("{} on {}", header.playbook, header.cluster),
    )
}

/// What came of it, in one sentence.
pub(super) fn outcome(record: &Record) -> String {
    let took = text::duration(record.view.now_ms);
    let Some(ended) = &record.view.ended else {
        return format!(
            "It has not ended: it was last heard of {took} after its start. Either it is under way, or its runner died; \
             `pgbaton runs resume` goes on with it, and refuses while another runner is at work."
        );
    };
    let at = ended.at.as_ref().map(|at| format!(", at {at}"));
    let at = at.unwrap_or_default();
    let mut sentence = match ended.outcome {
        Outcome::Ok => format!("It went well, in {took}"),
        Outcome::Degraded => {
            format!("It reached its goal in {took}, and something that was allowed to fail did")
        }
        Outcome::Failed => format!("It failed after {took}{at}"),
        Outcome::Refused => format!("It was refused after {took}{at}"),
        Outcome::Held => format!("After {took} it waits for a person{at}"),
        Outcome::Cancelled => format!("It was cancelled after {took}"),
    };
    let promoted: Vec<&str> = record
        .effects
        .iter()
        .filter(|e| e.outcome.as_deref() == Some("done"))
        .filter(|e| named(&e.forecast.operation, "operation") == Some("promote"))
        .filter_map(|e| named(&e.forecast.operation, "node"))
        .collect();
    match promoted.as_slice() {
        [] if record.effects.is_empty() => sentence.push_str("; nothing was changed"),
        [] => {}
        nodes => {
            sentence.push_str("; promoted: ");
            sentence.push_str(&nodes.join(", "));
        }
    }
    sentence.push('.');
    sentence
}

/// What is left to do; of a run that has not ended, what came up so far.
pub(super) fn debts(record: &Record) -> Vec<&str> {
    if let Some(ended) = &record.view.ended {
        return ended.debts.iter().map(String::as_str).collect();
    }
    let notes = record.view.notes.iter().map(|note| &note.evidence);
    let debts = notes.filter(|evidence| evidence.topic == "debt");
    debts.map(|evidence| evidence.text.as_str()).collect()
}

/// A text of an operation.
pub(super) fn named<'v>(operation: &'v serde_json::Value, key: &str) -> Option<&'v str> {
    operation.get(key)?.as_str()
}

/// The wall-clock time of a moment of the run, to the second; the journal's own text where that is no time.
pub(super) fn clock(started: &str, at_ms: f64) -> String {
    let Ok(start) = started.parse::<jiff::Timestamp>() else {
        return started.to_owned();
    };
    let passed = jiff::SignedDuration::try_from_secs_f64(at_ms / 1000.0);
    let moment = passed
        .ok()
        .and_then(|passed| start.checked_add(passed).ok());
    moment
        .unwrap_or(start)
        .strftime("%Y-%m-%d %H:%M:%S UTC")
        .to_string()
}

/// A time of the run.
pub(super) fn since(at_ms: f64) -> String {
    format!("+{}", text::duration(at_ms))
}

/// Names and values, without those that were not given.
pub(super) fn values(map: &Map) -> Vec<(&str, String)> {
    let given = map.iter().filter(|(_, value)| **value != Value::Null);
    given
        .map(|(name, value)| (name.as_str(), value_text(value)))
        .collect()
}

fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(value_text).collect();
            if items.is_empty() {
                "none".to_owned()
            } else {
                items.join(", ")
            }
        }
        other => match other.to_json() {
            serde_json::Value::String(text) => text,
            json => json.to_string(),
        },
    }
}
