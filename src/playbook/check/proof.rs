//! Rule 1, the wiring: the proof that a promotion is given is the one that a fence recorded, not a word.

use super::graph::Graph;
use super::parts::Cast;
use super::steps::Checker;
use crate::playbook::{Body, PROOF, Role, TemplateTree};

/// Checks that the input `proof` of the promotion at `point` refers to a step that fences.
pub(super) fn bound(checker: &mut Checker<'_>, cast: &Cast<'_>, top: &Graph<'_>, point: usize) {
    let step = &top.block.steps[point];
    let Body::Action { with, .. } = &step.body else {
        return;
    };
    // Where it is missing, that is an error already.
    let Some((_, proof)) = with.iter().find(|(name, _)| name.value == PROOF) else {
        return;
    };
    if from_fence(proof, cast, top) {
        return;
    }
    let fence = top
        .ancestors_of(point)
        .map(|index| &top.block.steps[index])
        .find(|step| cast.any(step).contains(&Role::Fence));
    let message = format!(
        "step `{}` is given a proof that no fence recorded",
        step.id.value
    );
    let error = checker.error("PB003", proof.span(), message);
    error.help = Some(match fence {
        Some(fence) => format!(
            "give it what the fence found: `{PROOF}: \"{{{{ steps.{}.{PROOF} }}}}\"`",
            fence.id.value
        ),
        None => {
            "let it need a step with `action: fence`, and give it that step's `proof`".to_owned()
        }
    });
}

/// A whole reference to an output of a step that fences; a fence itself gives its proof under one name only.
fn from_fence(tree: &TemplateTree, cast: &Cast<'_>, top: &Graph<'_>) -> bool {
    let TemplateTree::Template(template) = tree else {
        return false;
    };
    let Some([root, step, output]) = template.single().map(|reference| reference.path.as_slice())
    else {
        return false;
    };
    let Some((_, step)) = top.find(step).filter(|_| root == "steps") else {
        return false;
    };
    let named = match &step.body {
        Body::Action { .. } => output == PROOF,
        Body::Playbook { .. } => output != "status",
    };
    named && cast.any(step).contains(&Role::Fence)
}
