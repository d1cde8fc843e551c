//! A run for a terminal: every step in full, then what was decided and what is left.

use super::record::{Effect, Record};
use super::sentence::{clock, ending, since, title, values};
use super::steps;
use crate::cli::console::{Entry, heading, look, rest};
use crate::cli::paint::{Paint, Tone};
use crate::cli::text;
use crate::engine::StepStatus;
use crate::playbook::Map;
use std::fmt::Write as _;

/// How wide names are before what is said about them.
const INDENT: usize = 10;

/// All of it; ends with a newline. Sentences are wrapped where `columns` are given, statements and commands are broken
/// anywhere, and nothing is cut.
pub(crate) fn show(record: &Record, journal: &str, paint: Paint, columns: Option<usize>) -> String {
    let mut page = Page {
        text: String::new(),
        paint,
        columns: columns.unwrap_or(usize::MAX),
    };
    page.header(record);
    let strong = paint.strong("Steps").into_owned();
    let _ = writeln!(page.text, "\n{strong}");
    for (depth, entry) in record.lines() {
        page.step(record, depth, entry);
    }
    page.open_debts(record);
    page.text.push('\n');
    page.text
        .push_str(&rest(&record.view, Some(journal), paint, columns));
    page.text
}

/// A page under construction; writing to its text cannot fail.
struct Page {
    text: String,
    paint: Paint,
    columns: usize,
}

impl Page {
    fn header(&mut self, record: &Record) {
        let (word, tone) = ending(record);
        let took = text::duration(record.view.now_ms);
        let title = self.paint.strong(&title(record)).into_owned();
        let word = self.paint.tone(tone, word).into_owned();
        let _ = writeln!(self.text, "{title}  {word}  {took}");
        let start = &record.start;
        if let Some(header) = &record.view.header {
            self.item(2, "run", &header.run);
        }
        let by = format!("{} by {}", clock(&start.at, 0.0), start.trigger);
        self.item(2, "started", &by);
        let now = clock(&start.at, record.view.now_ms);
        if record.view.ended.is_some() {
            self.item(2, "ended", &now);
        } else {
            self.item(2, "last heard", &now);
            self.item(2, "", &super::sentence::outcome(record));
        }
        for resumed in &record.resumed {
            let who = format!(
                "{} ({}) by {}",
                clock(&resumed.at, 0.0),
                since(resumed.at_ms),
                resumed.runner
            );
            self.item(2, "resumed", &who);
        }
        self.pairs(2, "given", &start.params);
        self.pairs(2, "outputs", &record.outputs);
    }

    fn step(&mut self, record: &Record, depth: usize, entry: &Entry) {
        let (sign, ascii, word, tone) = look(entry.status);
        let sign = self.paint.sign(sign, ascii);
        let sign = self.paint.tone(tone, sign).into_owned();
        let word = self.paint.tone(tone, word).into_owned();
        let label = text::one_line(&entry.label);
        let label = self.paint.strong(&label).into_owned();
        let indent = 2 + 2 * depth;
        let mut head = format!("{:indent$}{sign} {label}", "");
        let action = entry.action.as_deref().filter(|a| *a != entry.label);
        if let Some(action) = action {
            let _ = write!(head, " ({})", text::one_line(action));
        }
        if let Some(node) = &entry.node {
            let _ = write!(head, " {}", text::one_line(node));
        }
        let _ = write!(head, ": {word}");
        if let (Some(at), Some(took)) = (entry.started_ms, entry.took_ms(record.view.now_ms)) {
            let time = format!("at {}, {}", since(at), text::duration(took));
            let _ = write!(head, "  {}", self.paint.faint(&time));
        }
        let _ = writeln!(self.text, "{head}");
        self.about(record, entry, indent + 4);
    }

