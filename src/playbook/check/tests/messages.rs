//! Every error of references, types and inputs, with its text and place.

use super::{OfSite, catalog, check, check_files, good, said, with_steps};
use crate::document::{Diagnostics, Source};
use crate::playbook::{Map, Value};

#[test]
fn needs_are_judged() {
    insta::assert_snapshot!(said(
        "playbook: p
steps:
  a: { needs: [c, a], action: freeze }
  b: { needs: [a, chose], action: freeze }
  c: { needs: [b, d], action: freeze }
  d: { needs: zzz, action: freeze }
"
    ));
}

#[test]
fn names_are_judged() {
    insta::assert_snapshot!(said(&with_steps(
        "  check: { action: check_lsn, node: \"{{ params.nod }}\", with: { upstream: \"{{ params.upstream }}\" } }
  a: { needs: check, when: steps.check.divergense == 'none', action: freeze }
  b: { when: steps.check.divergence == 'none', action: freeze }
  c: { needs: check, when: steps.chek.behind > 0 || params.losss > 0, action: freeze }
  d: { needs: check, when: loss > 0 && check.behind > 0, action: freeze }
  e: { needs: check, when: item == 'x' || result.x || error.kind == 'timeout', action: freeze }
  f: { needs: check, when: \"run.ID == 'x' || site.var.x == 'y'\", action: freeze }
  g: { when: \"steps.g.frozen == []\", action: freeze }
  h: { when: \"steps == null || steps['check'].behind > 1\", action: freeze }
  i: { needs: check, action: freeze, when: params.loss.x == 1 }
  j: { needs: check, action: notify, with: { text: \"{{ steps.check.behinnd }} {{ cluster.name }} {{ nope.x }}\" } }
"
    )));
}

#[test]
fn types_are_judged() {
    insta::assert_snapshot!(said(&with_steps(
        "  check: { action: check_lsn, node: \"{{ params.node }}\", with: { upstream: \"{{ params.upstream }}\" } }
  a: { needs: check, when: steps.check.behind, action: freeze }
  b: { needs: check, when: steps.check.position > '0/16B3748', action: freeze }
  c: { needs: check, when: steps.check.position == '0/16B3748', action: freeze }
  d: { needs: check, when: steps.check.divergence == 'rewindabel', action: freeze }
  e: { needs: check, when: params.wait > 5 && params.wait > duration('5s'), action: freeze }
  f: { needs: check, when: steps.check.behind - steps.check.position > 0, action: freeze }
  g: { needs: check, when: \"!steps.check.behind || params.loss && true\", action: freeze }
  h: { needs: check, when: \"steps.check.status == 'okay' || params.mode in ['fast', 'slow']\", action: freeze }
  i: { needs: check, when: 'size(params.loss) > 1 || params.mode.contains(3)', action: freeze }
  j: { needs: check, when: \"params.words.map(w, w)\", action: freeze }
  k: { needs: check, when: steps.check.position - steps.check.position > params.loss, action: freeze }
  l: { needs: check, when: \"params.words.exists(w, w == 'x') && (params.loss > 1 ? true : false)\", action: freeze }
  m: { needs: check, when: params.mode, action: freeze }
"
    )));
}

#[test]
fn inputs_are_judged() {
    insta::assert_snapshot!(said(&with_steps(
        "  a: { action: stopp, node: n1 }
  b: { action: stop }
  c: { action: notify, node: n1, with: { txt: hello } }
  d: { action: stop, node: n1, with: { mode: quick, escalate: [fast, slow], grace: 5 } }
  e: { action: wait, with: { for: \"{{ params.loss }}\" } }
  f: { action: stop, node: \"{{ params.words }}\", with: { mode: \"{{ params.node }}\", grace: \"x {{ params.wait }}\" } }
  g: { action: notify, with: { text: \"{{ params.words }} and {{ params.words }}\" } }
  h: { action: exec, with: { argv: ls } }
  i: { action: stop, node: n1, effect: once, probe: { mode: fast }, assume: { mode: fast } }
  j: { action: exec, effect: read, with: { argv: [ls] }, probe: { arg: [x] }, assume: { stdot: x, code: \"1\" } }
  k: { action: follow }
  l: { action: notify, with: { text: 5 } }
  m: { action: set_upstream, node: n1, with: { upstream: [n1], slot: { a: b } } }
"
    )));
}

#[test]
fn null_needs_a_guard() {
    insta::assert_snapshot!(said(&with_steps(
        "  check: { action: check_lsn, node: \"{{ params.node }}\", with: { upstream: \"{{ params.upstream }}\" } }
  stop: { needs: check, when: steps.check.behind > 0, action: stop, node: n1 }
  soft: { needs: check, on_failure: degrade, action: stop, node: n1 }
  saved:
    needs: check
    action: stop
    node: n1
    rescue: { again: { action: start, node: n1 } }
  a: { needs: stop, when: steps.stop.mode == 'fast', action: freeze }
  b: { needs: stop, action: notify, with: { text: \"{{ steps.stop.mode }}\" } }
  c: { needs: soft, action: notify, with: { text: \"{{ steps.soft.mode }}\" } }
  d: { needs: saved, when: steps.saved.mode == 'fast', action: freeze }
  e: { needs: check, when: steps.check.fork > lsn('0/1'), action: freeze }
  f: { needs: check, when: params.reason == 'x', action: notify, with: { text: \"{{ params.reason }}\" } }
  g: { action: notify, with: { text: \"because {{ params.reason }}\" } }
  h: { action: exec, effect: read, with: { argv: [echo, \"{{ params.reason }}\"] } }
"
    )));
}

/// Every way to make sure that something is not null.
#[test]
fn guards_are_understood() {
    good(&with_steps(
        "  check: { action: check_lsn, node: \"{{ params.node }}\", with: { upstream: \"{{ params.upstream }}\" } }
  stop: { needs: check, when: steps.check.behind > 0 && params.loss > 1, action: stop, node: n1 }
  soft: { needs: check, on_failure: degrade, action: stop, node: n1 }
  saved:
    needs: check
    action: stop
    node: n1
    rescue:
      steps: { again: { action: stop, node: n1 } }
      outputs: { mode: steps.again.mode }
  a: { needs: stop, when: steps.stop.status == 'ok' && steps.stop.mode == 'fast', action: freeze }
  b: { needs: stop, when: steps.stop.mode == 'fast' && steps.stop.status == 'ok', action: freeze }
  c: { needs: stop, when: \"steps.stop.status != 'ok' || steps.stop.mode == 'fast'\", action: freeze }
  d: { needs: stop, when: \"steps.stop.status == 'ok' ? steps.stop.mode == 'fast' : false\", action: freeze }
  e: { needs: stop, when: steps.stop.mode != null && steps.stop.mode == 'fast', action: freeze }
  f: { needs: stop, when: steps.stop.status == 'ok', action: notify, with: { text: \"{{ steps.stop.mode }}\" } }
  g: { needs: stop, when: params.loss > 1 && steps.check.behind > 0, action: notify, with: { text: \"{{ steps.stop.mode }}\" } }
  h: { needs: soft, when: \"steps.soft.status in ['ok']\", action: notify, with: { text: \"{{ steps.soft.mode }}\" } }
  i: { needs: saved, action: notify, with: { text: \"{{ steps.saved.mode }}\" } }
  j: { needs: check, when: steps.check.fork != null && steps.check.fork > lsn('0/1'), action: freeze }
  k: { when: params.reason != null, action: notify, with: { text: \"because {{ params.reason }}\" } }
  l: { needs: stop, when: \"!(steps.stop.status != 'ok')\", action: notify, with: { text: \"{{ steps.stop.mode }}\" } }
  m: { needs: f, when: steps.f.status == 'ok', action: notify, with: { text: \"{{ steps.stop.mode }}\" } }
  n: { needs: check, when: \"has(cluster.nodes.n1) && steps.check.fork == null\", action: freeze }
"
    ));
}

#[test]
fn for_each_is_judged() {
    insta::assert_snapshot!(said(&with_steps(
        "  each:
    for_each: { items: params.words, key: item }
    action: stop
    node: \"{{ item }}\"
  loose:
    for_each: { items: params.words, max_failures: 1 }
    action: stop
    node: \"{{ item }}\"
  a: { for_each: params.loss, action: start, node: \"{{ item }}\" }
  b: { for_each: cluster, action: start, node: \"{{ item }}\" }
  c: { for_each: [1, 2], action: start, node: \"{{ item }}\" }
  d: { needs: each, when: steps.each.mode == 'fast', action: freeze }
  e: { needs: each, when: \"steps.each.items['a'].mode == 'fast' && steps.each.items.a.mod == ''\", action: freeze }
  f: { needs: loose, when: \"steps.loose.items.all(k, steps.loose.items[k].mode == 'fast')\", action: freeze }
  g: { needs: loose, when: \"steps.loose.items.all(k, steps.loose.items[k].status != 'ok' || steps.loose.items[k].mode == 'fast')\", action: freeze }
  h: { for_each: { items: params.words, key: \"[item]\" }, action: start, node: n1 }
  i: { for_each: params.words, when: item == 'a', action: start, node: n1 }
"
    )));
}

#[test]
fn until_retry_and_rescue_have_names_of_their_own() {
    insta::assert_snapshot!(said(&with_steps(
        "  check:
    action: check_lsn
    node: \"{{ params.node }}\"
    with: { upstream: \"{{ params.upstream }}\" }
    retry: { attempts: 3, if: error.kind == 'timout' && error.what == 'x' }
    until: result.behind == 0 && result.divergense == 'none'
  saved:
    needs: check
    action: stop
    node: n1
    rescue:
      steps:
        tell: { action: notify, with: { text: \"{{ error.kind }} {{ error.message }} {{ steps.check.behind }}\" } }
        self: { action: notify, with: { text: \"{{ steps.saved.mode }}\" } }
        later: { action: notify, with: { text: \"{{ steps.after.mode }}\" } }
      outputs: { mod: \"'fast'\", mode: 5 }
  after: { needs: saved, action: stop, node: n1 }
  lacking:
    action: exec
    effect: read
    with: { argv: [ls] }
    rescue:
      steps: { tell: { action: freeze } }
      outputs: { stdout: \"''\" }
rescue:
  a: { action: notify, with: { text: \"{{ error.step }} {{ steps.check.status }} {{ steps.check.behind }}\" } }
finally:
  b: { action: notify, with: { text: \"{{ error.step }}\" } }
outputs:
  x: steps.check.fork
  y: steps.chek.fork
"
    )));
}

#[test]
fn secrets_stay_where_they_belong() {
    insta::assert_snapshot!(said(&with_steps(
        "  good: { action: login, with: { password: \"{{ params.password }}\" } }
  env: { action: exec, effect: read, with: { argv: [psql], env: { PGPASSWORD: \"{{ params.password }}\" }, stdin: \"{{ params.password }}\" } }
  a: { action: exec, effect: read, with: { argv: [psql, \"{{ params.password }}\"] } }
  b: { action: notify, with: { text: \"{{ params.password }}\" } }
  c: { action: notify, with: { text: \"it is {{ sh params.password }}\" } }
  d: { when: params.password != null, action: freeze }
  e: { action: login, with: { password: hunter2 } }
  f: { action: login, with: { password: \"{{ params.reason }}\" } }
outputs:
  leak: params.password
"
    )));
}

#[test]
fn what_may_be_a_secret_counts_as_one() {
    let text = with_steps(
        "  a: { action: notify, with: { text: \"{{ json params }}\" } }
  b: { action: notify, when: \"params['pass' + 'word'] == 'x'\", with: { text: x } }
  c: { action: exec, effect: read, with: { argv: [x], env: \"{{ params }}\" } }
",
    ) + "outputs: { all: params }\n";
    insta::assert_snapshot!(said(&text));
}

#[test]
fn an_assertion_is_judged_like_a_condition() {
    insta::assert_snapshot!(said(&with_steps(
        "  check: { action: check_lsn, node: \"{{ params.node }}\", with: { upstream: \"{{ params.upstream }}\" } }
  good: { needs: check, action: assert, with: { that: steps.check.behind < params.loss && params.node != params.upstream } }
  a: { needs: check, action: assert, with: { that: steps.check.behind } }
  b: { needs: check, action: assert, with: { that: steps.check.behnd > 1 && params.reason == 'x' } }
"
    )));
}

const CHILD: &str = "playbook: child
params:
  node: { type: node, required: true }
  mode: { type: string, enum: [fast, kill], default: fast }
  fixed: { type: integer, default: 3, sealed: true }
  reason: { type: string }
timeout: 1m
steps:
  check: { action: check_lsn, node: \"{{ params.node }}\", with: { upstream: n1 } }
  stop: { needs: check, when: steps.check.behind > 0, action: stop, node: \"{{ params.node }}\" }
outputs:
  behind: steps.check.behind
  mode: steps.stop.mode
";

#[test]
fn nested_playbooks_are_judged() {
    let parent = with_steps(
        "  good: { playbook: child, with: { node: \"{{ params.node }}\", reason: \"{{ params.reason }}\", mode: \"{{ params.mode }}\" } }
  use: { needs: good, when: steps.good.behind > 5, action: freeze }
  a: { playbook: child, with: { nod: n1 } }
  b: { playbook: child, with: { node: n1, mode: smart, fixed: 4 } }
  c: { playbook: child, with: { node: \"{{ params.wait }}\" } }
  d: { playbook: chlid, with: { node: \"{{ params.nope }}\" } }
  e: { playbook: freeze }
  f: { needs: good, when: steps.good.mode == 'fast' && steps.good.behnd > 1, action: freeze }
  g: { playbook: chlid }
",
    )
    .replace("enum: [fast, immediate]", "enum: [fast, kill, other]");
    insta::assert_snapshot!(check_files(&parent, &[("child", CHILD)]).1);
}

#[test]
fn an_error_in_a_nested_playbook_is_shown_in_its_own_file() {
    let parent = with_steps(
        "  a: { playbook: child, with: { node: n1 } }\n  b: { needs: a, when: steps.a.whatever, action: freeze }\n",
    );
    let child = CHILD.replace("steps.check.behind > 0", "steps.check.behind");
    insta::assert_snapshot!(check_files(&parent, &[("child", &child)]).1);
}

#[test]
fn recursion_is_shown_as_a_chain() {
    let nests = |name: &str, other: &str| {
        format!("playbook: {name}\ntimeout: 1m\nsteps:\n  go: {{ playbook: {other} }}\n")
    };
    let files = [
        ("b", nests("b", "c")),
        ("c", nests("c", "a")),
        ("a", nests("a", "b")),
    ];
    let files: Vec<_> = files.iter().map(|(n, t)| (*n, t.as_str())).collect();
    insta::assert_snapshot!(check_files(&nests("a", "b"), &files).1);
    insta::assert_snapshot!(check_files(&nests("me", "me"), &[]).1);
}

#[test]
fn facts_of_the_cluster_are_judged() {
    insta::assert_snapshot!(said(&with_steps(
        "  a: { action: notify, with: { text: \"{{ cluster.primry }}\" } }
  b: { action: notify, when: \"cluster.nodes[params.node].rol == 'primary'\", with: { text: x } }
  c: { action: notify, when: \"cluster.nodes['n1'].lag > lsn('0/1')\", with: { text: x } }
  d: { action: notify, when: \"cluster.nodes[params.node].role == 'master'\", with: { text: x } }
  e: { action: notify, when: \"cluster.standbys.exists(n, cluster.nodes[n].attachd)\", with: { text: x } }
  f: { action: notify, when: \"cluster.members.exists(n, cluster.nodes[n].attached && cluster.nodes[n].lag < 10)\", with: { text: x } }
"
    )));
}

#[test]
fn variables_of_a_known_site_are_judged() {
    let vars = Map::from([
        ("vip".to_owned(), "10.0.0.9/24".into()),
        ("ports".to_owned(), Value::List(vec![Value::Integer(1)])),
    ]);
    let text = with_steps(
        "  a: { action: notify, with: { text: \"{{ site.vars.vip }} {{ site.vars.vipp }}\" } }
  b: { action: wait, with: { for: \"{{ site.vars.ports }}\" } }
",
    );
    let mut diagnostics = Diagnostics::default();
    check(
        &Source::new("p.yaml", text.as_str()),
        &catalog(),
        &OfSite(vars),
        &mut diagnostics,
    );
    insta::assert_snapshot!(diagnostics.render(false, 120));
    assert!(
        !said(&text).contains("vipp"),
        "without a site any may be named"
    );
}
