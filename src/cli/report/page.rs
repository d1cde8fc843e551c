//! The report as one file of HTML that needs nothing else: no network, no font, no script.

use super::markup::Markup;
use super::record::Record;
use super::sentence::{clock, debts, ending, outcome, since, title, values};
use super::{cluster, dag, gantt, steps, style};
use crate::cli::console::{Note, heading, is_waived};
use crate::cli::text;
use crate::engine::{PAID, UndoStatus};
use crate::playbook::Checked;

/// The whole page. `playbook` is the one that the run was started with, where it could be read.
pub(crate) fn html(record: &Record, playbook: Option<&Checked>) -> String {
    let mut m = Markup::default();
    m.ours("<!DOCTYPE html>\n");
    m.within("html", &[("lang", "en")], |m| {
        m.within("head", &[], |m| head(m, record));
        m.newline();
        m.within("body", &[], |m| {
            m.within("main", &[], |m| body(m, record, playbook));
        });
    });
    m.newline();
    m.finish()
}

fn head(m: &mut Markup, record: &Record) {
    m.lone("meta", &[("charset", "utf-8")]);
    m.lone(
        "meta",
        &[
            ("name", "viewport"),
            ("content", "width=device-width, initial-scale=1"),
        ],
    );
    m.lone(
        "meta",
        &[
            ("http-equiv", "Content-Security-Policy"),
            ("content", style::POLICY),
        ],
    );
    let (word, _) = ending(record);
    let run = record.view.header.as_ref().map_or("", |h| h.run.as_str());
    m.leaf("title", "", &format!("{}: {word} ({run})", title(record)));
    m.within("style", &[], |m| m.ours(style::CSS));
    m.within("script", &[], |m| m.ours(style::SCRIPT));
}

fn body(m: &mut Markup, record: &Record, playbook: Option<&Checked>) {
    opening(m, record);
    left_to_do(m, record);
    went_wrong(m, record);
    section(m, "Timeline", |m| timeline(m, record));
    section(m, "Steps and what they need", |m| {
        match playbook {
        Some(playbook) => m.within("div", &[("class", "box")], |m| {
            m.picture(&dag::picture(record, playbook));
        }),
        None => m.leaf(
            "p",
            "soft",
            "There is no graph: the journal keeps no playbook that this version of pgbaton can read.",
        ),
    }
    });
    section(m, "The cluster before and after", |m| {
        cluster::before_and_after(m, record);
    });
    section(m, "Decisions and their evidence", |m| decisions(m, record));
    taken_back(m, record);
    section(m, "Every step", |m| steps::all(m, record));
    m.within("footer", &[], |m| {
        m.text("Made by pgbaton ");
        m.text(env!("CARGO_PKG_VERSION"));
        m.text(" from the run's journal. Secrets were masked before anything was recorded.");
    });
}

fn section(m: &mut Markup, title: &str, inside: impl FnOnce(&mut Markup)) {
    m.newline();
    m.within("section", &[], |m| {
        m.leaf("h2", "", title);
        inside(m);
    });
}

fn opening(m: &mut Markup, record: &Record) {
    let (word, tone) = ending(record);
    m.within("h1", &[], |m| {
        m.text(&title(record));
        m.text(" ");
        m.leaf("span", &format!("badge {}", dag::class(tone)), word);
    });
    m.leaf("p", "lead", &outcome(record));
    let start = &record.start;
    m.within("dl", &[("class", "facts")], |m| {
        let mut fact = |name: &str, value: &str| {
            m.leaf("dt", "", name);
            m.leaf("dd", "", value);
        };
        if let Some(header) = &record.view.header {
            fact("run", &header.run);
        }
        fact(
            "started",
            &format!("{} by {}", clock(&start.at, 0.0), start.trigger),
        );
        let end = if record.view.ended.is_some() {
            "ended"
        } else {
            "last heard of"
        };
        let now = record.view.now_ms;
        fact(end, &format!("{} ({})", clock(&start.at, now), since(now)));
        for resumed in &record.resumed {
            let said = format!("{} by {}", clock(&resumed.at, 0.0), resumed.runner);
            fact("resumed", &said);
        }
        match &record.view.cancel {
            Some(Ok(())) => fact("cancel", "asked for, and accepted"),
            Some(Err(reason)) => fact("cancel", &format!("asked for, and refused: {reason}")),
            None => {}
        }
        let pairs = |map| {
            let all = values(map).into_iter();
            let all: Vec<String> = all
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            all.join("; ")
        };
        let (params, outputs) = (pairs(&start.params), pairs(&record.outputs));
        if !params.is_empty() {
            fact("parameters", &params);
        }
        if !outputs.is_empty() {
            fact("outputs", &outputs);
        }
    });
}

