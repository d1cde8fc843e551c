//! What users see of playbooks, right and wrong.

use super::examples::{EVERYTHING, FOLLOW};
use super::load;
use crate::document::{Diagnostics, Source};
use crate::playbook::{
    Body, Items, Jitter, MaxFailures, OnFailure, Playbook, TemplateTree, Type, Value,
};
use proptest::prelude::*;
use std::time::Duration;

/// The playbook and its diagnostics as people see them.
fn read(yaml: &str) -> (Option<Playbook>, String) {
    let source = Source::new("x.yaml", yaml);
    let mut diagnostics = Diagnostics::default();
    let playbook = load(&source, &mut diagnostics);
    assert!(playbook.is_some() || diagnostics.has_errors());
    (playbook, diagnostics.render(false, 120))
}

/// The playbook of a text without errors.
fn good(yaml: &str) -> Playbook {
    let (playbook, report) = read(yaml);
    assert_eq!(report, "");
    playbook.unwrap()
}

/// What is reported about each of these, one after the other.
fn reports<const N: usize>(all: [&str; N]) -> String {
    all.map(|yaml| {
        let (_, report) = read(yaml);
        assert_ne!(report, "", "nothing is wrong with {yaml}");
        report
    })
    .join("\n")
}

/// What is reported about a playbook that has one step with these lines.
fn step_reports<const N: usize>(all: [&str; N]) -> String {
    all.map(|lines| {
        let lines = lines.replace('\n', "\n    ");
        let yaml = format!("playbook: p\nsteps:\n  s:\n    action: stop\n    {lines}\n");
        let (_, report) = read(&yaml);
        assert_ne!(report, "", "nothing is wrong with {lines}");
        report
    })
    .join("\n")
}

#[test]
fn the_example_of_the_language_page_is_read() {
    let playbook = good(FOLLOW);
    assert_eq!(playbook.name.value, "follow");
    assert_eq!(playbook.params.len(), 4);
    assert!(playbook.params[0].required);
    assert_eq!(playbook.timeout.unwrap().value, Duration::from_mins(10));
    let ids: Vec<_> = playbook
        .steps
        .steps
        .iter()
        .map(|s| s.id.value.as_str())
        .collect();
    assert_eq!(
        ids,
        [
            "check_lsn",
            "create_slot",
            "rewind",
            "set_upstream",
            "stop",
            "start",
            "verify_attach"
        ]
    );
    let rewind = playbook.steps.step("rewind").unwrap();
    let when = rewind.when.as_ref().unwrap();
    assert_eq!(&FOLLOW[when.span.start..when.span.end], when.text);
    let retry = playbook
        .steps
        .step("start")
        .unwrap()
        .retry
        .as_ref()
        .unwrap();
    assert_eq!(
        (retry.attempts, retry.delay, retry.factor_thousandths),
        (Some(3), Duration::from_secs(2), 2000)
    );
    assert_eq!(playbook.outputs[0].1.text, "steps.verify_attach.lag");
}

