//! What a nested playbook has sealed, seen from the playbook that nests it.
//!
//! A stock playbook hands its own parameters on to the one that it nests (`restart` to `failover`). A site that seals one of
//! those there must not have to change the other one, too: what hands it on is sealed with it, and gives nothing.

use super::playbooks::Nested;
use crate::playbook::{Body, Playbook, TemplateTree};

/// Seals the parameters that a step hands on, as they are, to a sealed one: a run is refused before it begins, not when it
/// comes to the step.
pub(super) fn seal_what_is_handed_on(playbook: &mut Playbook, nested: &Nested) {
    let mut handed = Vec::new();
    for step in playbook.all_steps() {
        let Body::Playbook { name, with } = &step.body else {
            continue;
        };
        let Some(Some(contract)) = nested.get(&name.value) else {
            continue;
        };
        for (given, tree) in with {
            let sealed = contract.playbook.param(&given.value);
            if sealed.is_some_and(|param| param.sealed) {
                handed.extend(handed_on(tree).map(str::to_owned));
            }
        }
    }
    for param in &mut playbook.params {
        if handed.contains(&param.name.value) && !param.required && param.default.is_none() {
            param.sealed = true;
        }
    }
}

/// Whether nothing comes of it: a parameter that no run may set and that has no value of its own.
pub(super) fn gives_nothing(playbook: &Playbook, tree: &TemplateTree) -> bool {
    let param = handed_on(tree).and_then(|name| playbook.param(name));
    param.is_some_and(|param| param.sealed && param.default.is_none())
}

/// The parameter that this is, and nothing else.
fn handed_on(tree: &TemplateTree) -> Option<&str> {
    let TemplateTree::Template(template) = tree else {
        return None;
    };
    match template.single()?.path.as_slice() {
        [root, name] if root == "params" => Some(name),
        _ => None,
    }
}
