//! A run as one JSON document.

use super::record::{Attempt, Effect, Record};
use super::sentence::debts;
use super::topology;
use crate::cli::console::{Entry, Note, why_not};
use crate::engine::Failure;
use crate::playbook::{Map, Value};
use serde_json::{Value as Json, json};

/// The version of this form.
const FORM: u32 = 1;

/// All of it.
pub(crate) fn document(record: &Record, journal: &str) -> Json {
    let view = &record.view;
    let header = view.header.as_ref();
    let ended = view.ended.as_ref();
    let last = view.point_of_no_return.as_ref();
    let resumed = record.resumed.iter().map(|r| {
        json!({ "at": r.at, "at_ms": r.at_ms, "silent_since_ms": r.since_ms, "runner": r.runner })
    });
    let undone = view
        .undone
        .iter()
        .map(|u| json!({ "path": u.path, "status": u.status, "what": u.what }));
    let lines = record.lines();
    json!({
        "form": FORM,
        "run": header.map(|h| &h.run),
        "playbook": header.map(|h| &h.playbook),
        "cluster": header.map(|h| &h.cluster),
        "trigger": record.start.trigger,
        "started": record.start.at,
        "ended": ended.is_some(),
        "outcome": ended.map(|e| e.outcome),
        "took_ms": view.now_ms,
        "resumed": resumed.collect::<Json>(),
        "cancel": view.cancel.as_ref().map(|c| json!({
            "accepted": c.is_ok(),
            "reason": c.as_ref().err(),
        })),
        "failure": ended.and_then(|e| e.failure.as_ref()).map(failure),
        "at": ended.and_then(|e| e.at.as_ref()),
        "left_to_do": debts(record),
        "point_of_no_return": last.map(|(path, at)| json!({ "path": path, "at_ms": at })),
        "params": map(&record.start.params),
        "outputs": map(&record.outputs),
        "steps": lines.iter().map(|(depth, entry)| step(record, *depth, entry)).collect::<Json>(),
        "decisions": view.notes.iter().map(decision).collect::<Json>(),
        "undone": undone.collect::<Json>(),
        "topology": {
            "before": topology::before(record),
            "after_as_the_run_knew_it": topology::after(record),
        },
        "journal": journal,
    })
}

fn step(record: &Record, depth: usize, entry: &Entry) -> Json {
    let detail = record.about(&entry.path);
    let probes = detail.map(|d| &d.probes);
    let probes = probes.into_iter().flatten();
    let given = detail.and_then(|d| d.inputs.as_ref());
    json!({
        "path": entry.path,
        "depth": depth,
        "label": entry.label,
        "action": entry.action,
        "node": entry.node,
        "status": entry.status,
        "unchanged": entry.unchanged,
        "not_run_because": entry.skipped.as_ref().map(why_not),
        "started_ms": entry.started_ms,
        "ended_ms": entry.ended_ms,
        "took_ms": entry.took_ms(record.view.now_ms),
        "given": given.map(|inputs| map(&inputs.with)),
        "probed": probes.map(|(verdict, why)| json!({ "verdict": verdict, "why": why })).collect::<Json>(),
        "attempts": detail.map(|d| d.attempts.iter().map(attempt).collect::<Json>()).unwrap_or(json!([])),
        "effects": record.effects_of(&entry.path).map(effect).collect::<Json>(),
        "outputs": detail.map(|d| map(&d.outputs)).unwrap_or(json!({})),
        "failure": entry.failure.as_ref().map(failure),
    })
}

fn attempt(attempt: &Attempt) -> Json {
    json!({
        "attempt": attempt.number,
        "limit_ms": attempt.limit_ms,
        "started_ms": attempt.started_ms,
        "ended_ms": attempt.ended_ms,
        "again_at_ms": attempt.again_ms,
        "runner_died": attempt.lost,
        "failure": attempt.failure.as_ref().map(failure),
    })
}

fn effect(effect: &Effect) -> Json {
    json!({
        "effect": effect.number,
        "summary": effect.forecast.summary,
        "rendered": effect.forecast.rendered,
        "operation": effect.forecast.operation,
        "point_of_no_return": effect.last,
        "undo": effect.undo,
        "started_ms": effect.started_ms,
        "ended_ms": effect.ended_ms,
        "outcome": effect.outcome,
        "failure": effect.failure.as_ref().map(failure),
    })
}

fn decision(note: &Note) -> Json {
    let evidence = &note.evidence;
    json!({
        "path": note.path,
        "topic": evidence.topic,
        "text": evidence.text,
        "data": evidence.data,
    })
}

fn failure(failure: &Failure) -> Json {
    json!({
        "kind": failure.kind.as_str(),
        "message": failure.message,
        "help": failure.help,
        "consequence": failure.consequence,
    })
}

/// Values as people write them, without their types.
fn map(map: &Map) -> Json {
    Value::Map(map.clone()).to_json()
}
