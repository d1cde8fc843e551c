//! Stream to the candidate what another frozen standby holds more, so that nothing of it is lost (rule 3).

use super::in_force::{by_restart, restart, restarts};
use super::scene::{Deed, Scene, outputs};
use crate::cluster::{Lsn, NodeName, Operation, UpstreamRoute};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type, Value};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct FastForward;

#[async_trait]
impl Deed for FastForward {
    fn signature() -> Signature {
        Signature {
            name: "fast_forward",
            summary: "Let the candidate stream what another frozen standby holds more, then freeze it again.",
            node: NodeRule::Required,
            inputs: vec![
                Field::required("from", Type::Node, "the standby that holds more"),
                Field::required(
                    "to",
                    Type::Lsn,
                    "how much it holds: the position that the choice found",
                ),
            ],
            outputs: vec![
                Field::required("position", Type::Lsn, "where the candidate stands now"),
                Field::required("bytes", Type::Bytes, "how much it received"),
            ],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_mins(1),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let (node, from) = (scene.node()?, scene.required_node("from")?);
        let goal = goal(scene)?;
        let mine = scene.server(&node).await?;
        if mine.receiver_pid.is_none() && mine.position() >= Some(goal) {
            let given = outputs([("position", mine.position().into()), ("bytes", 0.into())]);
            return Ok(Probe::Satisfied(
                given,
                format!("it holds as much as {from}"),
            ));
        }
        Ok(Probe::Needed(format!("{from} holds more")))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let (node, from) = (scene.node()?, scene.required_node("from")?);
        let freeze = Operation::Freeze {
            node: node.clone(),
            former: None,
        };
        let mut operations = vec![upstream(&node, &from)];
        if by_restart(scene, &node).await? {
            operations.extend(restarts(scene, &node));
            operations.push(freeze);
            operations.extend(restarts(scene, &node));
        } else {
            operations.extend([Operation::Reload { node }, freeze]);
        }
        Ok(operations)
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let (node, from) = (scene.node()?, scene.required_node("from")?);
        let before = scene.server(&node).await?.position().unwrap_or_default();
        let goal = goal(scene)?;
        scene.perform(upstream(&node, &from)).await?;
        let by_restart = by_restart(scene, &node).await?;
        if by_restart {
            restart(scene, &node).await?;
        } else {
            scene
                .perform(Operation::Reload { node: node.clone() })
                .await?;
        }
        // Time is left to freeze it again.
        let reached = scene
            .until_within(scene.time_left() * 3 / 4, || async {
                let at = scene.server(&node).await?.position().unwrap_or_default();
                if at >= goal {
                    return Ok(Ok(at));
                }
                // A standby hands on what it has received since it started, or replayed; its files may hold more.
                let theirs = scene.server(&from).await?.position().unwrap_or_default();
                Ok(Err(format!(
                    "{node} is at {at}; {from} holds up to {goal} and hands on up to {theirs}"
                )))
            })
            .await
            .map_err(|failure| {
                failure.with_help(format!(
                    "nothing is promoted without it; where {from} replays late (recovery_min_apply_delay, a paused replay), \
                     let it replay first"
                ))
            });
        // Frozen again in any case: a candidate that receives must not be promoted.
        scene
            .perform(Operation::Freeze {
                node: node.clone(),
                former: None,
            })
            .await?;
        if by_restart {
            restart(scene, &node).await?;
        }
        let frozen = scene
            .until(|| async {
                let server = scene.cluster.server(&node).await?;
                Ok(if server.receiver_pid.is_none() {
                    Ok(())
                } else {
                    Err("its walreceiver still runs".to_owned())
                })
            })
            .await;
        let at = reached?;
        frozen?;
        Ok(outputs([
            ("position", at.into()),
            ("bytes", at.bytes_since(before).into()),
        ]))
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        // What was received stays; the freeze's own undo puts the upstream back.
        let node = scene.node()?;
        if done.is_empty() {
            return Ok(Undone::Nothing);
        }
        scene
            .perform(Operation::Freeze {
                node: node.clone(),
                former: None,
            })
            .await?;
        if by_restart(scene, &node).await? {
            restart(scene, &node).await?;
        }
        Ok(Undone::Done(format!(
            "{node} does not stream from another standby any more"
        )))
    }
}

/// Never what the source says now: after a restart it does not count what it has yet to replay.
fn goal(scene: &Scene<'_>) -> Result<Lsn, Failure> {
    match scene.step.inputs.get("to") {
        Value::Lsn(goal) => Ok(*goal),
        _ => Err(Failure::new(
            TroubleKind::Failed,
            "the input `to` is not given",
        )),
    }
}

fn upstream(node: &NodeName, from: &NodeName) -> Operation {
    Operation::SetUpstream {
        node: node.clone(),
        upstream: from.clone(),
        slot: None,
        route: UpstreamRoute::Sql,
        dbname: None,
        former: None,
    }
}
