//! Rescue and finally, of steps and of the run, and the budgets of everything.

use crate::support::*;
use pgbaton::engine::{Event, Failure, Outcome, StepStatus};
use pgbaton::playbook::{Block, OnFailure, Value};

#[tokio::test(start_paused = true)]
async fn a_step_whose_rescue_succeeds_is_rescued() {
    let ran = case(playbook(vec![
        step("a").rescue(vec![step("mend"), step("check").needs(&["mend"])]),
        step("next")
            .needs(&["a"])
            .when("steps.a.status == 'rescued'"),
    ]))
    .script("a", fails("no"))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(ran.status("a"), StepStatus::Rescued);
    assert_eq!(
        ran.log(),
        [
            "apply a",
            "apply a(rescue)/mend",
            "apply a(rescue)/check",
            "apply next"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_rescue_sees_the_error_the_steps_around_it_and_gives_outputs() {
    let rescue = Block {
        steps: vec![
            step("mend")
                .with("kind", template("{{ error.kind }}"))
                .with("step", template("{{ error.step }}"))
                .with("message", template("{{ error.message }}"))
                .with("before", template("{{ steps.before.value }}")),
        ],
        outputs: vec![(here("value".to_owned()), expression("steps.mend.value + 1"))],
        ..Block::default()
    };
    let ran = case(playbook(vec![
        step("before"),
        step("a").needs(&["before"]).rescue_block(rescue),
        step("next")
            .needs(&["a"])
            .with("from", template("{{ steps.a.value }}")),
    ]))
    .script("before", gives([("value", 5.into())]))
    .script("a", fails("the reason"))
    .script("a(rescue)/mend", gives([("value", 8.into())]))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Ok, "{}", ran.message());
    let stage = ran.doubles.stage();
    let expected = map([
        ("kind", "failed".into()),
        ("step", "a".into()),
        ("message", "the reason".into()),
        ("before", 5.into()),
    ]);
    assert_eq!(stage.inputs["a(rescue)/mend"], expected);
    assert_eq!(stage.inputs["next"]["from"], Value::Integer(9));
}

#[tokio::test(start_paused = true)]
async fn a_rescue_that_fails_leaves_the_step_failed_and_both_are_told() {
    let ran = case(playbook(vec![step("a").rescue(vec![step("mend")])]))
        .script("a", fails("first"))
        .script("a(rescue)/mend", fails("second"))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(
        ran.message(),
        "step `a`: first; its rescue failed too: `a(rescue)/mend`: second"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rescue_has_a_budget_of_its_own() {
    for (timeout, expected) in [(Some(secs(7)), 7), (None, 120)] {
        let rescue = Block {
            timeout,
            ..block(vec![step("mend").timeout(secs(900))])
        };
        let ran = case(playbook(vec![step("a").rescue_block(rescue)]))
            .script("a", fails("first"))
            .script("a(rescue)/mend", takes(800))
            .run()
            .await;
        assert_eq!(ran.outcome(), Outcome::Failed);
        // And the grace of an action that does not listen.
        assert_eq!(ran.took, secs(expected + 5));
        assert_eq!(ran.attempts("a(rescue)/mend")[0].0, "timeout");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rescue_runs_before_the_failure_is_tolerated() {
    let ran = case(playbook(vec![
        step("a")
            .on_failure(OnFailure::Degrade)
            .rescue(vec![step("mend")]),
    ]))
    .script("a", fails("no"))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_rescue_succeeded_still_failed() {
    let mut playbook = playbook(vec![step("a")]);
    playbook.rescue = Some(block(vec![
        step("save").with("step", template("{{ error.step }}")),
    ]));
    let ran = case(playbook.clone()).script("a", fails("no")).run().await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(ran.status("(rescue)/save"), StepStatus::Ok);
    assert_eq!(
        ran.doubles.stage().inputs["(rescue)/save"]["step"],
        Value::from("a")
    );
    let ran = case(playbook).run().await;
    assert!(ran.state.scope("(rescue)").is_none(), "not without need");
}

#[tokio::test(start_paused = true)]
async fn finally_runs_whatever_happened_and_last() {
    let variants: [(Script, Outcome); 4] = [
        (Script::default(), Outcome::Ok),
        (fails("no"), Outcome::Failed),
        (does(vec![Does::Panic]), Outcome::Failed),
        (does(vec![Does::Fail(Failure::hold("ask"))]), Outcome::Held),
    ];
    for (script, outcome) in variants {
        let mut playbook = playbook(vec![step("first"), step("a").needs(&["first"])]);
        playbook.rescue = Some(block(vec![step("save")]));
        playbook.finally = Some(block(vec![
            step("report").when("steps.first.status == 'ok'"),
        ]));
        let ran = case(playbook)
            .script("a", script)
            .script("(rescue)/save", fails("that too"))
            .run()
            .await;
        assert_eq!(ran.outcome(), outcome, "{}", ran.message());
        let log = ran.log();
        assert_eq!(
            log.last().map(String::as_str),
            Some("apply (finally)/report")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_finally_that_fails_fails_the_run() {
    let with_finally = |steps| {
        let mut playbook = playbook(steps);
        playbook.finally = Some(block(vec![step("report")]));
        playbook
    };
    let ran = case(with_finally(vec![step("a")]))
        .script("(finally)/report", fails("no mail"))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(ran.message(), "step `(finally)/report`: no mail");
    // After a promotion that reached its goal it is no reason to call a person at night.
    let ran = case(with_finally(vec![acting("promote", "promote")]))
        .script("(finally)/report", fails("no mail"))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Degraded);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_out_of_time_fails_undoes_and_still_tidies_up() {
    let mut playbook = playbook(vec![
        step("done"),
        step("slow")
            .needs(&["done"])
            .timeout(secs(900))
            .rescue(vec![step("mend")]),
        step("later").needs(&["slow"]),
    ]);
    playbook.timeout = Some(here(secs(30)));
    playbook.rescue = Some(block(vec![step("save")]));
    playbook.finally = Some(block(vec![step("report")]));
    let ran = case(playbook)
        .script("slow", does(vec![Does::Hang]))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(
        ran.message(),
        "the run did not end within 30s: `slow` was under way"
    );
    assert_eq!(ran.status("slow"), StepStatus::Failed);
    assert_eq!(ran.status("later"), StepStatus::NotRun);
    assert_eq!(ran.took, secs(35));
    assert_eq!(
        ran.log(),
        [
            "apply done",
            "apply slow",
            "apply (rescue)/save",
            "undo slow",
            "undo done",
            "apply (finally)/report",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_out_of_time_after_the_point_of_no_return_is_held() {
    let mut playbook = playbook(vec![
        acting("promote", "promote"),
        step("slow").needs(&["promote"]).timeout(secs(900)),
    ]);
    playbook.timeout = Some(here(secs(30)));
    let ran = case(playbook).script("slow", takes(800)).run().await;
    assert_eq!(ran.outcome(), Outcome::Held);
    assert_eq!(ran.log(), ["apply promote", "apply slow"]);
}

#[tokio::test(start_paused = true)]
async fn debts_that_steps_note_reach_the_report() {
    let ran = case(playbook(vec![step("a")]))
        .script(
            "a",
            does(vec![Does::Owe("stop the old primary at first contact")]),
        )
        .run()
        .await;
    assert_eq!(ran.report.debts, ["stop the old primary at first contact"]);
    let ended = ran
        .events
        .iter()
        .any(|e| matches!(&e.event, Event::RunEnded { debts, .. } if debts == &ran.report.debts));
    assert!(ended, "and the journal");
}
