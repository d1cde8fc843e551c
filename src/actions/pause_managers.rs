//! See to it that nobody else promotes, stops or starts servers while a run does.

use super::managers::{Found, look};
use super::resume_managers::resume_all;
use super::scene::{Deed, Scene, outputs};
use crate::cluster::{Manager, ManagerKind, NodeName, Operation};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::{Value as Json, json};
use std::time::Duration;

pub(super) struct PauseManagers;

/// What is noted before a repmgrd is paused: whoever looks after that, another attempt or another runner, finds it paused
/// already, and must know that this step did it.
const TOPIC: &str = "pausing";

#[async_trait]
impl Deed for PauseManagers {
    fn signature() -> Signature {
        Signature {
            name: "pause_managers",
            summary: "Look on all nodes for other managers: repmgrd is paused, kbha and a Patroni that is not in maintenance mode refuse the run.",
            node: NodeRule::Refused,
            inputs: vec![
                Field::optional("suspect", Type::Node, "a node whose host may not answer"),
                Field::optional(
                    "patience",
                    Type::Duration,
                    "how long that host may stay without an answer; 3s, as everybody's",
                ),
            ],
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
        if !found.to_pause.is_empty() {
            return Ok(Probe::Needed(format!(
                "repmgrd acts on {}",
                names(&found.to_pause)
            )));
        }
        warn(scene, &found).await;
        let why = match found.unknown.len() {
            0 => "nobody else acts on the nodes".to_owned(),
            _ => format!(
                "nobody else is seen to act on the nodes; {}",
                found.unknown.join("; ")
            ),
        };
        Ok(Probe::Satisfied(result(&paused_by_this_step(scene)), why))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let found = look(scene).await?;
        let pause = |node| Operation::PauseRepmgrd { node, paused: true };
        Ok(found.to_pause.into_iter().map(pause).collect())
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let found = look(scene).await?;
        for node in &found.to_pause {
            let text = format!("repmgrd of {node} is to do nothing until the end of this run");
            scene.note(TOPIC, text, json!({ "node": node })).await;
            let node = node.clone();
            let pause = Operation::PauseRepmgrd { node, paused: true };
            scene.perform(pause).await?;
        }
        warn(scene, &found).await;
        Ok(result(&paused_by_this_step(scene)))
    }

    /// Who was paused must say so. Where nobody was, there is nothing that could have failed.
    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        let paused = paused_by_this_step(scene);
        let looks = paused.iter().map(|node| async move {
            let told = scene.cluster.managers(node).await?;
            let acts = |m: &Manager| m.kind == ManagerKind::Repmgrd && m.paused != Some(true);
            Ok::<_, Failure>(told.found.iter().any(acts).then(|| node.clone()))
        });
        let acting: Result<Vec<Option<NodeName>>, Failure> =
            join_all(looks).await.into_iter().collect();
        let acting: Vec<NodeName> = acting?.into_iter().flatten().collect();
        if acting.is_empty() {
            return Ok(given);
        }
        let text = format!("repmgrd still acts on {}", names(&acting));
        Err(Failure::new(TroubleKind::Unmet, text))
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        let mut nodes: Vec<NodeName> = done
            .iter()
            .filter_map(|d| serde_json::from_value(d.forecast.operation.clone()).ok())
            .filter_map(|operation| match operation {
                Operation::PauseRepmgrd { node, paused: true } => Some(node),
                _ => None,
            })
            .collect();
        // One that is said to have failed may have heard it all the same.
        nodes.extend(paused_by_this_step(scene));
        nodes.sort();
        nodes.dedup();
        if nodes.is_empty() {
            return Ok(Undone::Nothing);
        }
        resume_all(scene, &nodes).await?;
        let text = format!("repmgrd acts on {} again", names(&nodes));
        Ok(Undone::Done(text))
    }
}

/// The nodes whose repmgrd this step went about to pause, in whichever attempt and by whichever runner.
fn paused_by_this_step(scene: &Scene<'_>) -> Vec<NodeName> {
    let noted = scene.step.effects.noted(TOPIC);
    let of = |data: &Json| serde_json::from_value(data["node"].clone()).ok();
    let mut nodes: Vec<NodeName> = noted.iter().filter_map(|e| of(&e.data)).collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

async fn warn(scene: &Scene<'_>, found: &Found) {
    for text in &found.unknown {
        scene.note("warning", text, Json::Null).await;
    }
}

fn result(paused: &[NodeName]) -> Map {
    let paused: Vec<&str> = paused.iter().map(NodeName::as_str).collect();
    outputs([("paused", paused.into())])
}

pub(super) fn names(nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    names.join(", ")
}
