//! No journal, no lease, no right: no effect.

use crate::support::*;
use pgbaton::engine::{Event, Failure, Forecast, Outcome, StepStatus};
use pgbaton::playbook::TroubleKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test(start_paused = true)]
async fn every_effect_has_a_durable_intent_before_and_an_end_after() {
    let ran = case(playbook(vec![step("a")])).run().await;
    let kinds: Vec<&str> = ran
        .events
        .iter()
        .map(|e| match &e.event {
            Event::RunStarted { .. } => "run started",
            Event::ScopeOpened { .. } => "scope opened",
            Event::StepStarted { .. } => "step started",
            Event::AttemptStarted { .. } => "attempt started",
            Event::Probed { .. } => "probed",
            Event::EffectIntended { .. } => "intended",
            Event::EffectSettled { .. } => "settled",
            Event::StepEnded { .. } => "step ended",
            Event::ScopeClosed { .. } => "scope closed",
            Event::RunEnded { .. } => "run ended",
            _ => "other",
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "run started",
            "scope opened",
            "step started",
            "attempt started",
            "probed",
            "intended",
            "settled",
            "step ended",
            "scope closed",
            "run ended",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_journal_allows_no_effect_and_fails_the_run() {
    let mut playbook = playbook(vec![
        step("a"),
        step("b").needs(&["a"]),
        step("c").needs(&["b"]),
    ]);
    playbook.finally = Some(block(vec![acting("report", "read")]));
    let ran = case(playbook)
        .lose_journal_at(
            |event| matches!(event, Event::EffectIntended { path, .. } if &*path.0 == "b"),
        )
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert!(
        ran.message().contains(
            "the journal /full/run.jsonl cannot be written: no space left on device; \
             without it nothing may be changed"
        ),
        "{}",
        ran.message()
    );
    let refusal = ran.doubles.stage().refused["b"].clone();
    assert!(refusal.message.contains("no space left"));
    assert_eq!(
        ran.log(),
        ["apply a", "apply b", "apply (finally)/report"],
        "no further step, no undo, but the finally"
    );
    assert_eq!(
        ran.report.debts,
        ["`a` was done and is not undone: change a"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_is_lost_while_reading_stops_the_run_too() {
    let ran = case(playbook(vec![
        acting("a", "read"),
        acting("b", "read").needs(&["a"]),
    ]))
    .script("a", takes(1))
    .lose_journal_at(|event| matches!(event, Event::AttemptStarted { .. }))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(ran.log(), ["apply a"]);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_hangs_or_breaks_is_lost_too() {
    for how in [Breaks::Hang, Breaks::Panic] {
        let ran = case(playbook(vec![
            step("a").timeout(secs(600)),
            step("b").needs(&["a"]),
        ]))
        .lose_journal_at(|event| matches!(event, Event::EffectIntended { .. }))
        .journal_breaks(how)
        .run()
        .await;
        assert_eq!(ran.outcome(), Outcome::Failed);
        assert_eq!(ran.log(), ["apply a"]);
        assert!(
            ran.message()
                .contains("the journal of this run cannot be written"),
            "{}",
            ran.message()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_start_cannot_be_recorded_does_not_start() {
    let ran = case(playbook(vec![step("a")]))
        .lose_journal_at(|event| matches!(event, Event::RunStarted { .. }))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert!(ran.whole_log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_end_cannot_be_recorded_is_no_success() {
    for (action, outcome) in [("work", Outcome::Failed), ("promote", Outcome::Held)] {
        let ran = case(playbook(vec![acting("a", action)]))
            .lose_journal_at(|event| matches!(event, Event::RunEnded { .. }))
            .run()
            .await;
        assert_eq!(ran.outcome(), outcome);
        assert!(ran.message().contains("no space left"), "{}", ran.message());
    }
}

#[tokio::test(start_paused = true)]
async fn an_intent_to_promote_that_was_not_durable_is_no_point_of_no_return() {
    let ran = case(playbook(vec![acting("promote", "promote")]))
        .lose_journal_at(|event| matches!(event, Event::EffectIntended { .. }))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_allows_no_effect() {
    let lease = Arc::new(TestLease(AtomicBool::new(true)));
    let case = case(playbook(vec![step("a"), step("b").needs(&["a"])]))
        .script("a", takes(10))
        .lease(Arc::clone(&lease));
    let taking = async {
        tokio::time::sleep(secs(5)).await;
        lease.0.store(false, Ordering::SeqCst);
    };
    let (ran, ()) = tokio::join!(case.run(), taking);
    assert_eq!(ran.outcome(), Outcome::Held);
    assert_eq!(ran.status("a"), StepStatus::Ok, "what had begun went on");
    assert!(
        ran.message().contains("lost its lease"),
        "{}",
        ran.message()
    );
    assert_eq!(ran.report.debts.len(), 1, "and the undo of `a` is left");
    assert_eq!(ran.state.effects().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_without_a_lease_only_reads() {
    let ran = case(playbook(vec![acting("a", "read")]))
        .without_lease()
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    let ran = case(playbook(vec![step("a")])).without_lease().run().await;
    assert_eq!(ran.outcome(), Outcome::Refused);
    assert!(ran.state.effects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn there_is_one_point_of_no_return() {
    let ran = case(playbook(vec![
        acting("one", "promote"),
        acting("two", "promote").needs(&["one"]),
    ]))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Held);
    assert!(
        ran.message()
            .contains("`one` has passed the point of no return already")
    );
    // The step that passed it may try again.
    let again = does(vec![
        Does::Fail(Failure::new(TroubleKind::Failed, "false")),
        Does::Done(map([])),
    ]);
    let ran = case(playbook(vec![acting("one", "promote").retry(attempts(2))]))
        .script("one", again)
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Ok, "{}", ran.message());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_has_failed_passes_no_point_of_no_return() {
    // `promote` is under way, but not yet at its intent, when the step beside it fails.
    let child = named(
        "child",
        vec![step("x"), acting("promote", "promote").needs(&["x"])],
    );
    let ran = case(playbook(vec![step("bad"), nesting("nest", "child")]))
        .nest(child)
        .script("bad", fails("no"))
        .script("nest/x", takes(5))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert!(ran.state.point_of_no_return().is_none());
    let refusal = ran.doubles.stage().refused["nest/promote"].clone();
    assert_eq!(
        refusal.message,
        "the point of no return cannot be passed any more: step `bad` failed: no"
    );
    assert_eq!(ran.log().last().map(String::as_str), Some("undo nest/x"));
}

#[tokio::test(start_paused = true)]
async fn a_rescue_or_finally_of_the_run_promotes_nobody() {
    let mut playbook = playbook(vec![step("bad")]);
    playbook.rescue = Some(block(vec![acting("promote", "promote")]));
    playbook.finally = Some(block(vec![acting("promote_too", "promote")]));
    let ran = case(playbook).script("bad", fails("no")).run().await;
    assert!(ran.state.point_of_no_return().is_none());
    assert_eq!(ran.outcome(), Outcome::Failed);
}

#[tokio::test(start_paused = true)]
async fn nothing_unfreezes_after_the_point_of_no_return() {
    let thaw = |needs: &[&str]| acting("thaw", "unfreeze").needs(needs);
    let ran = case(playbook(vec![thaw(&[])])).run().await;
    assert_eq!(ran.outcome(), Outcome::Ok);
    let ran = case(playbook(vec![
        acting("promote", "promote"),
        thaw(&["promote"]),
    ]))
    .run()
    .await;
    assert_eq!(ran.outcome(), Outcome::Held);
    assert_eq!(ran.state.effects().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_runs_on_behind_an_attempt_may_do_nothing() {
    let ran = case(playbook(vec![step("a")])).run().await;
    let kept = ran.doubles.stage().kept["a"].clone();
    let forecast = Forecast {
        summary: String::new(),
        rendered: Vec::new(),
        operation: serde_json::Value::Null,
    };
    let refused = kept.effects.intend(&kept.path, forecast, false).await;
    assert!(refused.is_err());
    assert!(kept.cancel.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_doubt_without_a_probe_is_not_tried_again_and_a_time_out_is() {
    let blind = |does_: Does| Script {
        probes: vec![Says::Blind],
        ..does(vec![does_, Does::Done(map([]))])
    };
    let lost = Failure::new(TroubleKind::Unknown, "the answer was lost");
    let ran = case(playbook(vec![step("a").retry(attempts(3))]))
        .script("a", blind(Does::Unknown(lost)))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Failed);
    assert_eq!(
        ran.message(),
        "step `a`: the answer was lost; nobody can tell whether it happened: nothing to look at"
    );
    assert_eq!(ran.state.step("a").unwrap().attempts, 1);
    let ran = case(playbook(vec![step("a").retry(attempts(3))]))
        .script("a", blind(Does::Hang))
        .run()
        .await;
    assert_eq!(ran.outcome(), Outcome::Ok, "{}", ran.message());
    assert_eq!(ran.state.step("a").unwrap().attempts, 2);
}
