//! See to it that nobody else promotes, stops or starts servers while a run does.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{Manager, ManagerKind, NodeName, Operation};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use futures_util::future::join_all;
use std::time::Duration;

pub(super) struct PauseManagers;

/// What a node may take to say who else manages it: as long as a dead host is waited for anyway.
const PATIENCE: Duration = Duration::from_secs(3);

#[async_trait]
impl Deed for PauseManagers {
    fn signature() -> Signature {
        Signature {
            name: "pause_managers",
            summary: "Look on all nodes for other managers: repmgrd is paused, kbha and a Patroni that is not in maintenance mode refuse the run.",
            node: NodeRule::Refused,
            inputs: vec![],
            outputs: vec![Field::required(
                "paused",
                Type::List,
                "the nodes whose repmgrd was paused by this step; those that were paused before are not among them",
            )],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_secs(15),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let found = look(scene).await?;
        Ok(if found.to_pause.is_empty() {
            Probe::Satisfied(result(&[]), "nobody else acts on the nodes".to_owned())
        } else {
            Probe::Needed(format!("repmgrd acts on {}", names(&found.to_pause)))
        })
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let found = look(scene).await?;
        let pause = |node| Operation::PauseRepmgrd { node, paused: true };
        Ok(found.to_pause.into_iter().map(pause).collect())
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let found = look(scene).await?;
        for node in &found.to_pause {
            let node = node.clone();
            let pause = Operation::PauseRepmgrd { node, paused: true };
            scene.perform(pause).await?;
        }
        if !found.to_pause.is_empty() {
            let text = format!("repmgrd is paused on {}", names(&found.to_pause));
            scene.note("managers", text, serde_json::Value::Null).await;
        }
        for debt in found.unknown {
            scene.note("warning", debt, serde_json::Value::Null).await;
        }
        Ok(result(&found.to_pause))
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        let found = look(scene).await?;
        if found.to_pause.is_empty() {
            return Ok(given);
        }
        Err(Failure::new(
            TroubleKind::Unmet,
            format!("repmgrd still acts on {}", names(&found.to_pause)),
        ))
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        let mut resumed = Vec::new();
        for operation in done
            .iter()
            .filter_map(|d| serde_json::from_value(d.forecast.operation.clone()).ok())
        {
            if let Operation::PauseRepmgrd { node, paused: true } = operation {
                resumed.push(node.clone());
                let paused = false;
                scene
                    .perform(Operation::PauseRepmgrd { node, paused })
                    .await?;
            }
        }
        if resumed.is_empty() {
            return Ok(Undone::Nothing);
        }
        let text = format!("repmgrd acts on {} again", names(&resumed));
        Ok(Undone::Done(text))
    }
}

fn result(paused: &[NodeName]) -> Map {
    let paused: Vec<&str> = paused.iter().map(NodeName::as_str).collect();
    outputs([("paused", paused.into())])
}

fn names(nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    names.join(", ")
}

/// Who else is there.
struct Found {
    to_pause: Vec<NodeName>,
    unknown: Vec<String>,
}

/// Refuses where somebody acts on the nodes who cannot be paused from here.
async fn look(scene: &Scene<'_>) -> Result<Found, Failure> {
    let nodes: Vec<&NodeName> = scene.inventory().nodes.keys().collect();
    let looks = nodes.iter().map(|node| async move {
        let ask = async { tokio::join!(scene.cluster.managers(node), scene.cluster.server(node)) };
        let asked = tokio::time::timeout(PATIENCE, ask).await.ok()?;
        Some((asked.0.ok()?, asked.1.is_ok()))
    });
    let mut found = Found {
        to_pause: Vec::new(),
        unknown: Vec::new(),
    };
    let mut refused: Vec<(String, &'static str)> = Vec::new();
    for (node, told) in nodes.iter().zip(join_all(looks).await) {
        let Some((managers, answers)) = told else {
            let text = format!("whether another manager acts on {node} could not be told");
            found.unknown.push(text);
            continue;
        };
        for manager in &managers {
            match judge(manager, answers) {
                Verdict::Harmless => {}
                Verdict::Pause => found.to_pause.push((*node).clone()),
                Verdict::Refuse(help) => {
                    refused.push((format!("{manager} manages {node}"), help));
                }
            }
        }
    }
    found.to_pause.dedup();
    if refused.is_empty() {
        return Ok(found);
    }
    let whats: Vec<&str> = refused.iter().map(|(what, _)| what.as_str()).collect();
    let mut helps: Vec<&str> = refused.iter().map(|(_, help)| *help).collect();
    helps.dedup();
    Err(Failure::refused(format!(
        "another manager would act on the same servers: {}",
        whats.join("; ")
    ))
    .with_help(helps.join("; ")))
}

enum Verdict {
    Harmless,
    Pause,
    Refuse(&'static str),
}

/// What a manager would do to a run. A repmgrd whose own server is down promotes nobody and starts nothing.
fn judge(manager: &Manager, server_answers: bool) -> Verdict {
    match (manager.kind, manager.paused) {
        (ManagerKind::Repmgrd | ManagerKind::Patroni, Some(true)) => Verdict::Harmless,
        (ManagerKind::Repmgrd, _) if !server_answers => Verdict::Harmless,
        (ManagerKind::Repmgrd, Some(false)) => Verdict::Pause,
        (ManagerKind::Repmgrd, None) => Verdict::Refuse(
            "let pgbaton pause it: say in the site file where repmgr keeps its table, `repmgr: { database: repmgr }` (its \
             library must be in shared_preload_libraries), or stop repmgrd for the time being",
        ),
        (ManagerKind::Kbha, _) => Verdict::Refuse(
            "kbha starts servers and repmgrd again: put a # before its line in cron, and stop kbha and repmgrd on these \
             hosts for the time being",
        ),
        (ManagerKind::Patroni, _) => Verdict::Refuse(
            "leave it to Patroni (`patronictl failover`, `patronictl switchover`), or put it into maintenance mode first: \
             `patronictl pause --wait`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_can_be_paused_is_and_who_acts_all_the_same_refuses() {
        use ManagerKind::{Kbha, Patroni, Repmgrd};
        for (kind, paused, answers, expected) in [
            (Repmgrd, Some(false), true, "pause"),
            (Repmgrd, Some(true), true, "harmless"),
            (Repmgrd, None, true, "refuse"),
            (Repmgrd, None, false, "harmless"),
            (Kbha, None, false, "refuse"),
            (Patroni, Some(true), true, "harmless"),
            (Patroni, Some(false), true, "refuse"),
            (Patroni, None, false, "refuse"),
        ] {
            let manager = Manager {
                kind,
                sign: "process 1".to_owned(),
                paused,
            };
            let found = match judge(&manager, answers) {
                Verdict::Harmless => "harmless",
                Verdict::Pause => "pause",
                Verdict::Refuse(_) => "refuse",
            };
            assert_eq!(found, expected, "{manager} {answers}");
        }
    }
}
