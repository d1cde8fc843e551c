//! The run as a tree: a line for each step, in the playbook's order.

use super::parts::Entry;
use super::view::View;
use crate::cli::paint::{Paint, Tone};
use crate::cli::text;
use crate::engine::{Outcome, SkipReason, StepStatus};

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const ASCII_SPINNER: [&str; 4] = ["|", "/", "-", "\\"];

/// What a frame must fit into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Columns; no line takes more.
    pub(crate) columns: usize,
    /// Rows; none for no limit.
    pub(crate) rows: Option<usize>,
}

/// A frame of the live tree. `turn` moves the spinner.
pub(crate) fn frame(view: &View, paint: Paint, room: Room, turn: usize) -> Vec<String> {
    let mut lines = vec![heading(view, paint, room.columns)];
    let footer = footer(view, paint, room.columns);
    let rows = room
        .rows
        .map(|r| r.saturating_sub(lines.len() + footer.len()));
    lines.extend(body(view, paint, room.columns, rows, turn));
    lines.extend(footer);
    lines
}

/// Every step with its status and duration, after the run.
pub(crate) fn steps_table(view: &View, paint: Paint, columns: usize) -> Vec<String> {
    body(view, paint, columns, None, 0)
}

/// How a status looks: sign, sign where there is no Unicode, word, tone.
pub(crate) fn look(status: StepStatus) -> (&'static str, &'static str, &'static str, Tone) {
    match status {
        StepStatus::Pending => ("·", ".", "pending", Tone::Faint),
        StepStatus::Running => ("▸", ">", "running", Tone::Busy),
        StepStatus::Ok => ("✓", "+", "ok", Tone::Good),
        StepStatus::Rescued => ("↺", "~", "rescued", Tone::Warn),
        StepStatus::Skipped => ("↷", "-", "skipped", Tone::Faint),
        StepStatus::Failed => ("✗", "x", "failed", Tone::Bad),
        StepStatus::NotRun => ("○", "o", "not run", Tone::Faint),
        StepStatus::Cancelled => ("⊘", "c", "cancelled", Tone::Warn),
        StepStatus::MayRun => ("?", "?", "may run", Tone::Warn),
    }
}

/// The word and tone of a run's outcome.
pub(crate) fn outcome_look(outcome: Outcome) -> (&'static str, Tone) {
    match outcome {
        Outcome::Ok => ("ok", Tone::Good),
        Outcome::Degraded => ("degraded", Tone::Warn),
        Outcome::Failed => ("failed", Tone::Bad),
        Outcome::Refused => ("refused", Tone::Bad),
        Outcome::Held => ("held for a person", Tone::Warn),
        Outcome::Cancelled => ("cancelled", Tone::Warn),
    }
}

fn heading(view: &View, paint: Paint, columns: usize) -> String {
    let Some(header) = &view.header else {
        return paint.faint("starting …").into_owned();
    };
    let (word, tone) = view
        .ended
        .as_ref()
        .map_or(("running", Tone::Busy), |e| outcome_look(e.outcome));
    let took = text::duration(view.now_ms);
    let tail = text::width(word) + text::width(&took) + 4;
    let title = text::cut(
        &format!("{} on {}", header.playbook, header.cluster),
        columns.saturating_sub(tail),
    );
    format!(
        "{}  {}  {took}",
        paint.strong(&title),
        paint.tone(tone, word)
    )
}

fn footer(view: &View, paint: Paint, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |tone, message: &str| {
        for line in text::wrap(&text::one_line(message), columns) {
            let line = text::cut(&line, columns);
            lines.push(paint.tone(tone, &line).into_owned());
        }
    };
    if let Some((path, at)) = &view.point_of_no_return {
        say(
            Tone::Warn,
            &format!(
                "point of no return passed at +{} ({path})",
                text::duration(*at)
            ),
        );
    }
    if let Some(undone) = view.undone.iter().find(|u| u.status.is_none()) {
        say(Tone::Warn, &format!("taking back {}", undone.path));
    }
    match &view.cancel {
        Some(Ok(())) if view.ended.is_none() => say(
            Tone::Warn,
            "cancelling; press Ctrl-C again to leave the run as it is",
        ),
        Some(Err(reason)) => say(Tone::Bad, &format!("cancel refused: {reason}")),
        _ => {}
    }
    lines
}

struct Line<'a> {
    depth: usize,
    entry: &'a Entry,
    /// Steps below it that are not shown.
    folded: bool,
}

