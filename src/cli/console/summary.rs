//! What a run came to: outcome, failure, what was undone, what is left, on what evidence it decided.

use super::parts::Undone;
use super::tree::{outcome_look, steps_table};
use super::view::View;
use crate::cli::paint::{Paint, Tone};
use crate::cli::text;
use crate::engine::{Evidence, PAID, UndoStatus};
use std::fmt::Write as _;

/// How wide names are before what is said about them.
const INDENT: usize = 10;

/// The whole summary; ends with a newline. Sentences are never cut; they are wrapped where `columns` are given.
pub(crate) fn summary(
    view: &View,
    journal: Option<&str>,
    paint: Paint,
    columns: Option<usize>,
) -> String {
    let mut page = Page::new(paint, columns);
    page.steps(view);
    page.rest(view, journal);
    page.text
}

/// The summary without the steps, for where they stand in full.
pub(crate) fn rest(
    view: &View,
    journal: Option<&str>,
    paint: Paint,
    columns: Option<usize>,
) -> String {
    let mut page = Page::new(paint, columns);
    page.rest(view, journal);
    page.text
}

/// What a note is about, for people.
pub(crate) fn heading(evidence: &Evidence) -> &str {
    if is_waived(evidence) {
        "WAIVED"
    } else {
        &evidence.topic
    }
}

/// Whether a note says that somebody accepted a risk in place of a proof.
pub(crate) fn is_waived(evidence: &Evidence) -> bool {
    evidence.topic == "waived"
        || (evidence.topic == "proof"
            && ["proof", "kind"]
                .iter()
                .any(|key| evidence.data.get(key).and_then(|v| v.as_str()) == Some("waived")))
}

/// A page under construction; writing to its text cannot fail.
struct Page {
    text: String,
    paint: Paint,
    columns: usize,
    table: usize,
}

impl Page {
    fn new(paint: Paint, columns: Option<usize>) -> Self {
        Self {
            text: String::new(),
            paint,
            columns: columns.unwrap_or(usize::MAX),
            table: columns.unwrap_or(100),
        }
    }

    fn rest(&mut self, view: &View, journal: Option<&str>) {
        self.waived(view);
        self.decisions(view);
        self.failure(view);
        self.undone(view);
        self.debts(view);
        self.outcome(view, journal);
    }

