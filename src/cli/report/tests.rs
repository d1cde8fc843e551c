//! A run as text, as JSON and as a page, from made-up events.

use super::{Record, document, html, show};
use crate::cli::console::script::Script;
use crate::cli::paint::Paint;
use crate::cluster::TroubleKind;
use crate::engine::{Envelope, Event, Failure, Outcome, ScopeKind, StepPath, StepStatus};
use crate::playbook::{Map, Value};

#[path = "../../../tests/report_support/mod.rs"]
mod checker;

const BAD: &str = "<script>alert('x')</script>\" onload=\"x";

fn record(script: &Script) -> Record {
    let events: Vec<Envelope> = script.envelopes().cloned().collect();
    Record::of(&events)
}

fn shown(record: &Record) -> String {
    show(record, "/j/journal.db", Paint::plain(), Some(80))
}

/// Whatever a site, a server or a program may write, in every place that it can come from.
fn nasty() -> Script {
    let mut s = Script::new();
    s.begin(BAD, &["a", BAD]);
    s.start("a", BAD, Some(BAD));
    s.effect("a", BAD, BAD, true);
    s.note(
        "a",
        BAD,
        BAD,
        serde_json::json!({ BAD: [BAD, { BAD: BAD }] }),
    );
    let failure = Failure::new(TroubleKind::Failed, BAD).with_help(BAD);
    s.attempt_failed("a", 1, failure.clone(), Some(10));
    s.attempt("a", 2);
    s.push(
        "a",
        Event::StepEnded {
            path: StepPath("a".into()),
            status: StepStatus::Failed,
            outputs: Map::from([(BAD.to_owned(), Value::from(BAD))]),
            failure: Some(failure.clone()),
            unchanged: false,
            at: None,
        },
    );
    s.each(BAD, BAD, &[BAD]);
    s.close("", false);
    s.finish(Outcome::Failed, Some(failure), &[BAD]);
    s
}

#[test]
fn nothing_that_a_run_recorded_becomes_markup() {
    let page = html(&record(&nasty()), None);
    checker::well_formed(&page).unwrap();
    // The one script is the page's own.
    assert_eq!(page.matches("<script").count(), 1);
    assert!(!page.contains(" onload=\""));
    assert!(page.contains("&lt;script&gt;alert"));
    for attribute in ["src=", "href=", "url(", "@import", "http://", "https://"] {
        assert!(!page.contains(attribute), "{attribute} reaches outside");
    }
}

#[test]
fn the_checker_finds_what_is_wrong() {
    for bad in [
        "<p>",
        "<p></b>",
        "<p title=\"<b>\"></p>",
        "a > b",
        "</p>",
        "<p",
    ] {
        let page = format!("<!DOCTYPE html>{bad}");
        assert!(checker::well_formed(&page).is_err(), "{bad}");
    }
    checker::well_formed("<!DOCTYPE html><p a=\"b\">c<br>d</p>").unwrap();
}

#[test]
fn a_failover_is_shown_with_all_that_it_did() {
    let record = record(&Script::failover());
    insta::assert_snapshot!(shown(&record));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for script in [Script::failover(), Script::failure(), nasty()] {
        for line in shown(&record(&script))
            .lines()
            .filter(|l| !l.contains("/j/"))
        {
            let names = line.contains(BAD);
            assert!(names || crate::cli::text::width(line) <= 80, "{line}");
        }
    }
}