fn body(
    view: &View,
    paint: Paint,
    columns: usize,
    rows: Option<usize>,
    turn: usize,
) -> Vec<String> {
    let mut all = Vec::new();
    collect(view, &view.roots, 0, false, &mut all);
    let mut hidden = 0;
    if let Some(rows) = rows
        && all.len() > rows
    {
        // Too little room: first what has ended well keeps its details to itself, then what is quiet goes.
        all.clear();
        collect(view, &view.roots, 0, true, &mut all);
        let total = all.len();
        if total > rows {
            let keep = rows.saturating_sub(1);
            drop_quiet(&mut all, keep);
            hidden = total - all.len();
        }
    }
    let widest =
        |of: &dyn Fn(&Line) -> usize, most: usize| all.iter().map(of).max().unwrap_or(0).min(most);
    let name = widest(
        &|l| 2 * l.depth + text::width(&l.entry.label),
        columns * 2 / 5,
    );
    let node = widest(
        &|l| l.entry.node.as_deref().map_or(0, text::width),
        columns / 6,
    );
    let mut lines: Vec<String> = all
        .iter()
        .map(|line| row(view, line, paint, columns, (name, node), turn))
        .collect();
    if hidden > 0 {
        lines.push(
            paint
                .faint(&format!(
                    "  … {}",
                    text::count(hidden, "more line", "more lines")
                ))
                .into_owned(),
        );
    }
    lines
}

fn collect<'a>(
    view: &'a View,
    places: &[usize],
    depth: usize,
    fold: bool,
    found: &mut Vec<Line<'a>>,
) {
    for entry in places.iter().map(|place| &view.entries[*place]) {
        let folded = fold && entry.status == StepStatus::Ok && !entry.children.is_empty();
        found.push(Line {
            depth,
            entry,
            folded,
        });
        if !folded {
            collect(view, &entry.children, depth + 1, fold, found);
        }
    }
}

/// Keeps at most `keep` lines: what is under way and what failed before what waits, what waits before what has ended.
fn drop_quiet(lines: &mut Vec<Line>, keep: usize) {
    let rank = |line: &Line| match line.entry.status {
        StepStatus::Running | StepStatus::Failed | StepStatus::Cancelled => 0,
        StepStatus::Rescued => 1,
        StepStatus::Pending => 2,
        StepStatus::Ok | StepStatus::Skipped | StepStatus::NotRun | StepStatus::MayRun => 3,
    };
    for quiet in [3, 2, 1, 0] {
        while lines.len() > keep {
            // Of what has ended the oldest goes first, of what waits the last.
            let found = if quiet == 3 {
                lines.iter().position(|l| rank(l) == quiet)
            } else {
                lines.iter().rposition(|l| rank(l) == quiet)
            };
            match found {
                Some(place) => drop(lines.remove(place)),
                None => break,
            }
        }
    }
}

fn row(
    view: &View,
    line: &Line,
    paint: Paint,
    columns: usize,
    (name, node): (usize, usize),
    turn: usize,
) -> String {
    let entry = line.entry;
    let waiting = entry.status == StepStatus::Running && entry.retry_at_ms.is_some();
    let (sign, ascii, word, tone) = if waiting {
        ("↻", "r", "waiting", Tone::Warn)
    } else {
        look(entry.status)
    };
    let sign = if entry.status == StepStatus::Running && !waiting {
        let spinner = SPINNER[turn % SPINNER.len()];
        paint.sign(spinner, ASCII_SPINNER[turn % ASCII_SPINNER.len()])
    } else {
        paint.sign(sign, ascii)
    };
    let indent = "  ".repeat(line.depth);
    let label = text::pad(&entry.label, name.saturating_sub(indent.len()).max(1));
    let took = entry
        .took_ms(view.now_ms)
        .map(text::duration)
        .unwrap_or_default();
    let mut row = format!("{indent}{} {label}", paint.tone(tone, sign));
    let mut used = indent.len() + 2 + text::width(&label);
    if node > 0 {
        row.push_str("  ");
        row.push_str(&text::pad(entry.node.as_deref().unwrap_or_default(), node));
        used += 2 + node;
    }
    row.push_str("  ");
    row.push_str(&paint.tone(tone, &text::pad(word, 9)));
    // Two spaces, the word, two spaces, the detail, a space, the duration.
    used += 2 + 9 + 2 + 1 + 8;
    let detail = text::pad(
        &text::one_line(&detail(view, line)),
        columns.saturating_sub(used),
    );
    row.push_str("  ");
    row.push_str(&paint.tone(detail_tone(entry.status), &detail));
    row.push(' ');
    row.push_str(&text::pad_left(&took, 8));
    row.truncate(row.trim_end().len());
    row
}

