//! Cancellation: a failure without step rescues before the point of no return, refused after it.

use crate::support::*;
use pgbaton::engine::{Event, Outcome, StepStatus};
use pgbaton::playbook::{Retry, Step};

fn answers(ran: &Ran) -> Vec<(bool, Option<String>)> {
    let asked = ran.events.iter().filter_map(|e| match &e.event {
        Event::CancelRequested { accepted, reason } => Some((*accepted, reason.clone())),
        _ => None,
    });
    asked.collect()
}

fn with_all(steps: Vec<Step>) -> pgbaton::playbook::Playbook {
    let mut playbook = playbook(steps);
    playbook.rescue = Some(block(vec![step("save")]));
    playbook.finally = Some(block(vec![step("report")]));
    playbook
}

#[tokio::test(start_paused = true)]
async fn what_runs_ends_what_was_done_is_undone() {
    let ran = case(with_all(vec![
        step("done"),
        step("running").needs(&["done"]).rescue(vec![step("mend")]),
        step("later").needs(&["running"]),
    ]))
    .script("running", does(vec![Does::Hang]))
    .cancel_after(secs(2))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Cancelled);
    assert_eq!(answers(&ran), [(true, None)]);
    assert_eq!(ran.status("running"), StepStatus::Cancelled);
    assert_eq!(ran.status("later"), StepStatus::NotRun);
    assert!(ran.state.step("running(rescue)/mend").is_none());
    assert_eq!(
        ran.log(),
        [
            "apply done",
            "apply running",
            "apply (rescue)/save",
            "undo running",
            "undo done",
            "apply (finally)/report",
        ]
    );
    // Two seconds until the cancellation, five of grace for an action that does not listen.
    assert_eq!(ran.took, secs(7));
    assert!(ran.state.cancelled());
}

#[tokio::test(start_paused = true)]
async fn an_action_that_ends_well_within_its_grace_counts() {
    let ran = case(playbook(vec![step("a"), step("b").needs(&["a"])]))
        .script("a", takes(4))
        .cancel_after(secs(2))
        .run()
        .await;
    assert_eq!(ran.status("a"), StepStatus::Ok);
    assert_eq!(ran.status("b"), StepStatus::NotRun);
    assert_eq!(ran.outcome(), Outcome::Cancelled);
    assert_eq!(ran.took, secs(4));
}

#[tokio::test(start_paused = true)]
async fn waits_end_at_once() {
    let retry = Retry {
        delay: secs(600),
        ..attempts(3)
    };
    let ran = case(playbook(vec![step("a").retry(retry)]))
        .script("a", fails("no"))
        .cancel_after(secs(2))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Cancelled);
    assert_eq!(ran.took, secs(2));
    assert_eq!(ran.status("a"), StepStatus::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_before_it_starts_does_nothing() {
    let ran = case(with_all(vec![step("a")]))
        .cancel_after(secs(0))
        .script("a", takes(1))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Cancelled);
    assert_eq!(ran.took, secs(1).min(ran.took));
}

#[tokio::test(start_paused = true)]
async fn no_effect_begins_once_it_is_cancelled() {
    let ran = case(playbook(vec![step("a")]))
        .script("a", does(vec![Does::EffectAfterCancel]))
        .cancel_after(secs(1))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Cancelled);
    assert!(ran.state.effects().is_empty());
    assert_eq!(
        ran.doubles.stage().refused["a"].message,
        "the run was cancelled"
    );
}

#[tokio::test(start_paused = true)]
async fn after_the_point_of_no_return_it_is_refused_and_the_run_goes_on() {
    let ran = case(playbook(vec![
        acting("promote", "promote"),
        step("follow").needs(&["promote"]),
    ]))
    .script("promote", takes(5))
    .cancel_when("apply promote", secs(1))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(ran.status("follow"), StepStatus::Ok);
    let [(accepted, Some(reason))] = &answers(&ran)[..] else {
        panic!("{:?}", answers(&ran))
    };
    assert!(!accepted);
    assert!(reason.contains("`promote` has passed the point of no return"));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_ending_already_is_not_cancelled() {
    let ran = case(with_all(vec![step("bad")]))
        .script("bad", fails("no"))
        .script("(rescue)/save", takes(9))
        .cancel_when("apply (rescue)/save", secs(1))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(ran.status("(rescue)/save"), StepStatus::Ok);
    assert_eq!(ran.status("(finally)/report"), StepStatus::Ok);
    assert_eq!(
        answers(&ran),
        [(false, Some("the run is ending already".to_owned()))]
    );
}

#[tokio::test(start_paused = true)]
async fn it_reaches_items_and_nested_playbooks() {
    let mut child = named("child", vec![step("x"), step("y").needs(&["x"])]);
    child.finally = Some(block(vec![step("tidy")]));
    let ran = case(playbook(vec![
        step("many").each(&["1", "2"]),
        nesting("nest", "child"),
    ]))
    .nest(child)
    .script("many[1]", does(vec![Does::Hang]))
    .script("many[2]", does(vec![Does::Hang]))
    .script("nest/x", does(vec![Does::Hang]))
    .cancel_after(secs(1))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Cancelled);
    for path in ["many", "many[1]", "many[2]", "nest", "nest/x"] {
        assert_eq!(ran.status(path), StepStatus::Cancelled, "{path}");
    }
    assert_eq!(ran.status("nest/y"), StepStatus::NotRun);
    assert_eq!(ran.status("nest/(finally)/tidy"), StepStatus::Ok);
    assert_eq!(ran.took, secs(6));
}

#[tokio::test(start_paused = true)]
async fn items_that_had_no_turn_are_not_run() {
    let mut each = over(&["1", "2", "3"]);
    each.max_parallel = Some(1);
    let ran = case(playbook(vec![step("many").for_each(each)]))
        .script("many[1]", takes(60))
        .cancel_after(secs(1))
        .run()
        .await;
    assert_eq!(ran.status("many[1]"), StepStatus::Cancelled);
    assert_eq!(ran.status("many[2]"), StepStatus::NotRun);
    assert_eq!(ran.status("many"), StepStatus::Cancelled);
}
