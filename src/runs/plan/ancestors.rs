//! Which steps come before a step for sure.

use crate::engine::StepPath;
use crate::playbook::{Block, Body, Checked, Playbook};
use std::collections::BTreeSet;

/// Whether `earlier` has ended whenever `later` begins: `later`, or something that it stands in, needs it.
///
/// In a rescue, a finally, and whatever cannot be told from the playbook, everything else counts as earlier.
pub(super) fn precedes(checked: &Checked, earlier: &StepPath, later: &StepPath) -> bool {
    let (before, after) = (parts(&earlier.0), parts(&later.0));
    if earlier == later {
        return false;
    }
    let mut playbook: &Playbook = &checked.playbook;
    for (one, other) in before.iter().zip(&after) {
        if one.contains('(') || other.contains('(') {
            return true;
        }
        if one == other {
            match nested(checked, playbook, id(one)) {
                Some(inner) => playbook = inner,
                None => return true,
            }
        } else if id(one) == id(other) {
            // Items of one step go side by side.
            return false;
        } else {
            return ancestors(&playbook.steps, id(other)).contains(id(one));
        }
    }
    // One stands in the other.
    false
}

/// The playbook that this step nests.
fn nested<'c>(checked: &'c Checked, playbook: &Playbook, id: &str) -> Option<&'c Playbook> {
    match &playbook.steps.step(id)?.body {
        Body::Playbook { name, .. } => checked.nested.get(&name.value).map(AsRef::as_ref),
        Body::Action { .. } => None,
    }
}

/// Everything that this step needs, directly or not.
fn ancestors<'b>(block: &'b Block, id: &str) -> BTreeSet<&'b str> {
    let mut found = BTreeSet::new();
    let mut left: Vec<&'b str> = needs(block, id);
    while let Some(next) = left.pop() {
        if found.insert(next) {
            left.extend(needs(block, next));
        }
    }
    found
}

fn needs<'b>(block: &'b Block, id: &str) -> Vec<&'b str> {
    let step = block.step(id);
    step.iter()
        .flat_map(|step| step.needs.iter().map(|need| need.value.as_str()))
        .collect()
}

/// The steps of a path, outermost first. The key of an item may hold anything but brackets.
fn parts(path: &str) -> Vec<&str> {
    let mut inside = false;
    path.split(|c| {
        inside = (inside || c == '[') && c != ']';
        c == '/' && !inside
    })
    .collect()
}

/// The step of an item, or the step itself.
fn id(part: &str) -> &str {
    part.split('[').next().unwrap_or(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Diagnostics, Source};
    use crate::playbook::check;
    use crate::runs::Shelves;

    #[test]
    fn what_is_needed_comes_before_and_what_runs_beside_does_not() {
        let text = "playbook: p\nsteps:\n  a: { action: wait, with: { for: 1s } }\n  b: { needs: [a], action: wait, with: { for: 1s } }\n  \
                    c: { action: wait, with: { for: 1s } }\n  f: { needs: [b], playbook: follow, with: { node: n2, upstream: n1 } }\n";
        let mut diagnostics = Diagnostics::default();
        let checked = check(
            &Source::new("p.yaml", text),
            &crate::actions::catalog(),
            &Shelves::beside(None),
            &mut diagnostics,
        );
        let checked = checked.unwrap_or_else(|| panic!("{}", diagnostics.render(false, 400)));
        for (earlier, later, expected) in [
            ("a", "b", true),
            ("a", "f/stop", true),
            ("c", "f/stop", false),
            ("b", "a", false),
            ("f/check_lsn", "f/stop", true),
            ("f/stop", "f/check_lsn", false),
            ("f[n2]/stop", "f[n3]/start", false),
            ("a", "(finally)/x", true),
        ] {
            let path = |text: &str| StepPath(text.into());
            assert_eq!(
                precedes(&checked, &path(earlier), &path(later)),
                expected,
                "{earlier} before {later}"
            );
        }
    }
}
