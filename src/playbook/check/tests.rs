//! Playbooks as text, and what is said about them.

use super::*;
use crate::document::{Diagnostics, Source};
use crate::playbook::{TemplateTree, Type, Value};
use std::time::Duration;

mod messages;
mod rules;
mod scale;
mod world;

use world::{Files, OfSite, catalog};

fn check_files(text: &str, files: &[(&'static str, &str)]) -> (Option<Checked>, String) {
    let library = Files(files.iter().map(|(n, t)| (*n, (*t).to_owned())).collect());
    let mut diagnostics = Diagnostics::default();
    let source = Source::new("p.yaml", text);
    let checked = check(&source, &catalog(), &library, &mut diagnostics);
    assert_eq!(checked.is_none(), diagnostics.has_errors());
    (checked, diagnostics.render(false, 120))
}

/// What is said about a playbook: nothing when it is good.
fn said(text: &str) -> String {
    check_files(text, &[]).1
}

fn good(text: &str) -> Checked {
    let (checked, said) = check_files(text, &[]);
    checked.unwrap_or_else(|| panic!("{said}"))
}

/// The steps of a playbook with these parameters: `node` and `upstream`, and some of every type.
fn with_steps(steps: &str) -> String {
    format!(
        "playbook: p
params:
  node: {{ type: node, required: true }}
  upstream: {{ type: node, required: true }}
  reason: {{ type: string }}
  loss: {{ type: bytes, default: 16MiB }}
  wait: {{ type: duration, default: 5s }}
  words: {{ type: list, default: [a, b] }}
  mode: {{ type: string, enum: [fast, immediate], default: fast }}
  password: {{ type: secret, required: true }}
timeout: 10m
steps:
{steps}"
    )
}

const FOLLOW: &str = r#"
playbook: follow
version: 1.0.0
summary: Attach one standby to a new upstream in the cheapest safe way.
params:
  node:      { type: node, required: true, help: the standby that is to follow }
  upstream:  { type: node, required: true }
  stop_mode: { type: string, enum: [fast, immediate], default: fast }
  rebuild:   { type: string, enum: [never, ask, auto], default: ask }
timeout: 10m
steps:
  check_lsn:
    action: check_lsn
    node: "{{ params.node }}"
    with: { upstream: "{{ params.upstream }}" }
    timeout: 10s
    retry: { attempts: 3, delay: 500ms }
  create_slot:
    needs: [check_lsn]
    action: create_slot
    node: "{{ params.upstream }}"
    with: { for: "{{ params.node }}" }
  rewind:
    needs: [check_lsn]
    when: steps.check_lsn.divergence == 'rewindable'
    action: rewind
    node: "{{ params.node }}"
  set_upstream:
    needs: [create_slot, rewind]
    action: set_upstream
    node: "{{ params.node }}"
    with: { upstream: "{{ params.upstream }}", slot: "{{ steps.create_slot.slot }}" }
  stop:
    needs: [set_upstream]
    when: steps.set_upstream.restart_required
    action: stop
    node: "{{ params.node }}"
    with: { mode: "{{ params.stop_mode }}", escalate: [immediate, kill] }
    timeout: 90s
  start:
    needs: [stop]
    when: steps.set_upstream.restart_required
    action: start
    node: "{{ params.node }}"
    timeout: 90s
    retry: { attempts: 3, delay: 2s, factor: 2 }
  verify_attach:
    needs: [start]
    action: verify_attach
    node: "{{ params.node }}"
    with: { upstream: "{{ params.upstream }}" }
    timeout: 60s
outputs:
  lag: steps.verify_attach.lag
"#;

const FAILOVER: &str = r#"
playbook: failover
params:
  max_loss: { type: bytes, default: 0B }
timeout: 10m
steps:
  fence: { action: fence }
  freeze: { needs: fence, action: freeze }
  choose:
    needs: freeze
    action: choose
    with: { max_loss: "{{ params.max_loss }}" }
  slots:
    needs: choose
    for_each: { items: steps.choose.followers, max_failures: 1 }
    action: create_slot
    node: "{{ steps.choose.node }}"
    with: { for: "{{ item }}" }
  promote: { needs: slots, action: promote, node: "{{ steps.choose.node }}" }
  verify: { needs: promote, action: verify_primary, node: "{{ steps.choose.node }}" }
  follow:
    needs: verify
    for_each: { items: steps.choose.followers, max_failures: "100%" }
    playbook: follow
    with: { node: "{{ item }}", upstream: "{{ steps.choose.node }}" }
finally:
  tell:
    action: notify
    with: { text: "verified: {{ steps.verify.status }}" }
outputs:
  node: steps.choose.node
  lags: steps.follow.items.map(key, steps.follow.items[key].lag)
"#;

#[test]
fn the_playbook_of_the_language_page_passes() {
    let checked = good(FOLLOW);
    assert_eq!(checked.playbook.steps.steps.len(), 7);
    assert!(checked.nested.is_empty());
}

#[test]
fn a_failover_that_nests_it_passes() {
    let (checked, said) = check_files(FAILOVER, &[("follow", FOLLOW)]);
    assert_eq!(said, "");
    assert!(checked.unwrap().nested.contains_key("follow"));
}

#[test]
fn constants_become_values_of_the_declared_type() {
    let checked = good(&with_steps(
        "  a: { action: wait, with: { for: 90s } }
  b: { action: stop, node: n1, with: { mode: fast, grace: 1m } }
",
    ));
    let input = |step: &str, input: &str| {
        let crate::playbook::Body::Action { with, .. } =
            &checked.playbook.steps.step(step).unwrap().body
        else {
            panic!("no action")
        };
        let (_, tree) = with.iter().find(|(name, _)| name.value == input).unwrap();
        tree.constant()
    };
    assert_eq!(
        input("a", "for"),
        Some(Value::Duration(Duration::from_secs(90)))
    );
    assert_eq!(
        input("b", "grace"),
        Some(Value::Duration(Duration::from_mins(1)))
    );
    assert_eq!(input("b", "mode"), Some(Value::from("fast")));
}

#[test]
fn values_that_only_the_run_knows_are_fitted_then() {
    let duration = Value::Duration(Duration::from_secs(90));
    assert_eq!(
        fit(Type::Duration, &Value::from("90s")),
        Ok(duration.clone())
    );
    assert_eq!(fit(Type::Duration, &duration), Ok(duration));
    assert_eq!(
        fit(Type::Bytes, &Value::from("1MiB")),
        Ok(Value::Integer(1 << 20))
    );
    assert_eq!(
        fit(Type::String, &Value::from("90s")),
        Ok(Value::from("90s"))
    );
    assert_eq!(
        fit(Type::Duration, &Value::Integer(90)).unwrap_err().why,
        "`90` has no unit"
    );
    assert_eq!(
        fit(Type::Integer, &Value::from("90"))
            .unwrap_err()
            .help
            .unwrap(),
        "write it without quotes: 90"
    );
    assert!(fit(Type::Node, &Value::from("a b")).is_err());
}

#[test]
fn a_default_may_use_the_site_and_the_cluster_only() {
    insta::assert_snapshot!(said(
        "playbook: p
params:
  vip: { type: string, default: \"{{ site.vars.vip }}\" }
  who: { type: string, default: \"{{ params.vip }}\" }
steps:
  a: { action: notify, with: { text: \"{{ params.vip }}\" } }
"
    ));
}

#[test]
fn template_trees_without_references_are_constants() {
    let tree = TemplateTree::List(
        vec![TemplateTree::Constant(
            Value::Integer(1),
            crate::document::Span::default(),
        )],
        crate::document::Span::default(),
    );
    assert_eq!(tree.constant(), Some(Value::List(vec![Value::Integer(1)])));
}
