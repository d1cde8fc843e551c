//! What the demo came to, for people and as JSON.

use super::play::Played;
use crate::cli::exit_codes::Code;
use crate::cli::paint::{Paint, Tone};
use crate::cli::text;
use crate::runs::topology_json;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What clients saw, and where to look further; ends with a newline.
pub(super) fn text(played: &Played, paint: Paint) -> String {
    let writer = &played.writer;
    let mut out = format!("{}\n", paint.strong("What a client saw"));
    let mut row = |name: &str, tone: Tone, value: &str, what: &str| {
        let value = paint.tone(tone, value).into_owned();
        let _ = writeln!(out, "  {name:<14}{value} {what}");
    };
    row(
        "longest gap",
        Tone::Strong,
        &text::duration(writer.gap.as_secs_f64() * 1000.0),
        "without an acknowledged row",
    );
    row(
        "acknowledged",
        Tone::Plain,
        &writer.acknowledged.to_string(),
        "rows",
    );
    match writer.lost {
        Some(0) => row("lost", Tone::Good, "0", "of them"),
        Some(lost) => row("LOST", Tone::Bad, &lost.to_string(), "of them"),
        None => row(
            "lost",
            Tone::Bad,
            "unknown:",
            "there is no primary to count them on",
        ),
    }
    if writer.unknown > 0 {
        row(
            "unanswered",
            Tone::Plain,
            &writer.unknown.to_string(),
            "sent, and nobody said whether it was committed",
        );
    }
    let word = match played.code() {
        Code::Ok => paint.good("ok"),
        Code::Degraded => paint.warn("degraded"),
        _ => paint.bad("failed"),
    };
    let _ = writeln!(
        out,
        "\n{} {word}: {} was killed, {}",
        paint.strong("Demo"),
        played.killed,
        match played.after.primary() {
            Some(row) => format!("{} is primary now", row.name),
            None => "no primary answers".to_owned(),
        }
    );
    let _ = writeln!(out, "\n{}", paint.strong("Look further"));
    for (command, what) in commands(played) {
        let _ = writeln!(out, "  {command}\n      {}", paint.faint(&what));
    }
    out
}

fn commands(played: &Played) -> Vec<(String, String)> {
    let with = |command: String, what: &str| (command, what.to_owned());
    let Some(kept) = &played.kept else {
        return vec![
            with(
                "pgbaton demo --keep".to_owned(),
                "the same, and the cluster stays",
            ),
            with(
                "pgbaton lab up --standbys 2".to_owned(),
                "a cluster of your own to break; it says how to go on",
            ),
            with(
                "pgbaton playbook show failover".to_owned(),
                "the playbook that just ran: read it, copy it, change it",
            ),
            with(
                "pgbaton graph failover --format svg > failover.svg".to_owned(),
                "its steps as a picture",
            ),
        ];
    };
    let site = kept.site.display();
    let standby = played
        .after
        .rows
        .iter()
        .find(|row| row.role.as_deref() == Some("standby"));
    let mut found = vec![with(
        format!("pgbaton --site {site} status --watch"),
        "the cluster, every second",
    )];
    if let Some(standby) = standby {
        found.push(with(
            format!(
                "pgbaton --site {site} run switchover -p candidate={}",
                standby.name
            ),
            "a planned change of roles, without a lost row",
        ));
    }
    found.push(with(
        format!("pgbaton --site {site} runs report {}", played.run),
        "the run as a page of HTML: every decision, every effect",
    ));
    found.push(with(
        format!("pgbaton lab down --name {}", kept.lab),
        "removes the cluster",
    ));
    found
}

/// Everything in one object.
pub(super) fn json(played: &Played) -> Value {
    let view = &played.view;
    let steps: Vec<Value> = view
        .entries
        .iter()
        .map(|entry| {
            json!({
                "path": entry.path.to_string(),
                "action": entry.action,
                "node": entry.node,
                "status": entry.status.as_str(),
                "started_ms": entry.started_ms,
                "duration_ms": entry.took_ms(view.now_ms),
                "attempts": entry.attempts,
            })
        })
        .collect();
    json!({
        "run": played.run,
        "outcome": played.outcome,
        "duration_ms": view.now_ms,
        "killed": played.killed,
        "steps": steps,
        "before": topology_json(&played.before),
        "after": topology_json(&played.after),
        "writer": {
            "acknowledged": played.writer.acknowledged,
            "lost": played.writer.lost,
            "unknown": played.writer.unknown,
            "longest_gap_ms": played.writer.gap.as_secs_f64() * 1000.0,
        },
        "site_file": played.kept.as_ref().map(|kept| &kept.site),
    })
}

#[cfg(test)]
mod tests {
    use super::super::play::{Kept, Written};
    use super::*;
    use crate::cli::console::View;
    use crate::cli::topology_table::samples;
    use crate::cluster::NodeName;
    use crate::engine::Outcome;
    use std::time::Duration;

    fn played(lost: usize, kept: bool) -> Played {
        Played {
            killed: NodeName::parse("n1").unwrap(),
            before: samples::healthy(),
            after: samples::topology(vec![
                samples::row(1, None, None),
                samples::row(2, Some("primary"), None),
                samples::row(3, Some("standby"), Some("n2")),
            ]),
            run: "20250102T030405Z-7f3a".into(),
            outcome: Outcome::Ok,
            view: View::default(),
            writer: Written {
                acknowledged: 1234,
                lost: Some(lost),
                unknown: 1,
                gap: Duration::from_micros(412_300),
            },
            kept: kept.then(|| Kept {
                lab: "demo-7".into(),
                site: "/var/tmp/labs/demo-7/site.yaml".into(),
            }),
        }
    }

    #[test]
    fn the_report_of_a_demo_that_is_gone() {
        insta::assert_snapshot!(text(&played(0, false), Paint::plain()));
    }

    #[test]
    fn the_report_of_a_demo_that_is_kept() {
        insta::assert_snapshot!(text(&played(0, true), Paint::plain()));
    }

    #[test]
    fn a_lost_row_is_a_failure_whatever_the_run_says() {
        let played = played(3, false);
        assert_eq!(played.code(), Code::Failed);
        assert!(text(&played, Paint::plain()).contains("LOST          3 of them"));
        assert_eq!(json(&played)["writer"]["lost"], 3);
    }
}
