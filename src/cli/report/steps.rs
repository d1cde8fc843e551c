//! Every step in full: attempts, statements and commands, outputs, what it noted.

use super::dag::class;
use super::markup::Markup;
use super::record::{Attempt, Detail, Effect, Record};
use super::sentence::{since, values};
use crate::cli::console::{Entry, Note, heading, look, why_not};
use crate::cli::text;
use crate::engine::{StepStatus, UndoStatus, Verdict};
use crate::playbook::Map;

/// All of them, in the playbook's order. Those that went wrong are open.
pub(super) fn all(m: &mut Markup, record: &Record) {
    for (depth, entry) in record.lines() {
        step(m, record, depth, entry);
        m.newline();
    }
}

fn step(m: &mut Markup, record: &Record, depth: usize, entry: &Entry) {
    let (sign, _, word, tone) = look(entry.status);
    let classes = format!("step {}", class(tone));
    let indent = format!("--depth:{}", depth.min(8));
    let mut attributes = vec![("class", classes.as_str()), ("style", indent.as_str())];
    if matches!(entry.status, StepStatus::Failed | StepStatus::Cancelled) {
        attributes.push(("open", ""));
    }
    m.within("details", &attributes, |m| {
        m.within("summary", &[], |m| {
            m.leaf("span", "sign", sign);
            m.leaf("span", "what", &entry.label);
            let action = entry.action.as_deref().filter(|a| *a != entry.label);
            if let Some(action) = action {
                m.leaf("span", "soft", action);
            }
            if let Some(node) = &entry.node {
                m.leaf("span", "soft", &format!("on {node}"));
            }
            m.leaf("span", &format!("badge {}", class(tone)), word);
            if let Some(took) = entry.took_ms(record.view.now_ms) {
                m.leaf("span", "took", &text::duration(took));
            }
        });
        m.within("div", &[("class", "in")], |m| inside(m, record, entry));
    });
}

fn inside(m: &mut Markup, record: &Record, entry: &Entry) {
    for line in standing(entry, record.about(&entry.path)) {
        m.leaf("p", "", &line);
    }
    if let Some(failure) = &entry.failure {
        m.leaf(
            "p",
            "",
            &format!("{}: {}", failure.kind.as_str(), failure.message),
        );
        if let Some(help) = &failure.help {
            m.leaf("p", "soft", help);
        }
    }
    let nothing = Detail::default();
    let detail = record.about(&entry.path).unwrap_or(&nothing);
    if let Some(given) = detail.inputs.as_ref().filter(|i| !i.with.is_empty()) {
        pairs(m, "Given", &given.with);
    }
    for attempt in &detail.attempts {
        m.leaf("p", "soft", &attempted(attempt, record.view.now_ms));
    }
    for effect in record.effects_of(&entry.path) {
        m.within("div", &[("class", "part")], |m| done(m, effect));
    }
    for note in record.view.notes.iter().filter(|n| n.path == entry.path) {
        m.within("div", &[("class", "part")], |m| {
            m.leaf("b", "", heading(&note.evidence));
            m.text(": ");
            evidence(m, note, &note.path.0);
        });
    }
    pairs(m, "Outputs", &detail.outputs);
    for (status, what) in &detail.undone {
        m.leaf("p", "", &undone(*status, what));
    }
}

/// How it stands, in sentences.
pub(super) fn standing(entry: &Entry, detail: Option<&Detail>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(reason) = &entry.skipped {
        lines.push(format!("Not run: {}", why_not(reason)));
    }
    if entry.unchanged {
        lines.push("Nothing had to be done.".to_owned());
    }
    for (verdict, why) in detail.iter().flat_map(|d| &d.probes) {
        let word = match verdict {
            Verdict::Satisfied => "Found as it should be",
            Verdict::Needed => "To be done",
            Verdict::Conflict => "Must not be done",
            Verdict::Unknown => "Could not be told",
        };
        lines.push(format!("{word}: {why}"));
    }
    match entry.status {
        StepStatus::Pending => lines.push("Its turn had not come.".to_owned()),
        StepStatus::Running => {
            lines.push("Under way when the run was last heard of.".to_owned());
        }
        _ => {}
    }
    lines
}

