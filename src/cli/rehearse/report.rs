//! What a rehearsal found, for people and as JSON.

use crate::cli::paint::Paint;
use crate::cli::text::{count, cut, duration, one_line, pad, pad_left, wrap};
use crate::rehearse::{Cell, Column, Explored, Finding, Kind, Played, Scenario, Situation, word};
use serde_json::{Value as Json, json};
use std::fmt::Write as _;

/// The width of everything; a terminal that is narrower wraps.
const WIDTH: usize = 80;
const NAME: usize = 17;
const CELL: usize = 6;

/// An exploration, to be shown.
pub(super) struct Shown<'a> {
    pub(super) explored: &'a Explored,
    /// What replays are given to.
    pub(super) command: &'a str,
    pub(super) paint: Paint,
}

impl Shown<'_> {
    pub(super) fn text(&self) -> String {
        let mut out = self.table();
        out.push('\n');
        for finding in &self.explored.findings {
            out.push_str(&self.finding(finding));
            out.push('\n');
        }
        if self.explored.never_promotes {
            let why = "In no situation did this playbook promote anybody, not even without faults.";
            let _ = writeln!(out, "{} {why}\n", self.paint.bad("never reaches its goal:"));
        }
        out.push_str(&self.last_line());
        out
    }

    /// Situations × faults. A cell is the worst write gap of the runs that promoted; with violations, their number.
    fn table(&self) -> String {
        let mut out = String::new();
        let columns = self.columns();
        let _ = write!(out, "{}", pad("situation", NAME));
        for column in &columns {
            let _ = write!(out, "{}", pad_left(column.word(), CELL + 1));
        }
        out.push('\n');
        for situation in self.situations() {
            let _ = write!(out, "{}", pad(&situation.to_string(), NAME));
            for column in &columns {
                let cell = self.explored.tally.cells.get(&(situation, *column));
                let _ = write!(out, " {}", self.cell(cell));
            }
            out.push('\n');
        }
        out.push_str("(the longest time without an acknowledged write; -: nobody was promoted; n!: n runs broke an invariant)\n");
        wrapped_last(&out)
    }

    fn cell(&self, cell: Option<&Cell>) -> String {
        let Some(cell) = cell else {
            return pad_left("", CELL);
        };
        if cell.violated > 0 {
            let text = pad_left(&format!("{}!", cell.violated), CELL);
            return self.paint.bad(&text).into_owned();
        }
        let text = cell
            .gap
            .map_or_else(|| "-".to_owned(), |gap| short(gap.as_secs_f64()));
        pad_left(&text, CELL)
    }

    fn columns(&self) -> Vec<Column> {
        let kinds = Kind::ALL.map(Column::One);
        let all = std::iter::once(Column::None)
            .chain(kinds)
            .chain(std::iter::once(Column::Several));
        all.filter(|column| self.explored.tally.cells.keys().any(|(_, c)| c == column))
            .collect()
    }

    fn situations(&self) -> Vec<Situation> {
        let known = |s: &Situation| self.explored.tally.cells.keys().any(|(of, _)| of == s);
        Situation::all().into_iter().filter(known).collect()
    }

    fn finding(&self, finding: &Finding) -> String {
        let violation = &finding.violation;
        let mut out = String::new();
        let head = self.paint.bad("violated:");
        let _ = writeln!(out, "{head} {}", violation.invariant.sentence());
        for line in wrap(&one_line(&violation.detail), WIDTH - 2) {
            let _ = writeln!(out, "  {line}");
        }
        let _ = writeln!(out, "  in {}", count_of(finding.count));
        for fault in &violation.scenario.faults {
            let _ = writeln!(out, "  fault {fault}: {}", fault.kind.sentence());
        }
        let _ = writeln!(out, "  {} --replay {}", self.command, violation.scenario);
        out
    }

    fn last_line(&self) -> String {
        let total = self.explored.tally.total();
        let seconds = self.explored.took.as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = total.runs as f64 / seconds;
        let found = self.explored.findings.len();
        let verdict = if found == 0 {
            self.paint.good("no violations").into_owned()
        } else {
            let text = format!("{} runs with violations", total.violated);
            self.paint.bad(&text).into_owned()
        };
        format!(
            "{} in {} ({rate:.0} a second): {verdict}\n",
            count(
                usize::try_from(total.runs).unwrap_or(usize::MAX),
                "run",
                "runs"
            ),
            duration(seconds * 1000.0)
        )
    }

    pub(super) fn json(&self) -> String {
        let tally = &self.explored.tally;
        let cells: Vec<Json> = tally
            .cells
            .iter()
            .map(|((situation, column), cell)| {
                json!({
                    "situation": situation.to_string(),
                    "fault": column.word(),
                    "runs": cell.runs,
                    "violated": cell.violated,
                    "worst_gap_ms": cell.gap.map(|gap| gap.as_millis()),
                })
            })
            .collect();
        let outcomes: Vec<Json> = tally
            .outcomes
            .iter()
            .map(|((situation, outcome), runs)| {
                json!({ "situation": situation.to_string(), "outcome": outcome, "runs": runs })
            })
            .collect();
        let violations: Vec<Json> = self
            .explored
            .findings
            .iter()
            .map(|finding| {
                json!({
                    "invariant": finding.violation.invariant.word(),
                    "detail": finding.violation.detail,
                    "run": finding.violation.run,
                    "at_ms": finding.violation.at_ms,
                    "replay": finding.violation.scenario.to_string(),
                    "count": finding.count,
                })
            })
            .collect();
        let total = tally.total();
        let told = json!({
            "runs": total.runs,
            "violated": total.violated,
            "seconds": self.explored.took.as_secs_f64(),
            "never_promotes": self.explored.never_promotes,
            "cells": cells,
            "outcomes": outcomes,
            "violations": violations,
        });
        format!("{told}\n")
    }
}

