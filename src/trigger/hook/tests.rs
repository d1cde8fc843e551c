//! What is wrong with a hook is told before a request comes.

use super::hooks;
use crate::document::{Diagnostics, Source};
use crate::playbook::Value;
use crate::runs::{RunsError, Shelves};
use crate::site::{Site, to_yaml};
use crate::trigger::{Hook, Reading};
use serde_json::json;
use std::fmt::Write as _;
use std::path::Path;

/// A site with these hooks.
fn text(hooks: &str) -> String {
    format!(
        "site: s
api: {{ tokens: /etc/who }}
vars: {{ loss: 1MiB, many: [1] }}
hooks:
{hooks}
clusters:
  orders:
    sql: {{ user: u }}
    defaults: {{ data: /d, bin: /b }}
    nodes: {{ n1: {{ host: a }}, n2: {{ host: b }} }}
"
    )
}

/// All that is wrong, by the loader of the site file or by the checks of the language.
fn told(hooks_: &str) -> String {
    let source = Source::new("site.yaml", text(hooks_));
    let base = Path::new("/nowhere");
    let site = match Site::parse(&source, base) {
        Ok(site) => site,
        Err(diagnostics) => return diagnostics.render(false, 100),
    };
    match hooks(&site, &base.join("site.yaml")) {
        Ok(hooks) => panic!("accepted: {hooks:?}"),
        Err(RunsError::Invalid { diagnostics, .. }) => diagnostics.render(false, 100),
        Err(other) => panic!("{other}"),
    }
}

fn good(hook: &str) -> Hook {
    let source = Source::new("site.yaml", text(hook));
    let base = Path::new("/nowhere");
    let site = Site::parse(&source, base).unwrap();
    let mut all = hooks(&site, &base.join("site.yaml")).unwrap();
    all.pop_first().unwrap().1
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let mut all = String::new();
    for hook in [
        "  a: { cluster: orders }",
        "  a: { cluster: order, bearer: true }",
        "  a: { cluster: orders, secret: abcdefghijklmnop }",
        "  a: { cluster: orders, secret: { file: x, env: Y } }",
        "  a: { cluster: orders, bearer: true, playbok: failover, mode: automatic }",
        "  a: { cluster: orders, bearer: true, playbook: failovr }",
        "  a: { cluster: orders, bearer: true, playbook: switchover, mode: approve }",
        "  a: { cluster: orders, bearer: true, when: payload.state }\n  b: { cluster: orders, bearer: true, when: size(payload) }",
        "  a: { cluster: orders, bearer: true, when: \"payload.state = 'down'\" }",
        "  a: { cluster: orders, bearer: true, when: params.state == 'down', key: trigger.id }",
        "  a: { cluster: orders, bearer: true, when: site.vars.los == '1', key: cluster.primary }",
        "  a: { cluster: orders, bearer: true, when: \"cluster.nodes['n7'].host == 'a' || cluster.nodes.n1.role == 'x'\" }",
        "  a: { cluster: orders, bearer: true, params: { max_los: payload.x, waive_fence: payload.why, candidate: 5, apply: [1] } }",
        "  a: { cluster: orders, bearer: true, key: site.vars.many, params: { apply: \"'now'\" } }",
    ] {
        let said = told(hook);
        // Whatever a secret may be is on no screen.
        assert!(!said.contains("abcdefghijklmnop"), "{said}");
        let _ = writeln!(all, "{said}\n");
    }
    insta::assert_snapshot!(all);
}

#[test]
fn hooks_need_an_api() {
    let without =
        text("  a: { cluster: orders, bearer: true }").replace("api: { tokens: /etc/who }\n", "");
    let told = Site::parse(&Source::new("site.yaml", without), Path::new("/nowhere")).unwrap_err();
    let told = told.render(false, 100);
    assert!(told.contains("without it no port is opened"), "{told}");
}

#[test]
fn a_hook_is_written_as_it_was_read() {
    let hooks = "  a: { cluster: orders, playbook: follow, mode: auto, secret: { env: S }, when: true, params: { node: payload.n, upstream: payload.u }, key: payload.id }
  b: { cluster: orders, bearer: true }";
    let parse = |text: &str| {
        let source = Source::new("site.yaml", text);
        Site::parse(&source, Path::new("/nowhere")).unwrap()
    };
    let once = to_yaml(&parse(&text(hooks)));
    assert!(once.contains("payload.id"), "{once}");
    assert_eq!(to_yaml(&parse(&once)), once);
}

#[test]
fn where_a_person_is_asked_the_playbook_that_asks_is_run() {
    let approve = good("  a: { cluster: orders, bearer: true, mode: approve }");
    assert_eq!(approve.playbook, "approved_failover");
    let auto = good("  a: { cluster: orders, bearer: true, mode: auto }");
    assert_eq!(auto.playbook, "failover");
}

#[test]
fn a_key_is_a_word_of_its_hook_and_no_document() {
    let hook = good("  page: { cluster: orders, bearer: true, mode: auto, key: payload }");
    let shelves = Shelves::beside(None);
    let source = shelves.open("failover").unwrap();
    let catalog = crate::actions::catalog();
    let checked = crate::playbook::check(&source, &catalog, &shelves, &mut Diagnostics::default());
    let playbook = checked.unwrap().playbook;
    let key = |payload: serde_json::Value| match hook.read(&Value::from_json(&payload), &playbook) {
        Ok(Reading::Wanted(order)) => Ok(order.key.unwrap()),
        Ok(Reading::Ignored(why)) => panic!("{why}"),
        Err(misfits) => Err(misfits[0].why.clone()),
    };
    assert_eq!(key(json!("4711")).unwrap(), "page:4711");
    assert_eq!(key(json!(4711)).unwrap(), "page:4711");
    for long in ["x".repeat(121), "a\nb".to_owned(), "ä".to_owned()] {
        let kept = key(json!(long)).unwrap();
        let hash = kept.strip_prefix("page:sha256:").unwrap();
        assert_eq!(hash.len(), 64, "{kept}");
    }
    for none in [json!(null), json!(" "), json!(true), json!({ "a": 1 })] {
        let why = key(none.clone()).unwrap_err();
        assert!(why.contains("text was wanted"), "{none}: {why}");
    }
}