    fn about(&mut self, record: &Record, entry: &Entry, indent: usize) {
        let detail = record.about(&entry.path);
        for line in steps::standing(entry, detail) {
            self.sentence(indent, Tone::Plain, &line);
        }
        if let Some(failure) = &entry.failure {
            let tone = if entry.status == StepStatus::Failed {
                Tone::Bad
            } else {
                Tone::Plain
            };
            let said = format!("{}: {}", failure.kind.as_str(), failure.message);
            self.sentence(indent, tone, &said);
            if let Some(help) = &failure.help {
                self.sentence(indent, Tone::Plain, &format!("Do next: {help}"));
            }
        }
        // One attempt that ended as its step did has nothing to tell.
        let attempts = detail.map_or(&[][..], |d| &d.attempts);
        let quiet = matches!(attempts, [one] if one.failure.is_none() && !one.lost);
        for attempt in attempts.iter().filter(|_| !quiet) {
            let said = steps::attempted(attempt, record.view.now_ms);
            self.sentence(indent, Tone::Plain, &said);
        }
        for effect in record.effects_of(&entry.path) {
            self.effect(indent, effect);
        }
        for note in record.view.notes.iter().filter(|n| n.path == entry.path) {
            let said = format!("{}: {}", heading(&note.evidence), note.evidence.text);
            self.sentence(indent, Tone::Plain, &said);
            for (name, value) in steps::facts(&note.evidence.data) {
                self.exact(indent + 2, &format!("{name}: {value}"));
            }
        }
        let Some(detail) = detail else {
            return;
        };
        self.pairs(indent, "outputs", &detail.outputs);
        for (status, what) in &detail.undone {
            self.sentence(indent, Tone::Warn, &steps::undone(*status, what));
        }
    }

    fn effect(&mut self, indent: usize, effect: &Effect) {
        let tone = if effect.outcome.as_deref() == Some("done") {
            Tone::Plain
        } else {
            Tone::Bad
        };
        let arrow = self.paint.sign("→", "->");
        let said = format!("{arrow} {}", steps::effect(effect));
        self.sentence(indent, tone, &said);
        for rendered in &effect.forecast.rendered {
            for line in rendered.lines() {
                self.exact(indent + 4, line);
            }
        }
    }

    /// Of a run that has ended its end tells them.
    fn open_debts(&mut self, record: &Record) {
        if record.view.ended.is_some() {
            return;
        }
        let debts = super::sentence::debts(record);
        if debts.is_empty() {
            return;
        }
        let title = self.paint.strong("Left to do, so far").into_owned();
        let _ = writeln!(self.text, "\n{title}");
        for (index, debt) in debts.iter().enumerate() {
            self.item(2, &format!("{}.", index + 1), debt);
        }
    }

    fn pairs(&mut self, indent: usize, name: &str, map: &Map) {
        let pairs = values(map);
        if pairs.is_empty() {
            return;
        }
        let said: Vec<String> = pairs
            .into_iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        self.item(indent, name, &said.join("; "));
    }

    /// A sentence behind a name, wrapped below itself.
    fn item(&mut self, indent: usize, name: &str, sentence: &str) {
        let name = if text::width(name) < INDENT {
            text::pad(name, INDENT)
        } else {
            format!("{name}  ")
        };
        let first = indent + text::width(&name);
        let room = self.columns.saturating_sub(first).max(20);
        for (index, line) in wrapped(sentence, room).iter().enumerate() {
            if index == 0 {
                let name = self.paint.faint(&name).into_owned();
                let _ = writeln!(self.text, "{:indent$}{name}{line}", "");
            } else {
                let _ = writeln!(self.text, "{:first$}{line}", "");
            }
        }
    }

    fn sentence(&mut self, indent: usize, tone: Tone, sentence: &str) {
        let room = self.columns.saturating_sub(indent).max(20);
        for line in wrapped(sentence, room) {
            let line = self.paint.tone(tone, &line).into_owned();
            let _ = writeln!(self.text, "{:indent$}{line}", "");
        }
    }

    /// As it was sent, broken where the terminal ends.
    fn exact(&mut self, indent: usize, line: &str) {
        let room = self.columns.saturating_sub(indent).max(20);
        for part in text::broken(line, room) {
            let part = self.paint.faint(&part).into_owned();
            let _ = writeln!(self.text, "{:indent$}{part}", "");
        }
    }
}

/// Wrapped at spaces; what has none is broken anywhere, for nothing is cut.
fn wrapped(sentence: &str, room: usize) -> Vec<String> {
    let lines = text::wrap(&text::one_line(sentence), room);
    let parts = lines.iter().flat_map(|line| text::broken(line, room));
    parts.collect()
}
