//! One attempt after the other: probe, apply, verify, time-outs, retries, `until`.

use crate::support::*;
use pgbaton::engine::{Consequence, Event, Failure, Outcome, StepStatus, Verdict};
use pgbaton::playbook::{Jitter, Map, Retry, Step, TroubleKind};

fn unreachable() -> Failure {
    Failure::new(TroubleKind::Unreachable, "node2 does not answer")
}

async fn run(step: Step, script: Script) -> Ran {
    let path = step.id.value.to_string();
    case(playbook(vec![step])).script(&path, script).run().await
}

fn probes(of: &[Says]) -> Script {
    Script {
        probes: of.to_vec(),
        ..Script::default()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_needed_is_applied_and_verified() {
    let ran = run(step("a"), Script::default()).await;
    assert_eq!(ran.whole_log(), ["probe a", "apply a", "verify a"]);
    assert!(!ran.state.step("a").unwrap().unchanged);
    let forecast = ran.events.iter().find_map(|e| match &e.event {
        Event::Probed {
            forecast, verdict, ..
        } => Some((*verdict, forecast.len())),
        _ => None,
    });
    assert_eq!(forecast, Some((Verdict::Needed, 1)));
}

#[tokio::test(start_paused = true)]
async fn what_is_there_already_is_only_verified() {
    let ran = run(step("a"), probes(&[Says::Satisfied])).await;
    assert_eq!(ran.whole_log(), ["probe a", "verify a"]);
    let state = ran.state.step("a").unwrap();
    assert!(state.unchanged);
    assert_eq!(state.outputs, map([("value", 42.into())]));
}

#[tokio::test(start_paused = true)]
async fn satisfied_without_evidence_is_a_failure() {
    let script = Script {
        verifies: vec![Err(failure("no evidence"))],
        ..probes(&[Says::Satisfied])
    };
    let ran = run(step("a"), script).await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(ran.message(), "step `a`: no evidence");
}

#[tokio::test(start_paused = true)]
async fn what_a_probe_says_against_it() {
    let denied = Failure::refused("the primary is alive");
    for (says, kind, outcome) in [
        (Says::Conflict(failure("x")), "conflict", Outcome::Failed),
        (Says::Conflict(denied), "denied", Outcome::Refused),
        (
            Says::Conflict(Failure::hold("x")),
            "conflict",
            Outcome::Held,
        ),
        (Says::Unknown(unreachable()), "unreachable", Outcome::Failed),
        (Says::Panic, "failed", Outcome::Failed),
    ] {
        let ran = run(step("a"), probes(&[says])).await;
        assert_eq!(ran.outcome(), outcome);
        assert_eq!(ran.attempts("a"), [(kind.to_owned(), None)]);
        assert!(ran.log().is_empty(), "nothing was applied");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_are_retried_with_growing_waits() {
    let retry = Retry {
        factor_thousandths: 2000,
        ..attempts(3)
    };
    let ran = run(step("a").retry(retry), fails("no")).await;
    let failed = |wait| ("failed".to_owned(), wait);
    assert_eq!(
        ran.attempts("a"),
        [failed(Some(1000)), failed(Some(2000)), failed(None)]
    );
    assert_eq!(ran.took, secs(3));
    assert_eq!(ran.state.step("a").unwrap().attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_succeeds_ends_the_retries() {
    let script = does(vec![Does::Fail(failure("no")), Does::Done(Map::new())]);
    let ran = run(step("a").retry(attempts(5)), script).await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(ran.state.step("a").unwrap().attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn without_retry_there_is_one_attempt_and_defaults_give_more() {
    let ran = run(step("a"), fails("no")).await;
    assert_eq!(ran.state.step("a").unwrap().attempts, 1);
    let mut with_default = playbook(vec![step("a")]);
    with_default.defaults.retry = Some(attempts(2));
    let ran = case(with_default).script("a", fails("no")).run().await;
    assert_eq!(ran.state.step("a").unwrap().attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn conflicts_are_retried_only_where_if_says_so() {
    let conflict = || probes(&[Says::Conflict(failure("x")), Says::Needed]);
    let ran = run(step("a").retry(attempts(3)), conflict()).await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    let retry = Retry {
        condition: Some(expression("error.kind == 'conflict' && error.step == 'a'")),
        ..attempts(3)
    };
    let ran = run(step("a").retry(retry.clone()), conflict()).await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    // The condition replaces the default: other kinds are not retried now.
    let ran = run(step("a").retry(retry), fails("no")).await;
    assert_eq!(ran.state.step("a").unwrap().attempts, 1);
    let broken = Retry {
        condition: Some(expression("error.ghost == 1")),
        ..attempts(3)
    };
    let ran = run(step("a").retry(broken), fails("no")).await;
    assert!(
        ran.message().contains("`retry.if` has no answer"),
        "{}",
        ran.message()
    );
}

#[tokio::test(start_paused = true)]
async fn within_bounds_all_attempts_and_waits() {
    let retry = Retry {
        attempts: None,
        within: Some(secs(10)),
        ..attempts(1)
    };
    let slow = Script {
        takes: secs(2),
        ..fails("no")
    };
    let ran = run(step("a").retry(retry.clone()), slow).await;
    // Attempts at 0, 3, 6 and 9 s; the last one is cut off at 10 s.
    assert_eq!(ran.state.step("a").unwrap().attempts, 4);
    assert_eq!(ran.attempts("a")[3].0, "timeout");
    assert_eq!(ran.took, secs(10));
}

#[tokio::test(start_paused = true)]
async fn jitter_comes_from_the_seed_alone() {
    let retry = Retry {
        jitter: Jitter::Full,
        ..attempts(4)
    };
    let mut waits = Vec::new();
    for seed in [1, 1, 2] {
        let ran = case(playbook(vec![step("a").retry(retry.clone())]))
            .script("a", fails("no"))
            .seed(seed)
            .run()
            .await;
        waits.push(ran.attempts("a"));
    }
    assert_eq!(waits[0], waits[1]);
    assert_ne!(waits[0], waits[2]);
    assert!(waits[0].iter().all(|(_, wait)| wait.unwrap_or(0) <= 1000));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_bounded_by_its_timeout() {
    let hang = || probes(&[Says::Hang]);
    let ran = run(step("a").timeout(secs(3)), hang()).await;
    assert_eq!(ran.took, secs(3));
    assert_eq!(ran.message(), "step `a`: not done within 3s");
    assert_eq!(ran.attempts("a"), [("timeout".to_owned(), None)]);
    // Of the playbook's defaults, or of the action's signature.
    let mut by_default = playbook(vec![step("a")]);
    by_default.defaults.timeout = Some(secs(5));
    let ran = case(by_default).script("a", hang()).run().await;
    assert_eq!(ran.took, secs(5));
    let ran = run(step("a"), hang()).await;
    assert_eq!(ran.took, secs(60));
}

#[tokio::test(start_paused = true)]
async fn what_ran_into_its_limit_is_looked_at_once_more() {
    let hung = |says| Script {
        probes: vec![Says::Needed, says],
        ..does(vec![Does::Hang])
    };
    // It happened after all.
    let ran = run(step("a").timeout(secs(3)), hung(Says::Satisfied)).await;
    assert_eq!(ran.outcome(), Outcome::Ok, "{}", ran.message());
    assert!(!ran.state.step("a").unwrap().unchanged);
    assert_eq!(
        ran.whole_log(),
        ["probe a", "apply a", "probe a", "verify a"]
    );
    // It did not: a time-out like any other, which can be retried.
    let ran = run(step("a").timeout(secs(3)), hung(Says::Needed)).await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(ran.attempts("a"), [("timeout".to_owned(), None)]);
    // Even the look is bounded.
    let ran = run(step("a").timeout(secs(3)), hung(Says::Hang)).await;
    assert_eq!(ran.took, secs(13));
    assert!(
        ran.message().contains("nobody can tell"),
        "{}",
        ran.message()
    );
}

#[tokio::test(start_paused = true)]
async fn a_time_out_is_retried_like_a_failure() {
    let script = does(vec![Does::Hang, Does::Done(Map::new())]);
    let ran = run(step("a").timeout(secs(3)).retry(attempts(2)), script).await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(ran.attempts("a"), [("timeout".to_owned(), Some(1000))]);
    assert_eq!(ran.took, secs(4));
}

fn lost() -> Does {
    Does::Unknown(Failure::new(TroubleKind::Unknown, "connection lost"))
}

#[tokio::test(start_paused = true)]
async fn unknown_is_never_failed_before_it_was_probed() {
    let after = |says| Script {
        probes: vec![Says::Needed, says],
        ..does(vec![lost()])
    };
    let ran = run(step("a"), after(Says::Satisfied)).await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(
        ran.whole_log(),
        ["probe a", "apply a", "probe a", "verify a"]
    );
    for says in [
        Says::Needed,
        Says::Conflict(failure("split")),
        Says::Unknown(unreachable()),
        Says::Panic,
    ] {
        let ran = run(step("a"), after(says)).await;
        assert_eq!(ran.attempts("a"), [("unknown".to_owned(), None)]);
        assert_eq!(ran.outcome(), Outcome::Failed);
    }
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_done_twice_is_not() {
    let retried = || acting("a", "once").retry(attempts(3)).timeout(secs(3));
    let needed = |does| Script {
        applies: vec![does],
        ..Script::default()
    };
    // Perhaps it was done: a person must decide.
    for doubtful in [
        lost(),
        Does::Hang,
        Does::Panic,
        Does::DoneThenFail(failure("half")),
    ] {
        let ran = run(retried(), needed(doubtful)).await;
        assert_eq!(ran.log(), ["apply a", "undo a"], "applied once");
        assert_eq!(ran.outcome(), Outcome::Held, "{}", ran.message());
        let decisive = ran.report.failure.as_ref().unwrap();
        assert_eq!(decisive.consequence, Consequence::Hold);
    }
    // Perhaps it was done, and the first look could not tell: the next attempt must not do it again either.
    let script = Script {
        probes: vec![Says::Needed, Says::Unknown(unreachable()), Says::Needed],
        ..does(vec![lost()])
    };
    let ran = run(retried(), script).await;
    assert_eq!(ran.log(), ["apply a", "undo a"]);
    assert_eq!(ran.outcome(), Outcome::Held);
    // It was not done: it may be tried again.
    let ran = run(retried(), fails("no")).await;
    assert_eq!(ran.log(), ["apply a", "apply a", "apply a"]);
    // It was done, the evidence came late: only the evidence is asked for again.
    let late = Script {
        verifies: vec![Err(failure("not yet")), Ok(())],
        ..Script::default()
    };
    let ran = run(retried(), late).await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(ran.log(), ["apply a"]);
}

#[tokio::test(start_paused = true)]
async fn twice_is_as_once_may_be_tried_again_in_doubt() {
    let script = does(vec![lost(), Does::Done(Map::new())]);
    let ran = run(step("a").retry(attempts(2)), script).await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(ran.log(), ["apply a", "apply a"]);
}

#[tokio::test(start_paused = true)]
async fn until_asks_for_more_than_success() {
    let script = does(vec![
        Does::Done(map([("value", 1.into())])),
        Does::Done(map([("value", 2.into())])),
    ]);
    let until = |most| step("a").until("result.value >= 2").retry(attempts(most));
    let ran = run(until(3), script.clone()).await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert_eq!(ran.attempts("a"), [("unmet".to_owned(), Some(1000))]);
    let ran = run(until(1), script).await;
    assert_eq!(ran.attempts("a"), [("unmet".to_owned(), None)]);
    assert_eq!(
        ran.message(),
        "step `a`: everything worked, but `result.value >= 2` does not hold yet"
    );
    // A condition without an answer is no reason to try again.
    let broken = step("a").until("result.ghost == 1").retry(attempts(3));
    let ran = run(broken, Script::default()).await;
    assert_eq!(ran.state.step("a").unwrap().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn an_action_that_breaks_is_a_failure_that_names_it() {
    let ran = run(step("a"), does(vec![Does::Panic])).await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(ran.status("a"), StepStatus::Failed);
    assert!(
        ran.message().contains("`apply` panicked: the apply broke"),
        "{}",
        ran.message()
    );
}
