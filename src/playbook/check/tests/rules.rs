//! The safety rules, one broken at a time.

use super::{FAILOVER, FOLLOW, check_files, said, with_steps};

/// The failover with one change.
fn changed(from: &str, to: &str) -> String {
    assert!(FAILOVER.contains(from), "{from}");
    let text = FAILOVER.replace(from, to);
    let said = check_files(&text, &[("follow", FOLLOW)]).1;
    // Only what is said, not where: the file is the same each time.
    let lines = said.lines().filter(|line| {
        line.starts_with("error")
            || line.contains("help")
            || line.contains("---")
            || line.contains("^^^")
    });
    format!(
        "{from}  =>  {to}\n{}\n\n",
        lines.collect::<Vec<_>>().join("\n")
    )
}

#[test]
fn every_rule_is_kept() {
    let mut all = String::new();
    for (from, to) in [
        (
            "  fence: { action: fence }",
            "  fence: { action: reload, node: n1 }",
        ),
        (
            "  fence: { action: fence }",
            "  fence: { action: fence, when: \"params.max_loss > 0\" }",
        ),
        (
            "  fence: { action: fence }",
            "  fence: { action: fence, on_failure: degrade }",
        ),
        (
            "  fence: { action: fence }",
            "  fence: { action: fence, rescue: { x: { action: reload, node: n1 } } }",
        ),
        (
            "  fence: { action: fence }",
            "  fence: { action: fence, for_each: [a] }",
        ),
        (
            "needs: fence, action: freeze",
            "needs: fence, action: reload, node: n1",
        ),
        (
            "needs: fence, action: freeze",
            "needs: fence, when: \"params.max_loss > 0\", action: freeze",
        ),
        ("  verify: { needs: promote,", "  verify: {"),
        (
            "  verify: { needs: promote,",
            "  verify: { needs: promote, when: \"params.max_loss > 0\",",
        ),
        (
            "timeout: 10m\nsteps:\n  fence: { action: fence }",
            "steps:\n  fence: { action: fence }",
        ),
        (
            "  promote: { needs: slots,",
            "  promote: { needs: slots, on_failure: continue,",
        ),
        (
            "  promote: { needs: slots,",
            "  promote: { needs: slots, for_each: [a],",
        ),
        (
            "finally:",
            "  thaw: { needs: verify, action: unfreeze }\nfinally:",
        ),
        (
            "finally:",
            "  thaw: { needs: freeze, action: unfreeze }\nfinally:",
        ),
        (
            "finally:",
            "rescue:\n  thaw: { action: unfreeze }\nfinally:",
        ),
        (
            "finally:",
            "rescue:\n  up: { action: promote, node: n1 }\nfinally:",
        ),
        (
            "finally:",
            "  again: { needs: verify, action: promote, node: n1 }\n  sure: { needs: again, action: verify_primary, node: n1 }\nfinally:",
        ),
        (
            "finally:",
            "  vip: { needs: verify, action: exec, effect: once, with: { argv: [x] }, undo: { argv: [y] } }\nfinally:",
        ),
        (
            "  promote: { needs: slots,",
            "  promote: { needs: slots, with: { proof: stopped },",
        ),
        (
            "  promote: { needs: slots,",
            "  promote: { needs: slots, with: { proof: \"{{ steps.choose.node }}\" },",
        ),
    ] {
        all += &changed(from, to);
    }
    insta::assert_snapshot!(all);
}

#[test]
fn what_the_rules_allow_passes() {
    for (from, to) in [
        (
            "finally:",
            "  thaw: { needs: verify, action: unfreeze, with: { only: archive } }\nfinally:",
        ),
        (
            "finally:",
            "rescue:\n  thaw: { action: unfreeze, when: \"steps.promote.status == 'not_run'\" }\nfinally:",
        ),
        (
            "  fence: { action: fence }\n",
            "  fence: { needs: [f1, f2], action: reload, node: n1 }\n  f1: { action: fence, when: \"params.max_loss > 0\" }\n  \
             f2: { action: fence, when: \"!(params.max_loss > 0)\" }\n",
        ),
    ] {
        let text = FAILOVER.replace(from, to);
        assert_eq!(check_files(&text, &[("follow", FOLLOW)]).1, "", "{to}");
    }
}

#[test]
fn a_playbook_that_nests_a_failover_has_its_promotion() {
    let wrapper = "playbook: site_failover
steps:
  go: { playbook: failover }
  again: { needs: go, playbook: failover }
";
    insta::assert_snapshot!(check_files(wrapper, &[("failover", FAILOVER), ("follow", FOLLOW)]).1);
}

#[test]
fn nested_playbooks_need_an_end() {
    let child = "playbook: child\nsteps:\n  a: { action: freeze }\n";
    let parent = with_steps("  a: { playbook: child }\n");
    insta::assert_snapshot!(check_files(&parent, &[("child", child)]).1);
}

#[test]
fn all_errors_come_at_once() {
    let text = with_steps(
        "  a: { action: nope }\n  b: { needs: x, when: params.y, action: stop }\n  c: { bogus: 1, action: freeze }\n",
    );
    let said = said(&text);
    assert_eq!(said.matches("error[").count(), 5, "{said}");
}

/// The failover with one rule broken and `waive` at its top.
fn waived(waive: &str) -> (bool, String) {
    let broken = FAILOVER
        .replace(
            "needs: fence, action: freeze",
            "needs: fence, action: reload, node: n1",
        )
        .replacen("steps:\n", &format!("{waive}\nsteps:\n"), 1);
    let (checked, said) = check_files(&broken, &[("follow", FOLLOW)]);
    (checked.is_some(), said)
}

#[test]
fn a_rule_is_put_aside_with_a_reason_only_and_only_where_a_run_keeps_its_promises() {
    let (runs, said) = waived("waive: { PB004: \"one standby, nothing to compare: OPS-1\" }");
    assert!(runs, "{said}");
    assert!(said.contains("warning[PB004]"), "{said}");
    assert!(
        said.contains("waived: one standby, nothing to compare: OPS-1"),
        "{said}"
    );
    for (waive, expected) in [
        ("waive: { PB004: ' ' }", "error[empty-reason]"),
        ("waive: { PB001: because }", "error[not-waivable]"),
        ("waive: { PB0004: because }", "did you mean `PB004`?"),
        ("waive: { PB009: because }", "warning[unused-waiver]"),
    ] {
        let (runs, said) = waived(waive);
        assert!(!runs, "{waive}: {said}");
        assert!(said.contains(expected), "{waive}: {said}");
        assert!(said.contains("error[PB004]"), "{waive}: {said}");
    }
}