/// What became of an attempt, in one line.
pub(super) fn attempted(attempt: &Attempt, now_ms: f64) -> String {
    let started = since(attempt.started_ms);
    let took = text::duration(attempt.ended_ms.unwrap_or(now_ms) - attempt.started_ms);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
    let limit = text::duration(attempt.limit_ms as f64);
    let number = attempt.number;
    let end = match (&attempt.failure, attempt.lost, attempt.ended_ms) {
        (Some(failure), ..) => {
            let failed = format!("failed: {}: {}", failure.kind.as_str(), failure.message);
            match attempt.again_ms {
                Some(again) => format!("{failed}; again at {}", since(again)),
                None => failed,
            }
        }
        (None, true, _) => "its runner died".to_owned(),
        (None, false, Some(_)) => "ended".to_owned(),
        (None, false, None) => "has not ended".to_owned(),
    };
    format!("Attempt {number} at {started}, {took} of at most {limit}: {end}")
}

/// How an undo ended, in one line.
pub(super) fn undone(status: UndoStatus, what: &str) -> String {
    match status {
        UndoStatus::Done => format!("Taken back: {what}"),
        UndoStatus::Nothing => "There was nothing to take back.".to_owned(),
        UndoStatus::Failed => format!("Left as it is: {what}"),
    }
}

/// What an effect was and how it ended, in one line.
pub(super) fn effect(effect: &Effect) -> String {
    let took = effect.ended_ms.map(|end| end - effect.started_ms);
    let took = took.map(|took| format!(" in {}", text::duration(took)));
    let took = took.unwrap_or_default();
    let lead = if effect.undo { "takes back: " } else { "" };
    let last = if effect.last {
        " [point of no return]"
    } else {
        ""
    };
    let summary = &effect.forecast.summary;
    let why = effect.failure.as_ref();
    let why = why.map(|f| format!(" ({}: {})", f.kind.as_str(), f.message));
    let why = why.unwrap_or_default();
    let at = since(effect.started_ms);
    format!(
        "{lead}{summary}: {}{took}{why}, at {at}{last}",
        effect.word()
    )
}

fn done(m: &mut Markup, one: &Effect) {
    m.leaf("span", "soft", &effect(one));
    if !one.forecast.rendered.is_empty() {
        m.leaf("pre", "", &one.forecast.rendered.join("\n"));
    }
}

fn pairs(m: &mut Markup, title: &str, map: &Map) {
    let pairs = values(map);
    if pairs.is_empty() {
        return;
    }
    m.within("div", &[("class", "part")], |m| {
        m.leaf("span", "soft", title);
        m.within("dl", &[("class", "outputs")], |m| {
            for (name, value) in pairs {
                m.leaf("dt", "mono", name);
                m.leaf("dd", "mono", &value);
            }
        });
    });
}

/// A note's sentence, the facts that it rests on, and whose it is.
pub(super) fn evidence(m: &mut Markup, note: &Note, by: &str) {
    m.text(&note.evidence.text);
    m.within("div", &[("class", "evidence")], |m| {
        m.leaf("span", "", &format!("by {by}"));
        for (name, value) in facts(&note.evidence.data) {
            m.within("span", &[], |m| {
                m.text(&name);
                m.text(" ");
                m.leaf("code", "", &value);
            });
        }
    });
}

/// The facts that a note rests on, as names and texts.
pub(super) fn facts(data: &serde_json::Value) -> Vec<(String, String)> {
    match data {
        serde_json::Value::Null => Vec::new(),
        serde_json::Value::Object(map) => map
            .iter()
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect(),
        other => vec![("data".to_owned(), plain(other))],
    }
}

/// A value without the signs of JSON.
fn plain(value: &serde_json::Value) -> String {
    use serde_json::Value as Json;
    match value {
        Json::String(text) => text.clone(),
        Json::Array(items) if items.is_empty() => "none".to_owned(),
        Json::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join("; "),
        Json::Object(map) => {
            let pairs = map.iter();
            let pairs = pairs.map(|(name, value)| format!("{name} {}", plain(value)));
            pairs.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}