fn left_to_do(m: &mut Markup, record: &Record) {
    let debts = debts(record);
    if debts.is_empty() {
        return;
    }
    m.within("section", &[("class", "todo")], |m| {
        m.leaf("h2", "", "Left to do");
        m.within("ol", &[], |m| {
            for debt in debts {
                m.leaf("li", "", debt);
            }
        });
    });
}

fn went_wrong(m: &mut Markup, record: &Record) {
    let Some(failure) = record.view.ended.as_ref().and_then(|e| e.failure.as_ref()) else {
        return;
    };
    m.within("section", &[("class", "wrong")], |m| {
        m.leaf("h2", "", "What went wrong");
        let at = record.view.culprit().map(|entry| entry.path.to_string());
        let at = at.map(|at| format!("At {at}. ")).unwrap_or_default();
        m.leaf(
            "p",
            "",
            &format!("{at}{}: {}", failure.kind.as_str(), failure.message),
        );
        if let Some(help) = &failure.help {
            m.within("p", &[], |m| {
                m.leaf("b", "", "Do next: ");
                m.text(help);
            });
        }
    });
}

fn timeline(m: &mut Markup, record: &Record) {
    gantt::gantt(m, record);
    let legend = [
        ("bar good", "went well"),
        ("bar warn", "went another way"),
        ("bar bad", "failed"),
        ("bar wait", "wait before the next attempt"),
        ("bar effect", "something was changed"),
        ("bar whole", "with steps of its own"),
    ];
    m.within("div", &[("class", "legend")], |m| {
        for (class, said) in legend {
            m.within("span", &[], |m| {
                m.within("i", &[("class", class)], |_| {});
                m.text(said);
            });
        }
    });
    let lines = record.lines();
    let idle = lines.iter().filter(|(_, e)| e.started_ms.is_none()).count();
    if idle > 0 {
        let said = format!(
            "{} had no turn and is not drawn; why stands below.",
            text::count(idle, "step", "steps")
        );
        let said = if idle > 1 {
            said.replace(" is not drawn", " are not drawn")
        } else {
            said
        };
        m.leaf("p", "soft", &said);
    }
}

fn decisions(m: &mut Markup, record: &Record) {
    let notes = record.view.notes.iter();
    let told: Vec<_> = notes
        .filter(|n| !matches!(n.evidence.topic.as_str(), "debt" | PAID))
        .collect();
    if told.is_empty() {
        m.leaf("p", "soft", "None were recorded.");
        return;
    }
    m.within("ul", &[("class", "decisions")], |m| {
        for (index, note) in told.iter().enumerate() {
            // What two steps found the same is told once.
            let same = |other: &&&Note| other.evidence == note.evidence;
            if told.iter().take(index).any(|other| same(&other)) {
                continue;
            }
            let by: Vec<&str> = told
                .iter()
                .filter(same)
                .map(|other| other.path.0.as_ref())
                .collect();
            m.within("li", &[], |m| {
                let bad = is_waived(&note.evidence);
                let class = if bad { "topic bad" } else { "topic" };
                m.leaf("span", class, heading(&note.evidence));
                m.within("div", &[], |m| steps::evidence(m, note, &by.join(", ")));
            });
        }
    });
}

fn taken_back(m: &mut Markup, record: &Record) {
    let undone = record.view.undone.iter();
    let undone: Vec<_> = undone
        .filter(|u| u.status != Some(UndoStatus::Nothing))
        .collect();
    if undone.is_empty() {
        return;
    }
    section(m, "Taken back", |m| {
        m.within("ul", &[("class", "decisions")], |m| {
            for one in undone {
                m.within("li", &[], |m| {
                    let (class, word) = match one.status {
                        Some(UndoStatus::Failed) => ("topic bad", "left as it is"),
                        Some(_) => ("topic", "undone"),
                        None => ("topic bad", "not ended"),
                    };
                    m.leaf("span", class, word);
                    m.leaf("div", "", &format!("{}: {}", one.path, one.what));
                });
            }
        });
    });
}
