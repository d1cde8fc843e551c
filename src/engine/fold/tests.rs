//! Sequences of events that are legal, and those that are not.

use super::*;
use crate::engine::{Evidence, Forecast, Outcome, RunId, UndoStatus, Verdict};
use crate::playbook::{Map, TroubleKind};

fn path(text: &str) -> StepPath {
    StepPath(text.into())
}

fn forecast(summary: &str) -> Forecast {
    Forecast {
        summary: summary.to_owned(),
        rendered: Vec::new(),
        operation: serde_json::Value::Null,
    }
}

fn run_started() -> Event {
    Event::RunStarted {
        run: RunId("r".into()),
        playbook: "p".into(),
        version: None,
        cluster: "c".into(),
        trigger: "t".into(),
        started: "1970-01-01T00:00:00Z".into(),
        params: Map::new(),
        cluster_facts: Map::new(),
        seed: 0,
        pins: None,
    }
}

fn opened(at: &str, kind: ScopeKind, steps: &[&str]) -> Event {
    Event::ScopeOpened {
        path: path(at),
        kind,
        steps: steps.iter().map(ToString::to_string).collect(),
    }
}

fn closed(at: &str) -> Event {
    Event::ScopeClosed {
        path: path(at),
        ok: true,
        failure: None,
        at: None,
        cancelled: false,
    }
}

fn started(at: &str, items: Option<&[&str]>) -> Event {
    Event::StepStarted {
        path: path(at),
        action: "work".into(),
        node: None,
        items: items.map(|keys| keys.iter().map(ToString::to_string).collect()),
        inputs: None,
    }
}

fn skipped(at: &str) -> Event {
    Event::StepSkipped {
        path: path(at),
        reason: SkipReason::Stopping,
    }
}

fn attempt(at: &str, attempt: u32) -> Event {
    Event::AttemptStarted {
        path: path(at),
        attempt,
        limit_ms: 1,
    }
}

fn probed(at: &str) -> Event {
    Event::Probed {
        path: path(at),
        verdict: Verdict::Needed,
        why: String::new(),
        forecast: Vec::new(),
    }
}

fn intended(at: &str, effect: u64, point_of_no_return: bool) -> Event {
    Event::EffectIntended {
        path: path(at),
        effect,
        forecast: forecast(at),
        point_of_no_return,
    }
}

fn settled(at: &str, effect: u64, outcome: &str) -> Event {
    Event::EffectSettled {
        path: path(at),
        effect,
        outcome: outcome.into(),
        returned: serde_json::json!(effect),
        failure: None,
    }
}

fn failed(at: &str, attempt: u32) -> Event {
    Event::AttemptFailed {
        path: path(at),
        attempt,
        failure: Failure::new(TroubleKind::Failed, "no"),
        retry_in_ms: None,
        at: None,
    }
}

fn ended(at: &str, status: StepStatus) -> Event {
    let failure = (status == StepStatus::Failed).then(|| Failure::new(TroubleKind::Failed, "no"));
    Event::StepEnded {
        path: path(at),
        status,
        outputs: Map::new(),
        failure,
        unchanged: false,
        at: None,
    }
}

fn ok(at: &str) -> Event {
    ended(at, StepStatus::Ok)
}

fn undoing(at: &str) -> Event {
    Event::UndoStarted { path: path(at) }
}

fn undone(at: &str, status: UndoStatus) -> Event {
    Event::UndoEnded {
        path: path(at),
        status,
        what: "left".into(),
    }
}

fn cancelled(accepted: bool) -> Event {
    Event::CancelRequested {
        accepted,
        reason: None,
    }
}

fn run_ended() -> Event {
    Event::RunEnded {
        outcome: Outcome::Ok,
        failure: None,
        at: None,
        outputs: Map::new(),
        debts: Vec::new(),
    }
}

fn note(at: &str, topic: &str) -> Event {
    Event::Noted {
        path: path(at),
        evidence: Evidence {
            topic: topic.into(),
            text: "a text".into(),
            data: serde_json::Value::Null,
        },
    }
}

/// The events up to and with the start of a run of these steps.
fn begun(steps: &[&str]) -> Vec<Event> {
    vec![run_started(), opened("", ScopeKind::Run, steps)]
}

fn state(events: &[Event]) -> RunState {
    let mut state = RunState::default();
    for event in events {
        state.apply(event, Duration::ZERO).expect("legal");
    }
    state
}

