//! The sessions that a process keeps open: few, planned once, and no trap when one of them hangs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod live_support;

use futures_util::future::join_all;
use live_support::{Pair, name, run};
use pgbaton::cluster::{Observe, TroubleKind};

const OURS: &str =
    "FROM pg_stat_activity WHERE application_name = 'pgbaton' AND backend_type = 'client backend'";

fn count(pair: &Pair) -> String {
    let counted = pair.sql("n2", &format!("SELECT count(*) {OURS}"));
    counted.trim().to_owned()
}

#[tokio::test]
async fn many_questions_at_once_share_two_sessions() {
    let pair = Pair::new().await;
    let live = pair.live();
    let n2 = name("n2");
    assert_eq!(live.warm().await, vec![]);
    assert_eq!(count(&pair), "2");
    let questions = (0..3).map(|_| async {
        let (server, upstream, slots) =
            tokio::join!(live.server(&n2), live.upstream(&n2), live.slots(&n2));
        assert!(server.unwrap().in_recovery);
        assert!(upstream.unwrap().is_some());
        assert_eq!(slots.unwrap(), (vec![], 4));
    });
    join_all(questions).await;
    assert_eq!(count(&pair), "2");
}

#[tokio::test]
async fn a_question_is_planned_once_in_a_session_and_answered_anew_each_time() {
    let pair = Pair::new().await;
    let live = pair.live();
    let n1 = name("n1");
    let before = live.server(&n1).await.unwrap();
    pair.sql(
        "n1",
        "SELECT pg_logical_emit_message(true, 'test', 'more WAL')",
    );
    let after = live.server(&n1).await.unwrap();
    assert!(after.written > before.written, "{before:?} {after:?}");
    // What the session itself was asked last, as the server sees it.
    let last = pair.sql("n1", &format!("SELECT query {OURS}"));
    assert!(last.contains("EXECUTE pgbaton_0"), "{last}");
}

#[tokio::test]
async fn sessions_that_hang_hold_up_only_whoever_asked_them() {
    let pair = Pair::new().await;
    let live = pair.live();
    let n2 = name("n2");
    assert_eq!(live.warm().await, vec![]);
    let pids = pair.sql("n2", &format!("SELECT pid {OURS}"));
    let pids: Vec<&str> = pids.split_whitespace().collect();
    assert_eq!(pids.len(), 2);
    run(&[&["kill", "-STOP"], pids.as_slice()].concat());
    let answers = join_all((0..3).map(|_| live.server(&n2))).await;
    run(&[&["kill", "-CONT"], pids.as_slice()].concat());
    let kinds: Vec<Option<TroubleKind>> = answers
        .iter()
        .map(|answer| answer.as_ref().err().map(|trouble| trouble.kind))
        .collect();
    let hung = Some(TroubleKind::Timeout);
    assert_eq!(kinds, [hung, hung, None]);
}
