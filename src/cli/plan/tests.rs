//! What a plan looks like.

use super::page::render;
use crate::cli::paint::Paint;
use crate::cli::text;
use crate::cli::topology_table::samples::healthy;
use crate::cluster::NodeName;
use crate::engine::{Failure, Outcome, SkipReason, StepPath, StepStatus};
use crate::playbook::{Map, Value};
use crate::runs::{Decision, Details, NodeDetail, Plan, PlannedEffect, PlannedStep, Supposed};
use std::collections::BTreeMap;

fn step(path: &str, depth: usize, status: StepStatus) -> PlannedStep {
    PlannedStep {
        path: StepPath(path.into()),
        label: path.rsplit('/').next().unwrap().to_owned(),
        depth,
        action: Some("promote".to_owned()),
        node: Some("n2".to_owned()),
        status,
        why: None,
        skipped: None,
        unchanged: false,
        attempts: 1,
        failure: None,
        effects: Vec::new(),
        reads: Vec::new(),
        foreseen: None,
        outputs: Map::new(),
    }
}

fn plan() -> Plan {
    let mut promote = step("promote", 0, StepStatus::Ok);
    promote.why = Some("it is in recovery".to_owned());
    promote.effects.push(PlannedEffect {
        summary: "promote n2".to_owned(),
        rendered: vec![
            "n2: SELECT pg_promote(false);".to_owned(),
            format!(
                "n2: ALTER SYSTEM SET primary_conninfo = '{}';\nslot",
                "x".repeat(90)
            ),
        ],
        operation: serde_json::Value::Null,
        outcome: "done".to_owned(),
        point_of_no_return: true,
        undo: false,
    });
    let mut hangs = step("follow/stop", 1, StepStatus::MayRun);
    hangs.skipped = Some(SkipReason::Unknown(
        "`steps.x.stdout == 'y'` cannot be evaluated: `steps.x.stdout` is not known before the run"
            .to_owned(),
    ));
    let mut stops = step("choose", 0, StepStatus::Failed);
    let refusal = Failure::refused("promotion would lose WAL: 24 MiB; the limit is 1 MiB")
        .with_help("accept the loss, or get the rest of the WAL first");
    stops.failure = Some(refusal.clone());
    let supposed = |text: &str| Supposed {
        about: "n1".to_owned(),
        text: text.to_owned(),
    };
    let decision = |topic: &str, text: &str| Decision {
        path: StepPath("choose".into()),
        topic: topic.to_owned(),
        text: text.to_owned(),
        data: serde_json::Value::Null,
    };
    Plan {
        format: Plan::FORMAT,
        made: "2026-01-01T00:00:00Z".to_owned(),
        cluster: "orders".to_owned(),
        playbook: "failover".to_owned(),
        version: Some("1.0.0".to_owned()),
        texts: Vec::new(),
        given: Vec::new(),
        params: Map::from([("old_primary".to_owned(), Value::from("n1"))]),
        pinned: Map::new(),
        outcome: Outcome::Refused,
        failure: Some(refusal),
        at: Some(StepPath("choose".into())),
        outputs: Map::new(),
        debts: vec!["stop n1 at first contact".to_owned()],
        steps: vec![promote, hangs, stops],
        decisions: vec![
            decision(
                "choice",
                "n2 at 0/5000148 on timeline 1; not n3: it is 24 bytes behind",
            ),
            decision(
                "proof",
                "WAIVED: nothing proves that n1 acknowledges no more",
            ),
        ],
        assumptions: vec![supposed(
            "`/sbin/fence n1` is taken to succeed; it is not run",
        )],
        unknown: vec![supposed("what its server says of itself: no connection")],
        before: healthy(),
        after: healthy(),
        details_before: details("ANY 1 (\"n2\", \"n3\")"),
        details_after: details("ANY 1 (\"n1\", \"n3\", \"a_standby_with_a_long_name\")"),
        grounds: BTreeMap::new(),
    }
}

/// Of one node, whose commits wait for these.
fn details(synchronous: &str) -> Details {
    let detail = NodeDetail {
        follows: None,
        primary_slot_name: None,
        restore_command: None,
        synchronous_standby_names: Some(synchronous.to_owned()),
        slots: BTreeMap::new(),
    };
    [(NodeName::parse("n1").unwrap(), detail)].into()
}

#[test]
fn a_plan_fits_eighty_columns_and_cuts_nothing() {
    let text = render(&plan(), Paint::plain(), Some(80));
    for line in text.lines() {
        assert!(text::width(line) <= 80, "{line}");
    }
    assert_eq!(
        text.matches('x').count(),
        render(&plan(), Paint::plain(), None).matches('x').count()
    );
    insta::assert_snapshot!(text);
}

#[test]
fn a_plan_that_is_kept_is_the_one_that_is_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), plan().to_text()).unwrap();
    assert_eq!(Plan::read(file.path()).unwrap(), plan());
}