/// Steps `a`, `b`; `a` under way in its first attempt.
fn in_a() -> Vec<Event> {
    let mut events = begun(&["a", "b"]);
    events.extend([started("a", None), attempt("a", 1)]);
    events
}

/// The same after one effect of `a`, settled so.
fn after_effect(outcome: &str) -> Vec<Event> {
    let mut events = in_a();
    events.extend([intended("a", 0, false), settled("a", 0, outcome), ok("a")]);
    events
}

fn and(mut events: Vec<Event>, more: &[Event]) -> Vec<Event> {
    events.extend_from_slice(more);
    events
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn illegal_events_are_refused_and_change_nothing() {
    let passed = || and(in_a(), &[intended("a", 0, true), settled("a", 0, "done")]);
    let each = || and(begun(&["e"]), &[started("e", Some(&["x"]))]);
    let over = || and(begun(&["a"]), &[skipped("a"), closed("")]);
    let cases: Vec<(Vec<Event>, Event, &str)> = vec![
        (vec![], opened("", ScopeKind::Run, &[]), "not started"),
        (vec![run_started()], run_started(), "started already"),
        (
            and(over(), &[run_ended()]),
            cancelled(true),
            "run has ended",
        ),
        (begun(&[]), run_ended(), "scope was open"),
        (begun(&[]), opened("", ScopeKind::Run, &[]), "open already"),
        (over(), opened("", ScopeKind::Run, &[]), "opens once"),
        (
            begun(&["a"]),
            opened("a", ScopeKind::Playbook, &[]),
            "not under way",
        ),
        (
            begun(&["a"]),
            opened("(rescue)", ScopeKind::Rescue, &[]),
            "not ended",
        ),
        (
            begun(&["a"]),
            opened("a(rescue)", ScopeKind::Rescue, &[]),
            "not under way",
        ),
        (begun(&["a"]), closed(""), "before its steps ended"),
        (begun(&["a"]), closed("a"), "not open"),
        (begun(&["a"]), started("ghost", None), "no such step"),
        (in_a(), started("a", None), "started twice"),
        (in_a(), skipped("a"), "cannot be skipped"),
        (in_a(), attempt("a", 2), "under way already"),
        (begun(&["a"]), attempt("a", 1), "not under way"),
        (
            and(in_a(), &[failed("a", 1)]),
            attempt("a", 3),
            "without gaps",
        ),
        (in_a(), failed("a", 2), "another attempt"),
        (and(in_a(), &[failed("a", 1)]), failed("a", 1), "no attempt"),
        (begun(&["a"]), probed("a"), "not under way"),
        (and(in_a(), &[failed("a", 1)]), probed("a"), "no attempt"),
        (in_a(), intended("a", 1, false), "without gaps"),
        (in_a(), intended("b", 0, false), "outside an attempt"),
        (
            and(in_a(), &[failed("a", 1)]),
            intended("a", 0, false),
            "outside an attempt",
        ),
        (
            and(passed(), &[ok("a"), started("b", None), attempt("b", 1)]),
            intended("b", 1, true),
            "only once",
        ),
        (in_a(), settled("a", 0, "done"), "no such effect"),
        (
            and(in_a(), &[intended("a", 0, false)]),
            settled("a", 0, "maybe"),
            "done, failed or",
        ),
        (
            and(in_a(), &[intended("a", 0, false)]),
            settled("b", 0, "done"),
            "no such effect",
        ),
        (
            and(in_a(), &[intended("a", 0, false), settled("a", 0, "done")]),
            settled("a", 0, "done"),
            "no such effect",
        ),
        (
            and(in_a(), &[intended("a", 0, false)]),
            ok("a"),
            "effect was open",
        ),
        (
            and(in_a(), &[opened("a", ScopeKind::Playbook, &[])]),
            ok("a"),
            "scope of its was open",
        ),
        (in_a(), ended("a", StepStatus::Skipped), "ends ok, rescued"),
        (begun(&["a"]), ok("a"), "not under way"),
        (and(in_a(), &[ok("a")]), ok("a"), "not under way"),
        (each(), ok("e"), "before its items"),
        (passed(), cancelled(true), "after the point of no return"),
        (
            and(begun(&[]), &[cancelled(true)]),
            cancelled(true),
            "cancelled twice",
        ),
        (in_a(), undoing("a"), "not ended"),
        (
            and(passed(), &[ok("a")]),
            undoing("a"),
            "after the point of no return",
        ),
        (
            and(after_effect("done"), &[undoing("a")]),
            undoing("a"),
            "undone already",
        ),
        (
            and(
                after_effect("done"),
                &[undoing("a"), intended("a", 1, false)],
            ),
            undone("a", UndoStatus::Done),
            "effect was open",
        ),
        (
            and(after_effect("done"), &[undoing("a")]),
            intended("a", 1, true),
            "cannot pass",
        ),
        (
            after_effect("done"),
            undone("a", UndoStatus::Done),
            "no undo",
        ),
        (
            and(
                after_effect("done"),
                &[skipped("b"), closed(""), undoing("a")],
            ),
            run_ended(),
            "being undone",
        ),
        (begun(&["a"]), note("ghost", "proof"), "no such step"),
    ];
    for (before, event, why) in cases {
        let mut after = state(&before);
        let untouched = after.clone();
        let error = after.apply(&event, Duration::ZERO).expect_err(why);
        assert!(error.why.contains(why), "{event:?}: {}", error.why);
        assert_eq!(after, untouched, "{event:?}");
    }
}

#[test]
fn the_undo_list_is_newest_first_and_holds_what_may_have_happened() {
    for (outcome, listed) in [("done", true), ("unknown", true), ("failed", false)] {
        let folded = state(&after_effect(outcome));
        assert_eq!(!folded.to_undo().is_empty(), listed, "{outcome}");
        let done = folded.done_by("a");
        assert_eq!(done.len(), usize::from(listed));
        if let Some(done) = done.first() {
            assert_eq!(done.certain, outcome == "done");
            assert_eq!(done.returned, serde_json::json!(0));
        }
    }
    // By the newest effect of each step: `a` began first and acted last.
    let mut events = begun(&["a", "b"]);
    events.extend([
        started("a", None),
        attempt("a", 1),
        started("b", None),
        attempt("b", 1),
    ]);
    for (effect, step) in ["a", "b", "a"].into_iter().enumerate() {
        let effect = u64::try_from(effect).unwrap();
        events.extend([intended(step, effect, false), settled(step, effect, "done")]);
    }
    events.extend([ok("a"), ok("b")]);
    assert_eq!(state(&events).to_undo(), [path("a"), path("b")]);
    // What was undone, well or not, is not undone again; its own effects are not either.
    events.extend([
        undoing("a"),
        intended("a", 3, false),
        settled("a", 3, "done"),
        undone("a", UndoStatus::Failed),
    ]);
    let folded = state(&events);
    assert_eq!(folded.to_undo(), [path("b")]);
    assert_eq!(folded.done_by("a").len(), 2);
    assert_eq!(folded.debts(), ["`a` was not undone: left"]);
}

#[test]
fn debts_come_from_notes_and_failed_items_each_once() {
    let events = and(
        begun(&["e"]),
        &[
            started("e", Some(&["x", "y"])),
            note("e", "debt"),
            note("e", "proof"),
            note("e", "debt"),
            started("e[x]", None),
            ended("e[x]", StepStatus::Failed),
            skipped("e[y]"),
        ],
    );
    assert_eq!(state(&events).debts(), ["a text", "e[x] failed: no"]);
}

#[test]
fn a_playbook_that_is_tried_again_starts_afresh_but_remembers_its_effects() {
    let nested = |effect| {
        [
            opened("a", ScopeKind::Playbook, &["x"]),
            started("a/x", None),
            attempt("a/x", 1),
            intended("a/x", effect, false),
            settled("a/x", effect, "done"),
            ok("a/x"),
            closed("a"),
        ]
    };
    let first = and(in_a(), &nested(0));
    let again = and(first, &[failed("a", 1), attempt("a", 2)]);
    let folded = state(&and(again, &nested(1)));
    assert_eq!(folded.step("a/x").map(|step| step.attempts), Some(1));
    assert_eq!(folded.done_by("a/x").len(), 2);
}

#[test]
fn folding_says_where_a_journal_is_illegal() {
    let events = [run_started(), run_started()];
    let envelopes: Vec<Envelope> = events
        .into_iter()
        .zip(0..)
        .map(|(event, seq)| Envelope {
            v: 1,
            seq,
            at_ms: 0.0,
            event,
        })
        .collect();
    assert_eq!(RunState::fold(&envelopes).expect_err("twice").0, 1);
}
