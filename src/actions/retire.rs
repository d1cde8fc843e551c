//! See to it that nobody serves from a node as a primary, now or later.

use super::fence::{is_proof, stopped};
use super::scene::{Deed, Scene, outputs};
use crate::cluster::{Host, NodeName, Operation};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, Type};
use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;

pub(super) struct Retire;

/// What is noted of the data that the node had, so that an undo knows whether they are still the same.
const TOPIC: &str = "retired";

#[async_trait]
impl Deed for Retire {
    fn signature() -> Signature {
        Signature {
            name: "retire",
            summary: "Stop what is left of a server, rougher where it does not stop, and see to it that it cannot come back as \
                      a primary. Its undo lets it be what it was, unless its data were renewed meanwhile, or it was a primary and \
                      another node is one, or may be.",
            node: NodeRule::Required,
            inputs: vec![],
            outputs: vec![Field::required("ran", Type::Boolean, "it was running")],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_mins(1),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let node = scene.node()?;
        if is_proof(&scene.cluster.host(&node).await?) {
            return Ok(Probe::Satisfied(
                outputs([("ran", false.into())]),
                "it is down, and standby.signal is placed".to_owned(),
            ));
        }
        Ok(Probe::Needed(
            "it runs, or could come back as a primary".to_owned(),
        ))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        Ok(vec![Operation::ForbidReturn {
            node: scene.node()?,
        }])
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let host = scene.cluster.host(&node).await?;
        let ran = host.postmaster.is_some();
        note(scene, &node, &host, host.standby_signal).await;
        stopped(scene, &node).await?;
        // Its shutdown wrote a checkpoint: that is what the data are now.
        note(
            scene,
            &node,
            &scene.cluster.host(&node).await?,
            host.standby_signal,
        )
        .await;
        Ok(outputs([("ran", ran.into())]))
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        let node = scene.node()?;
        if done.is_empty() {
            return Ok(Undone::Nothing);
        }
        let host = scene.cluster.host(&node).await?;
        let noted = scene.step.effects.noted(TOPIC);
        let ours = |data: &&serde_json::Value| data.get("node") == Some(&json!(node));
        let before = noted.iter().map(|e| &e.data).rfind(ours);
        let same = before.and_then(|b| b.get("control")) == Some(&data_of(&host));
        if host.half_rewound || !same {
            return Ok(Undone::Done(format!(
                "{node} stays down and a standby: its data are not those that it had"
            )));
        }
        let was_standby = before.and_then(|b| b.get("standby")) == Some(&json!(true));
        if !was_standby {
            if let Some(why) = rival(scene, &node).await {
                let text = format!(
                    "{node} stays down with standby.signal, for it was a primary and {why}: bring it back as a standby"
                );
                let data = json!({ "node": node });
                scene.note("debt", text.clone(), data).await;
                return Ok(Undone::Done(text));
            }
            scene
                .perform(Operation::AllowReturn { node: node.clone() })
                .await?;
        }
        let ran = done.iter().any(|d| {
            let operation = serde_json::from_value(d.forecast.operation.clone());
            matches!(operation, Ok(Operation::Stop { .. }))
        });
        if ran && host.postmaster.is_none() {
            scene
                .perform(Operation::Start {
                    node: node.clone(),
                    deadline: Duration::from_mins(1),
                })
                .await?;
            return Ok(Undone::Done(format!("{node} is started again, as it was")));
        }
        Ok(Undone::Done(format!("{node} is as it was")))
    }
}

/// Why the node must not be a primary again: another one is, or nobody can tell that it is not.
async fn rival(scene: &Scene<'_>, node: &NodeName) -> Option<String> {
    let others = scene
        .inventory()
        .nodes
        .keys()
        .filter(|other| *other != node);
    let looks = others.map(|other| async move {
        if let Ok(server) = scene.cluster.server(other).await {
            return (!server.in_recovery).then(|| format!("{other} is the primary"));
        }
        let host = scene.cluster.host(other).await;
        let down = host.is_ok_and(|host| host.postmaster.is_none());
        (!down).then(|| format!("nobody can tell whether {other} is the primary"))
    });
    let found: Vec<String> = join_all(looks).await.into_iter().flatten().collect();
    (!found.is_empty()).then(|| found.join(", and "))
}

/// What tells these data from those that a rewind or a copy leaves.
fn data_of(host: &Host) -> serde_json::Value {
    let of = |c: &crate::cluster::ControlData| json!([c.system, c.timeline, c.checkpoint]);
    host.control.as_ref().map_or(serde_json::Value::Null, of)
}

async fn note(scene: &Scene<'_>, node: &NodeName, host: &Host, standby: bool) {
    let text = format!("the data of {node} before anything is done to them");
    let data = json!({ "node": node, "control": data_of(host), "standby": standby });
    scene.note(TOPIC, text, data).await;
}