#[test]
fn every_key_of_the_language_is_read() {
    let playbook = good(EVERYTHING);
    let default = |name: &str| match playbook.param(name).unwrap().default.clone() {
        Some(TemplateTree::Constant(value, _)) => Some(value),
        _ => None,
    };
    assert_eq!(
        default("grace"),
        Some(Value::Duration(Duration::from_secs(90)))
    );
    assert_eq!(default("loss"), Some(Value::Integer(16 << 20)));
    assert_eq!(
        playbook.param("loss").unwrap().allowed.as_ref().unwrap()[0],
        Value::Integer(0)
    );
    assert!(playbook.param("loss").unwrap().sealed);
    for param in &playbook.params {
        if let Some(value) = default(&param.name.value) {
            assert!(param.ty.admits(&value), "{}", param.name.value);
        }
    }
    assert_eq!(playbook.param("extra").unwrap().ty, Type::Map);
    let retry = playbook.defaults.retry.as_ref().unwrap();
    assert_eq!(retry.attempts, None);
    assert_eq!(retry.within, Some(Duration::from_mins(5)));
    assert_eq!(
        (retry.factor_thousandths, retry.jitter),
        (1500, Jitter::Full)
    );
    assert!(retry.condition.is_some());

    let follow = playbook.steps.step("follow").unwrap();
    let for_each = follow.for_each.as_ref().unwrap();
    assert!(matches!(for_each.items, Items::Expression(_)));
    assert_eq!(for_each.max_failures, MaxFailures::Percent(50));
    assert_eq!(for_each.max_parallel, Some(2));
    assert_eq!(follow.on_failure.value, OnFailure::Degrade);
    assert!(
        matches!(&follow.body, Body::Playbook { name, with } if name.value == "follow" && with.len() == 1)
    );

    let short = playbook.steps.step("short").unwrap();
    assert!(matches!(
        short.for_each.as_ref().unwrap().items,
        Items::List(_)
    ));
    assert_eq!(short.needs[0].value.as_str(), "follow");
    assert_eq!(short.when.as_ref().unwrap().text, "true");
    assert!(short.sealed && short.until.is_some());

    let vip = playbook.steps.step("vip").unwrap();
    let Body::Action { custom, .. } = &vip.body else {
        panic!()
    };
    assert!(
        custom.effect.is_some()
            && custom.probe.is_some()
            && custom.undo.is_some()
            && custom.assume.is_some()
    );
    let rescue = vip.rescue.as_ref().unwrap();
    assert_eq!(
        (rescue.timeout, rescue.steps.len(), rescue.outputs.len()),
        (Some(Duration::from_secs(20)), 1, 1)
    );

    let rescue = playbook.rescue.as_ref().unwrap();
    assert_eq!((rescue.timeout, rescue.steps.len()), (None, 1));
    assert_eq!(
        playbook.finally.as_ref().unwrap().timeout,
        Some(Duration::from_mins(1))
    );
    assert_eq!(playbook.all_steps().len(), 7);
    assert_eq!(playbook.outputs[0].1.text, "3");
}

