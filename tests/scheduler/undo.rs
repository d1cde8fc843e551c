//! Undo: newest first, once, only before the point of no return; and what the point of no return means.

use crate::support::*;
use pgbaton::engine::{Failure, Outcome, StepStatus, UndoState, UndoStatus, Undone};
use pgbaton::playbook::{Playbook, TroubleKind};

fn failing_last(names: &[&str]) -> Playbook {
    let mut steps = Vec::new();
    for (index, name) in names.iter().enumerate() {
        steps.push(match index {
            0 => step(name),
            _ => step(name).needs(&[names[index - 1]]),
        });
    }
    steps.push(step("bad").needs(&[names[names.len() - 1]]));
    playbook(steps)
}

#[tokio::test(start_paused = true)]
async fn what_was_done_is_undone_newest_first() {
    let ran = case(failing_last(&["a", "b", "c"]))
        .script("bad", fails("no"))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(
        ran.log()[4..],
        ["undo c", "undo b", "undo a"],
        "and not `bad`, whose effect did not happen"
    );
    let state = ran.state.step("a").unwrap();
    assert_eq!(state.undo, UndoState::Ended(UndoStatus::Done));
    let told = ran.doubles.stage().told["a"].clone();
    assert_eq!(told.len(), 1);
    assert!(told[0].certain);
    assert_eq!(told[0].returned, serde_json::json!({ "by": "a" }));
}

#[tokio::test(start_paused = true)]
async fn what_perhaps_happened_is_undone_too() {
    let unknown = Failure::new(TroubleKind::Unknown, "lost");
    for doubtful in [
        Does::Unknown(unknown),
        Does::Hang,
        Does::Panic,
        Does::Forget,
    ] {
        let forgets = matches!(doubtful, Does::Forget);
        let ran = case(playbook(vec![
            step("a").timeout(secs(1)),
            step("bad").needs(&["a"]),
        ]))
        .script("a", does(vec![doubtful]))
        .script("bad", fails("no"))
        .run()
        .await;
        assert_eq!(ran.outcome(), Outcome::Failed);
        assert_eq!(ran.log().last().map(String::as_str), Some("undo a"));
        let told = ran.doubles.stage().told["a"].clone();
        assert!(!told[0].certain);
        assert_eq!(ran.status("bad") == StepStatus::NotRun, !forgets);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_goes_well_undoes_nothing() {
    let ran = case(playbook(vec![step("a")])).run().await;
    assert_eq!(ran.log(), ["apply a"]);
    assert_eq!(ran.state.step("a").unwrap().undo, UndoState::Not);
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_fails_is_a_debt_and_does_not_stop_the_others() {
    let left = Undone::Failed("slot stays on node1: drop it".to_owned());
    let variants = [
        Script {
            undo: left,
            ..Script::default()
        },
        Script {
            undo_hangs: true,
            ..Script::default()
        },
        Script {
            undo_panics: true,
            ..Script::default()
        },
    ];
    let says = [
        "`b` was not undone: slot stays on node1: drop it",
        "`b` was not undone: it did not end within 1m",
        "`b` was not undone: `undo` panicked: the undo broke",
    ];
    for (script, says) in variants.into_iter().zip(says) {
        let ran = case(failing_last(&["a", "b", "c"]))
            .script("b", script)
            .script("bad", fails("no"))
            .run()
            .await;
        assert_eq!(ran.report.debts, [says]);
        assert_eq!(ran.log()[4..], ["undo c", "undo b", "undo a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn it_reaches_all_scopes_in_one_order() {
    let child = named("child", vec![step("x"), step("y").needs(&["x"])]);
    let ran = case(playbook(vec![
        step("first"),
        nesting("nest", "child").needs(&["first"]),
        step("many").needs(&["nest"]).each(&["1"]),
        step("mended").needs(&["many"]).rescue(vec![step("mend")]),
        step("bad").needs(&["mended"]),
    ]))
    .nest(child)
    .script("mended", fails("no"))
    .script("bad", fails("no"))
    .run()
    .await;
    let log = ran.log();
    let undone: Vec<&str> = log.iter().filter_map(|l| l.strip_prefix("undo ")).collect();
    assert_eq!(
        undone,
        [
            "mended(rescue)/mend",
            "many[1]",
            "nest/y",
            "nest/x",
            "first"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_rescue_of_the_run_does_stays() {
    let mut playbook = playbook(vec![step("a"), step("bad").needs(&["a"])]);
    playbook.rescue = Some(block(vec![step("save")]));
    let ran = case(playbook).script("bad", fails("no")).run().await;
    assert_eq!(
        ran.log(),
        ["apply a", "apply bad", "apply (rescue)/save", "undo a"]
    );
}

#[tokio::test(start_paused = true)]
async fn after_the_point_of_no_return_nothing_is_undone_and_the_run_is_held() {
    let ran = case(playbook(vec![
        step("before"),
        acting("promote", "promote").needs(&["before"]),
        step("bad").needs(&["promote"]),
        step("later").needs(&["bad"]),
    ]))
    .script("bad", fails("no"))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Held);
    assert_eq!(ran.log(), ["apply before", "apply promote", "apply bad"]);
    let failure = ran.report.failure.as_ref().unwrap();
    assert_eq!(failure.message, "step `bad`: no");
    assert!(
        failure
            .help
            .as_ref()
            .unwrap()
            .contains("nothing was undone")
    );
    assert_eq!(
        ran.report.debts,
        [
            "`before` was done and is not undone: change before",
            "`promote` was done and is not undone: change promote",
            "these steps were not run: later"
        ]
    );
    assert_eq!(
        ran.state.point_of_no_return().map(ToString::to_string),
        Some("promote".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn the_intent_is_the_point_of_no_return_not_its_success() {
    let ran = case(playbook(vec![
        step("before"),
        acting("promote", "promote").needs(&["before"]),
    ]))
    .script("promote", fails("it returned false"))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Held);
    assert_eq!(ran.log(), ["apply before", "apply promote"]);
}

#[tokio::test(start_paused = true)]
async fn even_a_refusal_is_held_after_the_point_of_no_return() {
    let refuses = Script {
        probes: vec![Says::Conflict(Failure::refused("alive"))],
        ..Script::default()
    };
    let ran = case(playbook(vec![
        acting("promote", "promote"),
        step("late").needs(&["promote"]),
    ]))
    .script("late", refuses)
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Held);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_before_it_undoes_and_is_refused() {
    let refuses = Script {
        probes: vec![Says::Conflict(Failure::refused("the primary is alive"))],
        ..Script::default()
    };
    let ran = case(failing_last(&["a"]))
        .script("bad", refuses)
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Refused);
    assert_eq!(ran.log(), ["apply a", "undo a"]);
}

#[tokio::test(start_paused = true)]
async fn tolerated_failures_after_it_only_degrade() {
    let ran = case(playbook(vec![
        acting("promote", "promote"),
        step("follow")
            .needs(&["promote"])
            .on_failure(pgbaton::playbook::OnFailure::Degrade),
    ]))
    .script("follow", fails("unreachable"))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Degraded);
    assert_eq!(ran.report.debts, ["follow failed: unreachable"]);
}