    fn section(&mut self, title: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&self.paint.strong(title));
        self.text.push('\n');
    }

    /// `  name      sentence`, the sentence wrapped below itself.
    fn item(&mut self, tone: Tone, name: &str, sentence: &str) {
        let name = if text::width(name) < INDENT {
            text::pad(name, INDENT)
        } else {
            format!("{name}  ")
        };
        let indent = text::width(&name) + 2;
        // A long name would leave its sentence no room: it goes on below.
        let below = indent.min(INDENT + 2);
        let mut lines = sentence.lines().filter(|l| !l.trim().is_empty());
        let first = lines.next().unwrap_or_default();
        let room = self.columns.saturating_sub(indent).max(20);
        let mut wrapped = text::wrap(&text::one_line(first), room);
        for line in lines {
            wrapped.extend(text::wrap(&text::one_line(line), room));
        }
        for (index, line) in wrapped.iter().enumerate() {
            if index == 0 {
                let name = self.paint.tone(tone, &name);
                let _ = writeln!(self.text, "  {name}{line}");
            } else {
                let _ = writeln!(self.text, "{:below$}{line}", "");
            }
        }
    }

    fn steps(&mut self, view: &View) {
        if view.roots.is_empty() {
            return;
        }
        self.section("Steps");
        for line in steps_table(view, self.paint, self.table.saturating_sub(2)) {
            self.text.push_str("  ");
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }

    fn waived(&mut self, view: &View) {
        let waived: Vec<_> = view
            .notes
            .iter()
            .filter(|n| is_waived(&n.evidence))
            .collect();
        if waived.is_empty() {
            return;
        }
        self.section("WAIVED: a risk was accepted in place of a proof");
        for note in waived {
            let text = &note.evidence.text;
            self.item(Tone::Bad, "WAIVED", &format!("{text} ({})", note.path));
        }
    }

    fn decisions(&mut self, view: &View) {
        let told: Vec<_> = view
            .notes
            .iter()
            .filter(|n| {
                !is_waived(&n.evidence) && !matches!(n.evidence.topic.as_str(), "debt" | PAID)
            })
            .collect();
        if told.is_empty() {
            return;
        }
        self.section("Decisions and evidence");
        let mut said = Vec::new();
        for note in told {
            // What two steps found the same is told once.
            let what = (&note.evidence.topic, &note.evidence.text);
            if said.contains(&what) {
                continue;
            }
            said.push(what);
            self.item(Tone::Plain, &note.evidence.topic, &note.evidence.text);
        }
    }

    fn failure(&mut self, view: &View) {
        let Some(failure) = view.ended.as_ref().and_then(|e| e.failure.as_ref()) else {
            return;
        };
        self.section("What went wrong");
        let culprit = view.culprit();
        if let Some(entry) = culprit {
            let node = entry.node.as_deref().map(|n| format!(" on {n}"));
            let action = entry.action.as_deref().unwrap_or_default();
            let node = node.unwrap_or_default();
            let what = if entry.label == action || action.is_empty() {
                String::new()
            } else {
                format!(" ({action})")
            };
            self.item(Tone::Plain, "where", &format!("{}{what}{node}", entry.path));
        }
        let kind = failure.kind.as_str();
        self.item(Tone::Bad, "what", &format!("{kind}: {}", failure.message));
        if let Some(entry) = culprit {
            let took = text::duration(entry.took_ms(view.now_ms).unwrap_or(0.0));
            let attempts = text::count(entry.attempts as usize, "attempt", "attempts");
            let mut tried = format!("{attempts} in {took}");
            let inside = |path: &str| {
                path == entry.path.0.as_ref() || path.starts_with(&format!("{}/", entry.path))
            };
            for effect in view.effects.iter().filter(|e| inside(&e.path.0)) {
                let outcome = effect.outcome.as_deref().unwrap_or("not settled");
                let _ = write!(tried, "; {}: {outcome}", effect.summary);
            }
            self.item(Tone::Plain, "tried", &tried);
        }
        if let Some(help) = &failure.help {
            self.item(Tone::Strong, "do next", help);
        }
    }

    fn undone(&mut self, view: &View) {
        let undone: Vec<&Undone> = view
            .undone
            .iter()
            .filter(|u| u.status != Some(UndoStatus::Nothing))
            .collect();
        if undone.is_empty() {
            if let Some((path, at)) = &view.point_of_no_return
                && view.ended.as_ref().is_some_and(|e| e.failure.is_some())
            {
                self.section("Nothing was taken back");
                let at = text::duration(*at);
                self.item(
                    Tone::Warn,
                    "forward",
                    &format!("{path} passed the point of no return at +{at}"),
                );
            }
            return;
        }
        self.section("Taken back");
        for one in undone {
            let (tone, word) = match one.status {
                Some(UndoStatus::Failed) => (Tone::Bad, "LEFT"),
                Some(_) => (Tone::Good, "undone"),
                None => (Tone::Bad, "NOT ENDED"),
            };
            self.item(tone, word, &format!("{}: {}", one.path, one.what));
        }
    }

    fn debts(&mut self, view: &View) {
        let debts = view.ended.as_ref().map(|e| e.debts.as_slice());
        let Some(debts @ [_, ..]) = debts else {
            return;
        };
        self.section("Left to do");
        for (index, debt) in debts.iter().enumerate() {
            self.item(Tone::Warn, &format!("{}.", index + 1), debt);
        }
    }

    fn outcome(&mut self, view: &View, journal: Option<&str>) {
        let title = view.header.as_ref().map_or_else(
            || "run".to_owned(),
            |h| format!("{} on {}", h.playbook, h.cluster),
        );
        self.section("Outcome");
        match &view.ended {
            Some(ended) => {
                let (word, tone) = outcome_look(ended.outcome);
                let took = text::duration(view.now_ms);
                self.item(tone, word, &format!("{title} in {took}"));
            }
            None => self.item(Tone::Warn, "not ended", &title),
        }
        if let Some(Err(reason)) = &view.cancel {
            self.item(Tone::Warn, "cancel", &format!("refused: {reason}"));
        }
        if let Some(header) = &view.header {
            self.item(Tone::Plain, "run", &header.run);
        }
        if let Some(journal) = journal {
            // Not through `item`: a path is neither wrapped nor changed, so that it can be copied.
            let name = text::pad("journal", INDENT);
            let _ = writeln!(self.text, "  {name}{journal}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::Script;
    use super::*;

    fn print(script: &Script) -> String {
        let journal = "/var/lib/pgbaton/journal.db";
        let text = summary(&script.view(), Some(journal), Paint::plain(), Some(80));
        for line in text.lines() {
            assert!(text::width(line) <= 80, "{line}");
        }
        text
    }

    #[test]
    fn a_failover_that_went_well() {
        insta::assert_snapshot!(print(&Script::failover()));
    }

    #[test]
    fn a_failover_that_failed_says_what_is_left() {
        insta::assert_snapshot!(print(&Script::failure()));
    }

    #[test]
    fn a_waived_proof_is_named_so_in_either_form() {
        let waived = |topic: &str, data| Evidence {
            topic: topic.to_owned(),
            text: String::new(),
            data,
        };
        assert!(is_waived(&waived("waived", serde_json::json!({}))));
        assert!(is_waived(&waived(
            "proof",
            serde_json::json!({"kind": "waived"})
        )));
        assert!(!is_waived(&waived(
            "proof",
            serde_json::json!({"proof": "stopped"})
        )));
    }
}
