//! Traces of runs as they rarely go.

use super::trace::Trace;
use crate::engine::{Envelope, Event, Outcome, RunId, SkipReason, StepPath, StepStatus};
use crate::playbook::Map;
use opentelemetry_sdk::trace::SpanData;
use std::time::{Duration, SystemTime};

const BEGAN: &str = "2026-11-23T01:46:07Z";

fn path(text: &str) -> StepPath {
    StepPath(text.into())
}

fn begin(text: &str) -> Event {
    Event::StepStarted {
        path: path(text),
        action: "wait".to_owned(),
        node: None,
        items: None,
        inputs: None,
    }
}

fn end(text: &str) -> Event {
    Event::StepEnded {
        path: path(text),
        status: StepStatus::Ok,
        outputs: Map::new(),
        failure: None,
        unchanged: false,
        at: None,
    }
}

fn attempt(text: &str, attempt: u32) -> Event {
    Event::AttemptStarted {
        path: path(text),
        attempt,
        limit_ms: 1000,
    }
}

/// What comes of these events, each a second after the one before; the run's own beginning and end are put to them.
fn trace(events: Vec<Event>) -> Vec<SpanData> {
    let first = Event::RunStarted {
        run: RunId("20261123-014607-7k3q".into()),
        playbook: "failover".to_owned(),
        version: None,
        cluster: "orders".to_owned(),
        trigger: "cli".to_owned(),
        started: BEGAN.to_owned(),
        params: Map::new(),
        cluster_facts: Map::new(),
        seed: 1,
        pins: None,
    };
    let last = Event::RunEnded {
        outcome: Outcome::Ok,
        failure: None,
        at: None,
        outputs: Map::new(),
        debts: Vec::new(),
    };
    let all = [vec![first], events, vec![last]].concat();
    let all = all.into_iter().zip(0_u32..).map(|(event, seq)| Envelope {
        v: 1,
        seq: seq.into(),
        at_ms: f64::from(seq) * 1000.0,
        event,
    });
    let mut trace = None;
    for envelope in all {
        match &mut trace {
            None => trace = Trace::begin(&envelope),
            Some(trace) => {
                if let Some(spans) = trace.take(&envelope) {
                    return spans;
                }
            }
        }
    }
    panic!("it has an end");
}

fn named<'s>(spans: &'s [SpanData], name: &str) -> Vec<&'s SpanData> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn after(seconds: u64) -> SystemTime {
    let began: jiff::Timestamp = BEGAN.parse().unwrap();
    SystemTime::from(began) + Duration::from_secs(seconds)
}

#[test]
fn a_run_that_another_runner_goes_on_with_is_one_trace_in_the_time_of_the_wall() {
    let events = || {
        vec![
            begin("promote"),
            attempt("promote", 1),
            Event::RunResumed {
                runner: "other (process 7)".to_owned(),
                at: "2026-11-23T02:46:07Z".to_owned(),
                token: None,
            },
            attempt("promote", 2),
            end("promote"),
        ]
    };
    let spans = trace(events());
    let promote = named(&spans, "promote")[0];
    assert_eq!(promote.start_time, after(1));
    assert_eq!(
        promote.end_time,
        after(3600 + 2),
        "two seconds after it was taken up"
    );
    let lost = named(&spans, "promote attempt 1")[0];
    assert_eq!(lost.end_time, after(3600 + 1), "until the next one");
    assert_eq!(named(&spans, "promote attempt 2").len(), 1);
    let run = spans.last().unwrap();
    assert_eq!(
        (run.name.as_ref(), run.end_time),
        ("failover", after(3600 + 3))
    );
    assert!(run.events.iter().any(|event| event.name == "run resumed"));
    // Whoever tells of it tells the same.
    assert_eq!(trace(events()), spans);
}

#[test]
fn what_a_nested_playbook_does_again_is_there_again_below_the_step_that_holds_it() {
    let spans = trace(vec![
        begin("follow"),
        begin("follow[a/b]"),
        begin("follow[a/b]/start"),
        end("follow[a/b]/start"),
        begin("follow[a/b]/start"),
        end("follow[a/b]/start"),
        Event::StepSkipped {
            path: path("follow[a/b]/stop"),
            reason: SkipReason::Stopping,
        },
        end("follow[a/b]"),
        end("follow"),
        begin("(finally)/report"),
        end("(finally)/report"),
    ]);
    let one = |name: &str| {
        let found = named(&spans, name);
        assert_eq!(found.len(), 1, "{name}");
        found[0]
    };
    let (run, follow, item) = (one("failover"), one("follow"), one("follow[a/b]"));
    let starts = named(&spans, "start");
    assert_eq!(starts.len(), 2);
    assert_ne!(
        starts[0].span_context.span_id(),
        starts[1].span_context.span_id()
    );
    for (below, above) in [
        (starts[0], item),
        (starts[1], item),
        (item, follow),
        (follow, run),
        (one("report"), run),
    ] {
        assert_eq!(
            below.parent_span_id,
            above.span_context.span_id(),
            "{below:?}"
        );
    }
    assert!(item.events.iter().any(|event| event.name == "step skipped"));
    assert_eq!(spans.len(), 6);
}
