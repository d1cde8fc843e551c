//! What a preview cannot know: steps that hang on it may run, and nothing is guessed.

use crate::support::*;
use pgbaton::engine::{Outcome, StepStatus};
use pgbaton::playbook::Value;

#[tokio::test(start_paused = true)]
async fn a_condition_on_what_is_not_known_neither_runs_nor_fails_nor_skips_its_step() {
    for (condition, status) in [
        ("steps.a.value == 7", StepStatus::MayRun),
        ("steps.a.value != null", StepStatus::MayRun),
        ("!(steps.a.value == 7)", StepStatus::MayRun),
        ("steps.a.value == 7 || params.on", StepStatus::Ok),
        ("steps.a.value == 7 && !params.on", StepStatus::Skipped),
        ("steps.a.status == 'ok'", StepStatus::Ok),
        ("has(steps.a.value)", StepStatus::MayRun),
    ] {
        let ran = case(playbook(vec![
            step("a"),
            step("b").needs(&["a"]).when(condition),
        ]))
        .script("a", gives([("value", Value::Unknown)]))
        .params([("on", true.into())])
        .run()
        .await;
        assert_eq!(ran.outcome(), Outcome::Ok, "{condition}: {}", ran.message());
        assert_eq!(ran.status("b"), status, "{condition}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_needs_a_step_that_may_run_may_run_too_and_what_stands_beside_it_runs() {
    let ran = case(playbook(vec![
        step("a"),
        step("b").needs(&["a"]).when("steps.a.value == 7"),
        step("c").needs(&["b"]),
        step("d").needs(&["c"]).when("steps.c.status == 'ok'"),
        step("beside").needs(&["a"]),
    ]))
    .script("a", gives([("value", Value::Unknown)]))
    .run()
    .await;
    for path in ["b", "c", "d"] {
        assert_eq!(ran.status(path), StepStatus::MayRun, "{path}");
    }
    assert_eq!(ran.log(), ["apply a", "apply beside"]);
    assert_eq!(ran.outcome(), Outcome::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_playbook_with_a_step_that_may_run_ends_unsure_and_so_do_its_outputs() {
    let inner = named(
        "inner",
        vec![
            step("a"),
            step("b").needs(&["a"]).when("steps.a.value == 7"),
        ],
    );
    let ran = case(playbook(vec![
        nesting("outer", "inner"),
        step("behind").needs(&["outer"]),
    ]))
    .nest(inner)
    .script("outer/a", gives([("value", Value::Unknown)]))
    .run()
    .await;
    assert_eq!(ran.status("outer/b"), StepStatus::MayRun);
    assert_eq!(ran.status("outer"), StepStatus::MayRun);
    assert_eq!(ran.status("behind"), StepStatus::MayRun);
}
