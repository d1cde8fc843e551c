//! In which way a node takes its new upstream: what its operations come to, in one sentence.

use super::model::{Decision, PlannedStep};
use crate::cluster::{NodeName, Operation};
use crate::engine::StepPath;
use serde_json::json;

/// A sentence for every node that is given an upstream.
pub(super) fn branches(steps: &[PlannedStep]) -> Vec<Decision> {
    let mut found = Vec::new();
    let done: Vec<(&StepPath, Operation)> = steps
        .iter()
        .flat_map(|step| {
            let ahead = step.effects.iter().filter(|effect| !effect.undo);
            ahead.filter_map(|effect| {
                let operation = serde_json::from_value(effect.operation.clone()).ok()?;
                Some((&step.path, operation))
            })
        })
        .collect();
    for (place, (path, operation)) in done.iter().enumerate() {
        if let Operation::SetUpstream { node, upstream, .. } = operation {
            let how = way(node, done[place..].iter().map(|(_, operation)| operation));
            let text = match how {
                "restart" => format!("{node} takes {upstream} as its upstream by a restart"),
                "start" => format!("{node} takes {upstream} as its upstream when it is started"),
                "reload" => format!("{node} takes {upstream} as its upstream by a reload"),
                _ => format!("{node} is set to follow {upstream}, and nothing makes it take that"),
            };
            found.push(Decision {
                path: (*path).clone(),
                topic: "branch".to_owned(),
                text,
                data: json!({ "node": node, "upstream": upstream, "by": how }),
            });
        }
    }
    found
}

/// What follows for the same node.
fn way<'o>(node: &NodeName, after: impl Iterator<Item = &'o Operation>) -> &'static str {
    let mut how = "nothing";
    for operation in after.filter(|operation| operation.node() == Some(node)) {
        how = match (operation, how) {
            (Operation::Reload { .. }, "nothing") => "reload",
            (Operation::Stop { .. }, _) => "restart",
            (Operation::Start { .. }, "nothing") => "start",
            (_, how) => how,
        };
    }
    how
}
