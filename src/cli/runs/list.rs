//! Runs, newest first, a line each.

use crate::cli::app::Context;
use crate::cli::args::RunsListArgs;
use crate::cli::console::outcome_look;
use crate::cli::error::CommandError;
use crate::cli::exit_codes::Code;
use crate::cli::paint::{Paint, Tone};
use crate::cli::screen;
use crate::cli::text;
use crate::journal::{Filter, RunSummary, Standing, Which};
use crate::runs::{Records, RunLine};
use std::fmt::Write as _;

/// Names of the columns.
const HEADS: [&str; 6] = ["Run", "Outcome", "Took", "Playbook", "Cluster", "By"];

/// The column that has a tone.
const OUTCOME: usize = 1;

pub(super) async fn list(context: &Context, args: &RunsListArgs) -> Result<Code, CommandError> {
    let records = Records::open(context.global.site.as_deref())?;
    let filter = Filter {
        cluster: context.global.cluster.clone(),
        which: if args.unended {
            Which::Unended
        } else {
            Which::All
        },
        // One more than is shown tells whether there are more.
        limit: (args.limit > 0).then(|| args.limit.saturating_add(1)),
    };
    let mut runs = records.list(&filter).await?;
    let more = args.limit > 0 && runs.len() > usize::try_from(args.limit).unwrap_or(usize::MAX);
    if more {
        runs.pop();
    }
    if context.global.json {
        let mut lines = String::new();
        for run in &runs {
            let _ = writeln!(lines, "{}", as_json(run));
        }
        screen::data(&lines);
        return Ok(Code::Ok);
    }
    if runs.is_empty() {
        screen::note(&format!("no such run in {}\n", records.place()));
        return Ok(Code::Ok);
    }
    let columns = screen::size().map(|(columns, _)| columns);
    screen::data(&table(&runs, context.paint, columns));
    if more {
        screen::note("there are more: `-n 0` shows all\n");
    }
    Ok(Code::Ok)
}

/// No line takes more than `columns`, where they are given. When a run started stands in its id.
fn table(runs: &[RunSummary], paint: Paint, columns: Option<usize>) -> String {
    let cells: Vec<[String; 6]> = runs.iter().map(cells).collect();
    let mut widths = HEADS.map(text::width);
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(text::width(cell));
        }
    }
    // What does not fit is cut from the right: the id and the outcome stay.
    let mut left = columns.unwrap_or(usize::MAX);
    for width in &mut widths {
        *width = (*width).min(left);
        left = left.saturating_sub(*width + 2);
    }
    let mut out = String::new();
    let mut line = |cells: &[String; 6], tone: Option<Tone>| {
        let mut words = Vec::new();
        for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let word = text::pad(cell, width);
            words.push(match tone.filter(|_| index == OUTCOME) {
                Some(tone) => paint.tone(tone, &word).into_owned(),
                None => word,
            });
        }
        let _ = writeln!(out, "{}", words.join("  ").trim_end());
    };
    line(&HEADS.map(str::to_owned), None);
    line(&widths.map(|width| "-".repeat(width)), None);
    for (run, row) in runs.iter().zip(&cells) {
        line(row, Some(tone(run.standing)));
    }
    out
}

fn cells(run: &RunSummary) -> [String; 6] {
    [
        run.run.to_string(),
        word(run.standing).to_owned(),
        took_ms(run).map_or_else(String::new, text::duration),
        text::one_line(&run.playbook),
        text::one_line(&run.cluster),
        text::one_line(&run.trigger),
    ]
}

fn took_ms(run: &RunSummary) -> Option<f64> {
    let started: jiff::Timestamp = run.started.parse().ok()?;
    let ended: jiff::Timestamp = run.ended.as_deref()?.parse().ok()?;
    Some(ended.duration_since(started).as_secs_f64() * 1000.0)
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::UnderWay => "under way",
        Standing::Interrupted => "cut off",
        Standing::Ended(outcome) => outcome_look(outcome).0,
    }
}

fn tone(standing: Standing) -> Tone {
    match standing {
        Standing::UnderWay => Tone::Busy,
        Standing::Interrupted => Tone::Warn,
        Standing::Ended(outcome) => outcome_look(outcome).1,
    }
}

fn as_json(run: &RunSummary) -> String {
    serde_json::to_string(&RunLine::from(run)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Outcome, RunId};

    fn run(id: &str, ended: Option<&str>, standing: Standing) -> RunSummary {
        RunSummary {
            run: RunId(id.into()),
            cluster: "orders".to_owned(),
            playbook: "failover".to_owned(),
            version: Some("1.0.0".to_owned()),
            trigger: "cli".to_owned(),
            key: None,
            started: "2026-11-23T01:46:07.250Z".to_owned(),
            ended: ended.map(str::to_owned),
            last_seq: 140,
            standing,
        }
    }

    #[test]
    fn runs_are_listed_within_eighty_columns() {
        let runs = [
            run("20261123-014609-cccc", None, Standing::UnderWay),
            run("20261123-014608-bbbb", None, Standing::Interrupted),
            run(
                "20261123-014607-aaaa",
                Some("2026-11-23T01:46:07.824Z"),
                Standing::Ended(Outcome::Degraded),
            ),
        ];
        let text = table(&runs, Paint::plain(), Some(80));
        assert!(text.lines().all(|line| text::width(line) <= 80), "{text}");
        insta::assert_snapshot!(text);
    }
}