#[test]
fn several_errors_of_one_file_come_at_once() {
    insta::assert_snapshot!(reports([r#"
playbook: Fail Over
version: 1.0
colour: red
params:
  node: { type: nod, required: true, default: n1 }
  wait: { type: duration, default: 10 }
timeout: 600
steps:
  Stop-It:
    acton: stop
    timeuot: 10s
  start:
    needs: [stop, stop]
    when: ""
    action: start
    sealed: yes
    timeout: 10 min
    until: result.ok
"#]));
}

#[test]
fn yaml_surprises_are_explained_where_they_happen() {
    insta::assert_snapshot!(step_reports([
        "when: !facts.ok",
        "when: !facts.ok && params.x",
        "when: [a, b].size() > 1",
        "when: [a, b]",
        "when: {a: 1}",
        "when: 5",
        "when: a ? b : c",
        "when: 'a' == b",
        "when:",
        "when: \"  \"",
        "when: \"{{ steps.a.ok }} == true\"",
        "node: {{ params.node }}",
        "timeout: 10s\ntimeout: 20s",
        "when: a && && b",
        "when: \"a == 'x' && b && && c\"",
        "when: 'a == ''x'' && b && && c'",
        "node: \"{{#if x}}n1{{/if}}\"",
    ]));
}

#[test]
fn values_of_steps_are_judged() {
    insta::assert_snapshot!(step_reports([
        "timeout: 90",
        "timeout: 0s",
        "timeout: 90 seconds",
        "timeout: 31d",
        "timeout: \"{{ params.t }}\"",
        "timeout: [1]",
        "retry: 3",
        "retry: { attempts: 0, delay: 5, jitter: ful, times: 3 }",
        "retry: { delay: 10s, max_delay: 5s, factor: 0.5 }",
        "retry: { within: 10m, delay: 0s }",
        "retry: { attempts: 1000, factor: 2 }",
        "until: result.ok",
        "on_failure: ignore",
        "sealed: yes",
        "sealed: \"true\"",
        "needs: [A, if, 5]",
        "needs: { a: b }",
        "for_each: { item: [1] }",
        "for_each: { items: \"{{ params.nodes }}\", max_failures: 150%, max_parallel: 0 }",
        "effect: reed",
        "with: [a]",
        "with: { a: , b: 1.5 }",
        "if: a",
        "name: Stop it",
        "depends_on: [a]",
        "playbook: follow",
        "rescue: [a]",
        "rescue: { timeout: 10s }",
    ]));
}

#[test]
fn playbooks_and_params_are_judged() {
    insta::assert_snapshot!(reports([
        "overlay: failover\nsteps: {}\n",
        "[a, b]\n",
        "name: x\n",
        "playbook: p\nsteps:\n",
        "playbook: p\nsteps: {}\n",
        "playbook: p\nsteps: [{action: stop}]\n",
        "playbook: p\nsteps: { a: , b: {}, if: { action: x }, c: 5 }\n",
        "playbook: p\nsteps: { a: { playbook: q, node: n1, effect: read } }\n",
        "playbook: p\nsteps: { a: { action: \"{{ x }}\" } }\n",
        "playbook: p\nsteps: { a: { action: b } }\nrescue: { steps: { b: { action: c } }, outputs: { d: e } }\n",
        "playbook: p\nsteps: { a: { action: b } }\noutputs: { Lag: a, ok: , x: [a] }\n",
        "playbook: p\nversion: v1\nsteps: { a: { action: b } }\n",
        "playbook: p\nsteps: { a: { action: b } }\nparams:\n  a: { type: duration, default: 10 }\n  b: { type: bytes, default: 16MB , enum: [1kB, 16 mb] }\n  c: { type: string, enum: [fast, fast], default: fst }\n  d: { type: integer, default: \"3\" }\n  e: { type: boolean, default: yes }\n  f: { default: x }\n  g: { type: string, default: 5 }\n  h: { type: secret, default: hunter2 }\n  i: { type: list, default: a, enum: [x] }\n  j: { type: string, required: true, sealed: true }\n  k: { type: lsn, default: 5 }\n  l: { type: lsn, default: abc }\n  m: { type: string, required: true, default: x }\n  n: { type: string, help: 5, defalt: x }\n  null: { type: string }\n",
    ]));
}

#[test]
fn a_secret_that_stands_in_a_playbook_is_refused_but_its_step_is_not_lost() {
    let (playbook, report) = read(
        "playbook: p\nparams: { t: { type: secret, default: hunter2, x: 1 } }\nsteps: { a: { action: b } }\n",
    );
    assert!(report.contains("secret-value") && report.contains("unknown-key"));
    assert!(!report.contains("hunter2"), "{report}");
    assert_eq!(playbook.unwrap().steps.steps.len(), 1);
}

#[test]
fn steps_may_be_called_like_the_keys_of_a_rescue() {
    let playbook = good(
        "playbook: p\nsteps: { a: { action: b } }\nrescue:\n  timeout: { action: wait }\n  steps: { action: wait }\n",
    );
    let rescue = playbook.rescue.unwrap();
    assert_eq!((rescue.timeout, rescue.steps.len()), (None, 2));
}

proptest! {
    #[test]
    fn reading_never_panics(
        edits in proptest::collection::vec((0usize..EVERYTHING.len(), 0usize..12, "[\\[\\]{}:,\\-?&*!|>'\"%~ \\na0]{0,6}"), 1..6)
    ) {
        let mut text: Vec<char> = EVERYTHING.chars().collect();
        for (at, length, new) in edits {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, new.chars());
        }
        read(&text.into_iter().collect::<String>());
    }
}