/// One scenario, told.
pub(super) fn replayed(
    playbook: &str,
    scenario: &Scenario,
    played: &Played,
    paint: Paint,
) -> String {
    let mut out = format!("{} in {scenario}\n", paint.strong(playbook));
    for fault in &scenario.faults {
        let _ = writeln!(out, "  fault {fault}: {}", fault.kind.sentence());
    }
    if played.met < scenario.faults.len() {
        let _ = writeln!(out, "  {} of them met a call", played.met);
    }
    out.push('\n');
    for line in &played.story {
        for part in folded(line) {
            let bad = line.contains("  VIOLATED ");
            let shown = if bad {
                paint.bad(&part)
            } else {
                part.as_str().into()
            };
            let _ = writeln!(out, "{shown}");
        }
    }
    out.push('\n');
    for violation in &played.violations {
        let head = paint.bad("violated:");
        let _ = writeln!(out, "{head} {}", violation.invariant.sentence());
        for line in wrap(&one_line(&violation.detail), WIDTH - 2) {
            let _ = writeln!(out, "  {line}");
        }
    }
    let verdict = if played.violations.is_empty() {
        paint.good("no violations").into_owned()
    } else {
        String::new()
    };
    let _ = writeln!(
        out,
        "the first run ended: {}{}{verdict}",
        word(played.outcome),
        if verdict.is_empty() { "" } else { "; " }
    );
    out
}

/// The same as JSON.
pub(super) fn replayed_json(scenario: &Scenario, played: &Played) -> String {
    let violations: Vec<Json> = played
        .violations
        .iter()
        .map(|v| {
            json!({ "invariant": v.invariant.word(), "detail": v.detail, "run": v.run, "at_ms": v.at_ms })
        })
        .collect();
    let told = json!({
        "replay": scenario.to_string(),
        "outcome": word(played.outcome),
        "promoted": played.promoted,
        "gap_ms": played.gap.as_millis(),
        "story": played.story,
        "violations": violations,
    });
    format!("{told}\n")
}

/// A line of a story, its moment in front, in as many lines as it takes.
fn folded(line: &str) -> Vec<String> {
    let (when, what) = line.split_at_checked(12).unwrap_or(("", line));
    let mut lines = wrap(&one_line(what), WIDTH - 12).into_iter();
    let first = lines.next().unwrap_or_default();
    let mut out = vec![format!("{when}{first}")];
    out.extend(lines.map(|more| format!("{}{more}", " ".repeat(12))));
    out
}

/// The text with its last line folded.
fn wrapped_last(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let last = lines.pop().unwrap_or_default();
    let mut out = lines.join("\n");
    for line in wrap(last, WIDTH) {
        out.push('\n');
        out.push_str(&line);
    }
    out.push('\n');
    out
}

/// `0.41s`, `12s`, `2m`, in few columns.
fn short(seconds: f64) -> String {
    let text = if seconds < 9.995 {
        format!("{seconds:.2}s")
    } else if seconds < 99.5 {
        format!("{seconds:.0}s")
    } else {
        format!("{:.0}m", seconds / 60.0)
    };
    cut(&text, CELL)
}

fn count_of(scenarios: u64) -> String {
    count(
        usize::try_from(scenarios).unwrap_or(usize::MAX),
        "scenario",
        "scenarios",
    )
}
