//! Large and random playbooks.

use super::{catalog, check_files, good, said};
use crate::document::{Diagnostics, Source};
use crate::playbook::check::{Library, UnreadablePlaybook};
use proptest::prelude::*;
use std::fmt::Write as _;

#[test]
fn a_long_chain_and_a_long_circle_are_checked() {
    let mut text = "playbook: p\nsteps:\n  s0: { action: freeze }\n".to_owned();
    for i in 1..3000 {
        let before = i - 1;
        let _ = writeln!(
            text,
            "  s{i}: {{ needs: s{before}, when: size(steps.s0.frozen) >= 0 && steps.s{before}.status == 'ok', action: freeze }}"
        );
    }
    good(&text);
    let circle = text.replace("  s0: { action", "  s0: { needs: s2999, action");
    let said = said(&circle);
    assert!(
        said.contains("circle: s0 → s2999 → s2998"),
        "{}",
        &said[..400.min(said.len())]
    );
}

/// Whatever edges there are: a reference is accepted exactly where a way of needs leads to the step.
fn reaches(needs: &[Vec<usize>], from: usize, to: usize) -> bool {
    needs[from]
        .iter()
        .any(|&n| n == to || reaches(needs, n, to))
}

struct None0;

impl Library for None0 {
    fn find(&self, _: &str) -> Result<Option<Source>, UnreadablePlaybook> {
        Ok(None)
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_reference_is_good_exactly_below_its_step(
        edges in prop::collection::vec((0usize..8, 0usize..8), 0..12), from in 0usize..8, to in 0usize..8
    ) {
        let mut needs = vec![Vec::new(); 8];
        for (a, b) in edges {
            let (low, high) = (a.min(b), a.max(b));
            if low != high && !needs[high].contains(&low) {
                needs[high].push(low);
            }
        }
        let mut text = "playbook: p\nsteps:\n".to_owned();
        for (step, all) in needs.iter().enumerate() {
            let all: Vec<String> = all.iter().map(|n| format!("s{n}")).collect();
            let when = if step == from { format!("when: size(steps.s{to}.frozen) > 0, ") } else { String::new() };
            let _ = writeln!(text, "  s{step}: {{ needs: [{}], {when}action: freeze }}", all.join(", "));
        }
        let (checked, said) = check_files(&text, &[]);
        prop_assert_eq!(checked.is_some(), reaches(&needs, from, to), "{}\n{}", text, said);
    }

    #[test]
    fn nothing_panics(lines in prop::collection::vec(prop::sample::select(vec![
        "playbook: p", "steps:", "  a: { action: stop, node: n1 }", "  b: { needs: [a, b], action: freeze, when: steps.a.mode == 1 }",
        "  c: { needs: [d], playbook: p }", "  d: { needs: [c], for_each: steps.a.items, action: choose, until: result.x, retry: {} }",
        "finally:", "  e: { action: exec, with: { argv: [\"{{ steps.a.items.x.y }}\"] }, rescue: { a: { action: promote } } }",
        "outputs:", "  o: steps.a.mode.x + item", "params:", "  x: { type: map, default: { a: \"{{ site.x }}\" } }", "rescue:",
    ]), 0..14)) {
        let mut diagnostics = Diagnostics::default();
        let source = Source::new("p.yaml", lines.join("\n"));
        let checked = crate::playbook::check(&source, &catalog(), &None0, &mut diagnostics);
        prop_assert_eq!(checked.is_none(), diagnostics.has_errors());
        let _ = diagnostics.render(false, 100);
    }
}