fn detail_tone(status: StepStatus) -> Tone {
    match status {
        StepStatus::Failed => Tone::Plain,
        _ => Tone::Faint,
    }
}

fn detail(view: &View, line: &Line) -> String {
    let entry = line.entry;
    let failure = || {
        entry
            .failure
            .as_ref()
            .map(|f| format!("{}: {}", f.kind.as_str(), f.message))
            .unwrap_or_default()
    };
    match entry.status {
        StepStatus::Pending => String::new(),
        StepStatus::Running => match entry.retry_at_ms {
            Some(at) => {
                let wait = ((at - view.now_ms) / 1000.0).max(0.0);
                format!("again in {wait:.1}s; {}", failure())
            }
            None if entry.has_items => items(view, entry),
            None if entry.attempts > 1 => {
                let doing = entry.doing.clone().unwrap_or_else(failure);
                format!("attempt {}; {doing}", entry.attempts)
            }
            None => entry.doing.clone().unwrap_or_default(),
        },
        StepStatus::Ok => {
            let mut parts = Vec::new();
            if entry.unchanged {
                parts.push("nothing to do".to_owned());
            }
            if entry.has_items {
                parts.push(items(view, entry));
            }
            if entry.attempts > 1 {
                parts.push(format!("{} attempts", entry.attempts));
            }
            if line.folded && !entry.has_items {
                parts.push(text::count(entry.children.len(), "step", "steps"));
            }
            parts.join(", ")
        }
        StepStatus::Rescued | StepStatus::Failed | StepStatus::Cancelled => {
            if entry.has_items && entry.failure.is_none() {
                items(view, entry)
            } else {
                failure()
            }
        }
        StepStatus::Skipped | StepStatus::NotRun | StepStatus::MayRun => {
            entry.skipped.as_ref().map(why_not).unwrap_or_default()
        }
    }
}

fn items(view: &View, entry: &Entry) -> String {
    let done = entry
        .children
        .iter()
        .filter(|place| view.entries[**place].status == StepStatus::Ok)
        .count();
    format!("{done} of {}", entry.children.len())
}

/// Why a step did not run, for people.
pub(crate) fn why_not(reason: &SkipReason) -> String {
    match reason {
        SkipReason::When(condition) => format!("when is false: {condition}"),
        SkipReason::Disabled(reason) => format!("switched off: {reason}"),
        SkipReason::Needs(step) => format!("needs {step}"),
        SkipReason::Failures => "more items failed than may".to_owned(),
        SkipReason::Stopping => "the run was ending".to_owned(),
        SkipReason::Unknown(why) => why.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::Script;
    use super::*;

    const ROOM: Room = Room {
        columns: 80,
        rows: None,
    };

    fn draw(view: &View, room: Room) -> String {
        let lines = frame(view, Paint::plain(), room, 3);
        for line in &lines {
            assert!(
                text::width(line) <= room.columns,
                "{} columns: {line}",
                text::width(line)
            );
        }
        lines.join("\n")
    }

    #[test]
    fn the_tree_while_the_followers_are_under_way() {
        let view = Script::failover().view_until("follow[n3]/verify_attach");
        insta::assert_snapshot!(draw(&view, ROOM));
    }

    #[test]
    fn the_tree_while_an_attempt_waits_for_the_next() {
        let mut view = Script::failure().view_until("promote#retry");
        view.now_ms += 500.0;
        insta::assert_snapshot!(draw(&view, ROOM));
    }

    #[test]
    fn the_tree_after_a_failure() {
        insta::assert_snapshot!(draw(&Script::failure().view(), ROOM));
    }

    #[test]
    fn a_low_terminal_keeps_what_is_under_way() {
        let view = Script::failover().view_until("follow[n3]/verify_attach");
        let room = Room {
            columns: 60,
            rows: Some(9),
        };
        let drawn = draw(&view, room);
        assert!(drawn.lines().count() <= 9, "{drawn}");
        assert!(drawn.contains("verify_attach"), "{drawn}");
        insta::assert_snapshot!(drawn);
    }

    #[test]
    fn no_width_breaks_a_frame() {
        for script in [Script::failover(), Script::failure()] {
            for columns in [20, 40, 60, 80, 132, 250] {
                let room = Room {
                    columns: columns.max(40),
                    rows: Some(5),
                };
                draw(&script.view(), room);
                draw(&script.view_until("promote"), room);
            }
        }
    }
}
