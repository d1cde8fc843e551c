//! Which steps run, in which order, and how many at once.

use crate::support::*;
use pgbaton::engine::{Event, Outcome, SkipReason, StepStatus};
use pgbaton::playbook::{Map, OnFailure, Value};

fn diamond() -> Vec<pgbaton::playbook::Step> {
    vec![
        step("bottom").needs(&["left", "right"]),
        step("left").needs(&["top"]),
        step("right").needs(&["top"]),
        step("top"),
    ]
}

#[tokio::test(start_paused = true)]
async fn order_comes_from_needs_alone() {
    let ran = case(playbook(diamond())).run().await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(
        ran.log(),
        ["apply top", "apply left", "apply right", "apply bottom"]
    );
}

#[tokio::test(start_paused = true)]
async fn every_ready_step_runs_at_once() {
    let steps = (0..5).map(|i| step(&format!("s{i}"))).collect();
    let mut case = case(playbook(steps));
    for i in 0..5 {
        case = case.script(&format!("s{i}"), takes(10));
    }
    let ran = case.run().await;
    assert_eq!(ran.doubles.stage().most, 5);
    assert_eq!(ran.took, secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_step_starts_as_soon_as_what_it_needs_has_ended() {
    // `next` needs only the quick one and does not wait for the slow one beside it.
    let ran = case(playbook(vec![
        step("quick"),
        step("slow"),
        step("next").needs(&["quick"]),
    ]))
    .script("quick", takes(1))
    .script("slow", takes(10))
    .script("next", takes(9))
    .run()
    .await;
    assert_eq!(ran.took, secs(10));
}

#[tokio::test(start_paused = true)]
async fn max_parallel_bounds_the_scope() {
    let steps = (0..10).map(|i| step(&format!("s{i}"))).collect();
    let mut playbook = playbook(steps);
    playbook.defaults.max_parallel = Some(3);
    let mut case = case(playbook);
    for i in 0..10 {
        case = case.script(&format!("s{i}"), takes(1));
    }
    let ran = case.run().await;
    assert_eq!(ran.doubles.stage().most, 3);
    assert_eq!(ran.took, secs(4));
    assert_eq!(ran.outcome(), Outcome::Ok);
}

#[tokio::test(start_paused = true)]
async fn steps_and_items_share_the_bound_of_their_scope() {
    let mut playbook = playbook(vec![
        step("a"),
        step("many").each(&["1", "2", "3", "4", "5"]),
        step("b"),
    ]);
    playbook.defaults.max_parallel = Some(2);
    let mut case = case(playbook);
    for path in [
        "a", "b", "many[1]", "many[2]", "many[3]", "many[4]", "many[5]",
    ] {
        case = case.script(path, takes(1));
    }
    let ran = case.run().await;
    assert_eq!(ran.doubles.stage().most, 2);
    assert_eq!(ran.outcome(), Outcome::Ok);
    // Seven seconds of work in two places.
    assert_eq!(ran.took, secs(4));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_may_not_start_any_more_leaves_its_place_to_the_items() {
    let mut playbook = playbook(vec![
        step("bad"),
        step("many").each(&["1", "2"]),
        step("late"),
    ]);
    playbook.defaults.max_parallel = Some(1);
    let ran = case(playbook)
        .script(
            "bad",
            Script {
                takes: secs(1),
                ..fails("no")
            },
        )
        .run()
        .await;
    assert_eq!(ran.status("late"), StepStatus::NotRun);
    assert_eq!(ran.status("many[2]"), StepStatus::Ok);
}

/// A child of which one step fails at once while another runs on for ten seconds.
fn doomed_child() -> pgbaton::playbook::Playbook {
    named("child", vec![step("x"), step("y")])
}

#[tokio::test(start_paused = true)]
async fn a_place_that_comes_too_late_for_a_step_goes_to_the_next_in_line() {
    let mut playbook = playbook(vec![
        nesting("nest", "child"),
        step("many").each(&["1", "2"]),
        step("quick"),
        step("late").needs(&["quick"]),
    ]);
    playbook.defaults.max_parallel = Some(2);
    let bad = Script {
        takes: secs(1),
        ..fails("no")
    };
    let ran = case(playbook)
        .nest(doomed_child())
        .script("nest/x", bad)
        .script("nest/y", takes(10))
        .script("many[1]", takes(2))
        .script("many[2]", takes(2))
        .run()
        .await;
    assert_eq!(ran.status("late"), StepStatus::NotRun);
    assert_eq!(ran.status("many[2]"), StepStatus::Ok);
    assert_eq!(ran.took, secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_nothing_can_make_up_for_stops_the_scopes_around_it_at_once() {
    for (on_failure, runs) in [(OnFailure::Fail, false), (OnFailure::Degrade, true)] {
        let ran = case(playbook(vec![
            nesting("nest", "child").on_failure(on_failure),
            step("quick"),
            step("after").needs(&["quick"]),
        ]))
        .nest(doomed_child())
        .script("nest/x", fails("no"))
        .script("nest/y", takes(10))
        .script("quick", takes(2))
        .run()
        .await;
        assert_eq!(ran.status("nest/y"), StepStatus::Ok, "what runs finishes");
        assert_eq!(ran.started("after"), runs, "{on_failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_what_runs_finishes_and_nothing_new_starts() {
    let ran = case(playbook(vec![
        step("bad"),
        step("running"),
        step("after_running").needs(&["running"]),
        step("after_bad").needs(&["bad"]),
        step("far").needs(&["after_bad"]),
    ]))
    .script("bad", fails("no"))
    .script("running", takes(5))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(ran.message(), "step `bad`: no");
    assert_eq!(ran.status("running"), StepStatus::Ok);
    assert_eq!(ran.status("after_running"), StepStatus::NotRun);
    assert_eq!(ran.status("after_bad"), StepStatus::NotRun);
    assert_eq!(ran.status("far"), StepStatus::NotRun);
    let reason = |of: &str| {
        ran.events.iter().find_map(|e| match &e.event {
            Event::StepSkipped { path, reason } if &*path.0 == of => Some(reason.clone()),
            _ => None,
        })
    };
    assert_eq!(reason("after_bad"), Some(SkipReason::Needs("bad".into())));
    assert_eq!(reason("far"), Some(SkipReason::Needs("after_bad".into())));
    assert_eq!(reason("after_running"), Some(SkipReason::Stopping));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_allowed_does_not_stop_what_needs_the_step() {
    for (on_failure, outcome, debts) in [
        (OnFailure::Fail, Outcome::Failed, 0),
        (OnFailure::Degrade, Outcome::Degraded, 1),
        (OnFailure::Continue, Outcome::Ok, 0),
    ] {
        let ran = case(playbook(vec![
            step("shaky").on_failure(on_failure),
            step("next").needs(&["shaky"]),
        ]))
        .script("shaky", fails("no"))
        .run()
        .await;
        assert_eq!(ran.outcome(), outcome, "{on_failure:?}");
        assert_eq!(ran.status("shaky"), StepStatus::Failed);
        assert_eq!(ran.report.debts.len(), debts, "{:?}", ran.report.debts);
        let expected = if on_failure == OnFailure::Fail {
            StepStatus::NotRun
        } else {
            StepStatus::Ok
        };
        assert_eq!(ran.status("next"), expected, "{on_failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn playbooks_that_no_checker_saw_neither_hang_nor_pass() {
    let circle = vec![
        step("fine"),
        step("a").needs(&["b"]),
        step("b").needs(&["a"]),
    ];
    let ran = case(playbook(circle)).run().await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(ran.message(), "the steps a, b wait for each other");

    let ran = case(playbook(vec![step("a").needs(&["ghost"])]))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(ran.message(), "step `a` needs `ghost`, which is not there");

    let ran = case(playbook(vec![acting("a", "no_such_action")]))
        .run()
        .await;
    assert_eq!(
        ran.message(),
        "step `a`: there is no action `no_such_action`"
    );
}

#[tokio::test]
async fn long_chains_and_wide_graphs_cost_neither_stack_nor_squares() {
    const COUNT: usize = 5000;
    let name = |i: usize| format!("s{i}");
    let chain = (0..COUNT).map(|i| match i {
        0 => step(&name(0)),
        _ => step(&name(i)).needs(&[&name(i - 1)]),
    });
    let wide = (0..COUNT).map(|i| step(&name(i)));
    for steps in [chain.collect::<Vec<_>>(), wide.collect()] {
        let ran = case(playbook(steps)).run().await;
        assert_eq!(ran.outcome(), Outcome::Ok);
        assert_eq!(ran.log().len(), COUNT);
    }
}

#[tokio::test(start_paused = true)]
async fn outputs_of_the_run_come_from_its_steps_and_are_null_where_there_are_none() {
    let mut playbook = playbook(vec![
        step("a"),
        step("off").when("false"),
        step("b")
            .needs(&["a"])
            .with("from", template("{{ steps.a.value }}")),
    ]);
    playbook.outputs = vec![
        (here("value".to_owned()), expression("steps.a.value")),
        (here("none".to_owned()), expression("steps.off.value")),
    ];
    let ran = case(playbook)
        .script("a", gives([("value", 7.into())]))
        .run()
        .await;
    let expected: Map = map([("value", Value::Integer(7)), ("none", Value::Null)]);
    assert_eq!(ran.report.outputs, expected);
    // A template that is one reference keeps the type.
    let inputs = ran.doubles.stage().inputs["b"].clone();
    assert_eq!(inputs["from"], Value::Integer(7));
}
