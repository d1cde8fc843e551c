//! `when`, and what steps see of each other.

use crate::support::*;
use pgbaton::engine::{Outcome, StepStatus};
use pgbaton::playbook::{OnFailure, Value};

#[tokio::test(start_paused = true)]
async fn a_condition_that_does_not_hold_skips_and_does_not_spread() {
    let ran = case(playbook(vec![
        step("off").when("params.on"),
        step("next").needs(&["off"]),
    ]))
    .params([("on", false.into())])
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(ran.status("off"), StepStatus::Skipped);
    assert_eq!(ran.status("next"), StepStatus::Ok);
    assert_eq!(ran.log(), ["apply next"]);
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_cannot_be_evaluated_fails_the_step() {
    for condition in ["params.ghost", "params.text", "params.nothing > 3"] {
        let ran = case(playbook(vec![step("a").when(condition)]))
            .params([("text", "yes".into()), ("nothing", Value::Null)])
            .run()
            .await;
        assert_eq!(ran.outcome(), Outcome::Failed, "{condition}");
        assert_eq!(ran.status("a"), StepStatus::Failed, "{condition}");
        assert!(ran.log().is_empty(), "{condition}");
        assert!(ran.message().contains(condition), "{}", ran.message());
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_condition_can_be_rescued() {
    let ran = case(playbook(vec![
        step("a").when("params.ghost").rescue(vec![step("plan_b")]),
    ]))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(ran.status("a"), StepStatus::Rescued);
}

#[tokio::test(start_paused = true)]
async fn conditions_see_status_and_outputs() {
    for (condition, runs) in [
        ("steps.good.status == 'ok'", true),
        ("steps.good.value == 7", true),
        ("steps.good.value == 8", false),
        ("steps.bad.status == 'failed'", true),
        ("steps.bad.value == null", true),
        (
            "steps.off.status == 'skipped' && steps.off.value == null",
            true,
        ),
        ("site.vars.vip == '10.0.0.1'", true),
        ("cluster.primary == 'node1'", true),
        ("run.id == 'test-run' && run.trigger == 'test'", true),
        ("run.started == '1970-01-01T00:00:00Z'", true),
    ] {
        let ran = case(playbook(vec![
            step("good"),
            step("bad").on_failure(OnFailure::Continue),
            step("off").when("false"),
            step("asks").needs(&["good", "bad", "off"]).when(condition),
        ]))
        .script("good", gives([("value", 7.into())]))
        .script("bad", fails("no"))
        .run()
        .await;
        assert_eq!(ran.outcome(), Outcome::Ok, "{condition}: {}", ran.message());
        assert_eq!(ran.started("asks"), runs, "{condition}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_condition_is_evaluated_once_when_the_needs_are_met() {
    // The condition is false at the moment of its turn, whatever comes later.
    let ran = case(playbook(vec![
        step("asks").when("steps.slow.status == 'ok'"),
        step("slow"),
    ]))
    .script("slow", takes(3))
    .run()
    .await;
    assert_eq!(ran.status("asks"), StepStatus::Skipped);
}

#[tokio::test(start_paused = true)]
async fn an_input_without_value_fails_the_step_before_it_is_tried() {
    let ran = case(playbook(vec![
        step("off").when("false"),
        step("a")
            .needs(&["off"])
            .with("text", template("{{ steps.off.value }}")),
    ]))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert!(
        ran.message().starts_with("step `a`: `text`: "),
        "{}",
        ran.message()
    );
    assert!(ran.whole_log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_node_of_a_step_must_be_a_name() {
    let with = |node| playbook(vec![step("a").node(node)]);
    let ran = case(with(constant("node2"))).run().await;
    assert_eq!(ran.state.step("a").unwrap().node.as_deref(), Some("node2"));
    let ran = case(with(constant(3))).run().await;
    assert_eq!(
        ran.message(),
        "step `a`: `node` must be the name of a node, this is an integer"
    );
}

#[tokio::test(start_paused = true)]
async fn text_that_is_known_only_at_run_time_becomes_what_the_action_declares() {
    let ran = case(playbook(vec![
        step("a")
            .with("pause", template("{{ params.pause }}"))
            .with("size", template("{{ params.size }}"))
            .with("free", template("{{ params.pause }}")),
        step("b").with("pause", template("{{ params.nothing }}")),
    ]))
    .params([
        ("pause", "1m30s".into()),
        ("size", "16MiB".into()),
        ("nothing", Value::Null),
    ])
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(
        ran.doubles.stage().inputs["a"],
        map([
            ("pause", secs(90).into()),
            ("size", (16 << 20).into()),
            ("free", "1m30s".into())
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn an_input_that_is_not_what_the_action_declares_fails_the_step_before_it_acts() {
    for (given, said) in [
        (Value::from("soon"), "`pause`: "),
        (
            Value::from(30),
            "`pause`: `30` has no unit; write its unit: `30s`",
        ),
        (
            Value::from(true),
            "`pause`: it must be a duration, this is a boolean",
        ),
    ] {
        let ran = case(playbook(vec![
            step("a").with("pause", template("{{ params.pause }}")),
        ]))
        .params([("pause", given)])
        .run()
        .await;
        assert_eq!(ran.outcome(), Outcome::Failed);
        assert!(ran.log().is_empty(), "{:?}", ran.log());
        assert!(ran.message().contains(said), "{}", ran.message());
    }
}
