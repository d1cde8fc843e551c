//! Which steps play which parts of the safety rules, and whether they do so for sure.

use super::facts::negated;
use super::graph::Graph;
use super::names::canonical;
use super::playbooks::Nested;
use crate::playbook::{Body, Catalog, OnFailure, Playbook, Role, Step, Value};

/// What a playbook is to the safety rules of those that nest it.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    /// The parts that its steps play whenever it ends ok.
    sure: Vec<Role>,
    /// The parts that any of its steps may play.
    any: Vec<Role>,
    /// How many points of no return it has.
    points: usize,
}

impl Parts {
    pub(super) fn of(playbook: &Playbook, catalog: &Catalog, nested: &Nested) -> Self {
        let mut parts = Self::default();
        let cast = Cast { catalog, nested };
        for step in &playbook.steps.steps {
            if step.when.is_none() {
                let played = cast.sure(step);
                parts
                    .sure
                    .extend(played.into_iter().filter(|role| is_clean(*role, step)));
            }
        }
        for step in playbook.all_steps() {
            parts.any.extend(cast.any(step));
            parts.points += cast.points(step);
        }
        parts
    }
}

/// Who plays what.
pub(super) struct Cast<'c> {
    pub(super) catalog: &'c Catalog,
    pub(super) nested: &'c Nested,
}

impl Cast<'_> {
    fn sure(&self, step: &Step) -> Vec<Role> {
        if step.disabled.is_some() {
            return Vec::new();
        }
        self.would_surely(step)
    }

    fn would_surely(&self, step: &Step) -> Vec<Role> {
        match &step.body {
            Body::Action { .. } => self.would(step),
            Body::Playbook { name, .. } => match self.nested.get(&name.value) {
                Some(Some(contract)) => contract.parts.sure.clone(),
                _ => Vec::new(),
            },
        }
    }

    pub(super) fn any(&self, step: &Step) -> Vec<Role> {
        if step.disabled.is_some() {
            return Vec::new();
        }
        self.would(step)
    }

    /// The parts that it may play, were it not switched off.
    pub(super) fn would(&self, step: &Step) -> Vec<Role> {
        match &step.body {
            Body::Action { name, with, .. } => {
                let Some(signature) = self.catalog.actions.get(name.value.as_str()) else {
                    return Vec::new();
                };
                let archive = Some(Value::from("archive"));
                let archive_only = with
                    .iter()
                    .any(|(name, tree)| name.value == "only" && tree.constant() == archive);
                // To give a node its archive back starts no receiver.
                let plays = |role: &Role| !(archive_only && *role == Role::Unfreeze);
                signature.roles.iter().copied().filter(plays).collect()
            }
            Body::Playbook { name, .. } => match self.nested.get(&name.value) {
                Some(Some(contract)) => contract.parts.any.clone(),
                _ => Vec::new(),
            },
        }
    }

    pub(super) fn points(&self, step: &Step) -> usize {
        if step.disabled.is_some() {
            return 0;
        }
        match &step.body {
            Body::Action { .. } => usize::from(self.any(step).contains(&Role::PointOfNoReturn)),
            Body::Playbook { name, .. } => match self.nested.get(&name.value) {
                Some(Some(contract)) => contract.parts.points,
                _ => 0,
            },
        }
    }
}

/// Whether a step that ended well has played its part, as far as its own keys tell.
fn is_clean(role: Role, step: &Step) -> bool {
    match role {
        // A proof that failed and was rescued, or that holds for some items, is none.
        Role::Fence => {
            step.on_failure.value == OnFailure::Fail
                && step.rescue.is_none()
                && step.for_each.is_none()
        }
        // Nodes that could not be frozen do not count later; that some could not is no reason to stop.
        Role::Freeze => step.rescue.is_none(),
        Role::Verification => step.for_each.is_none(),
        Role::Unfreeze | Role::Choose | Role::PointOfNoReturn => true,
    }
}

/// Whether a part is played before or after a step.
pub(super) enum Coverage {
    Sure,
    /// By this step, but not for sure.
    Perhaps(usize),
    Missing,
}

pub(super) fn coverage(
    cast: &Cast<'_>,
    graph: &Graph<'_>,
    steps: impl Iterator<Item = usize>,
    role: Role,
) -> Coverage {
    let players: Vec<usize> = steps
        .filter(|&index| cast.would_surely(&graph.block.steps[index]).contains(&role))
        .collect();
    let Some(&first) = players.first() else {
        return Coverage::Missing;
    };
    // Conditions of clean players: one that has none plays for sure, and so do two whose conditions are opposites.
    let conditions: Vec<Option<String>> = players
        .iter()
        .map(|&index| &graph.block.steps[index])
        .filter(|step| is_clean(role, step) && step.disabled.is_none())
        .map(|step| step.when.as_ref().map(|when| canonical(when.tree())))
        .collect();
    let opposite = |condition: &Option<String>| {
        let other = condition.as_ref().map(|c| negated(c));
        conditions.contains(&other)
    };
    if conditions.iter().any(|c| c.is_none() || opposite(c)) {
        Coverage::Sure
    } else {
        Coverage::Perhaps(first)
    }
}