#[test]
fn attempts_and_the_waits_between_them_are_drawn() {
    let page = html(&record(&Script::failover()), None);
    for part in [
        "bar attempt bad",
        "bar wait",
        "attempt 2, ",
        "mark last",
        "point of no return +",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn a_run_without_an_end_says_so_and_names_what_is_owed() {
    let mut s = Script::new();
    s.begin("failover", &["fence", "promote"]);
    s.start("fence", "fence", Some("n1"));
    s.note(
        "fence",
        "debt",
        "stop n1 at first contact",
        serde_json::json!({}),
    );
    let record = record(&s);
    let page = html(&record, None);
    checker::well_formed(&page).unwrap();
    for text in [page, shown(&record)] {
        for part in ["not ended", "runs resume", "stop n1 at first contact"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    let json = document(&record, "/j/journal.db");
    assert_eq!(json["ended"], false);
    assert_eq!(json["outcome"], serde_json::Value::Null);
    assert_eq!(json["left_to_do"][0], "stop n1 at first contact");
}

#[test]
fn whoever_went_on_is_named_and_what_was_cut_off_is_not_taken_for_done() {
    let mut s = Script::new();
    s.begin("failover", &["fence"]);
    s.start("fence", "fence", Some("n1"));
    s.wait(3_600_000.0);
    s.push(
        "",
        Event::RunResumed {
            runner: "db9 (process 7)".to_owned(),
            at: "2025-01-02T04:04:05Z".to_owned(),
            token: Some(2),
        },
    );
    s.attempt("fence", 1).ok("fence");
    s.close("", true).finish(Outcome::Ok, None, &[]);
    let record = record(&s);
    let (page, text) = (html(&record, None), shown(&record));
    for part in ["db9 (process 7)", "its runner died"] {
        assert!(page.contains(part) && text.contains(part), "{part}: {text}");
    }
    assert!(page.contains("mark resumed"));
}

#[test]
fn the_cluster_afterwards_is_what_was_done_and_verified() {
    let facts = |role: Option<&str>, upstream: Option<&str>| {
        Value::Map(Map::from([
            ("role".to_owned(), role.into()),
            ("upstream".to_owned(), upstream.into()),
            ("reachable".to_owned(), role.is_some().into()),
            ("attached".to_owned(), false.into()),
        ]))
    };
    let nodes = Map::from([
        ("n1".to_owned(), facts(None, None)),
        ("n2".to_owned(), facts(Some("standby"), Some("n1"))),
        ("n3".to_owned(), facts(Some("standby"), Some("n1"))),
    ]);
    let mut events: Vec<Envelope> = Vec::new();
    let mut push = |event| {
        let seq = events.len() as u64;
        events.push(Envelope {
            v: 1,
            seq,
            at_ms: f64::from(u32::try_from(seq).unwrap()),
            event,
        });
    };
    let mut first = Script::new();
    first.begin("p", &["promote", "point", "lost"]);
    for envelope in first.envelopes() {
        let mut event = envelope.event.clone();
        if let Event::RunStarted { cluster_facts, .. } = &mut event {
            cluster_facts.insert("primary".to_owned(), "n1".into());
            cluster_facts.insert("nodes".to_owned(), Value::Map(nodes.clone()));
        }
        push(event);
    }
    for (path, operation, outcome) in [
        (
            "promote",
            serde_json::json!({"operation": "promote", "node": "n2"}),
            "done",
        ),
        (
            "point",
            serde_json::json!({"operation": "set_upstream", "node": "n3", "upstream": "n2"}),
            "done",
        ),
        (
            "lost",
            serde_json::json!({"operation": "promote", "node": "n3"}),
            "failed",
        ),
    ] {
        let (path, effect) = (StepPath(path.into()), 100 + path.len() as u64);
        push(Event::EffectIntended {
            path: path.clone(),
            effect,
            forecast: crate::engine::Forecast {
                summary: String::new(),
                rendered: Vec::new(),
                operation,
            },
            point_of_no_return: false,
        });
        push(Event::EffectSettled {
            path,
            effect,
            outcome: outcome.to_owned(),
            returned: serde_json::Value::Null,
            failure: None,
        });
    }
    let record = Record::of(&events);
    let json = document(&record, "");
    let (before, after) = (
        &json["topology"]["before"],
        &json["topology"]["after_as_the_run_knew_it"],
    );
    assert_eq!(before[0]["role"], "primary", "the standbys tell: {before}");
    assert_eq!(
        (&after[1]["role"], &after[1]["upstream"]),
        (&"primary".into(), &serde_json::Value::Null)
    );
    assert_eq!(after[2]["role"], "standby", "what failed changed nothing");
    assert_eq!(after[2]["upstream"], "n2");
    assert_eq!(
        after[2]["attached"],
        serde_json::Value::Null,
        "nobody looked"
    );
}

#[test]
fn an_item_that_failed_shows_in_the_graph() {
    let shelves = crate::runs::Shelves::beside(None);
    let source = crate::playbook::Library::find(&shelves, "failover")
        .unwrap()
        .unwrap();
    let catalog = crate::actions::catalog();
    let mut diagnostics = crate::document::Diagnostics::default();
    let playbook = crate::playbook::check(&source, &catalog, &shelves, &mut diagnostics).unwrap();
    let mut s = Script::new();
    s.begin("failover", &["follow", "promote"]);
    s.each("follow", "playbook follow", &["n3", "n4"]);
    for (node, status) in [("n3", StepStatus::Ok), ("n4", StepStatus::Failed)] {
        let item = format!("follow[{node}]");
        s.open(&item, ScopeKind::Item, &["check_lsn"]);
        s.start(&format!("{item}/check_lsn"), "check_lsn", Some(node));
        s.end(&format!("{item}/check_lsn"), status, None);
    }
    let page = html(&record(&s), Some(&playbook));
    checker::well_formed(&page).unwrap();
    assert!(page.contains("✗ 1 failed, ✓ 1 ok"));
    assert!(page.contains("· pending"));
}
