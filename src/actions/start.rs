//! Start a server and wait until it accepts connections.

use super::scene::{Deed, Scene, outputs};
use super::stop::stop_with_escalation;
use crate::cluster::{Operation, StopMode};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct Start;

#[async_trait]
impl Deed for Start {
    fn signature() -> Signature {
        Signature {
            name: "start",
            summary: "Start a server and wait until it accepts connections. A primary that was fenced comes up as a standby.",
            node: NodeRule::Required,
            inputs: vec![Field::optional(
                "ran_before",
                Type::Boolean,
                "it ran when the run found it: an undo leaves it running",
            )],
            outputs: vec![Field::required(
                "in_recovery",
                Type::Boolean,
                "it runs as a standby",
            )],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_secs(90),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let node = scene.node()?;
        match scene.cluster.server(&node).await {
            Ok(server) => Ok(Probe::Satisfied(
                outputs([("in_recovery", server.in_recovery.into())]),
                "it accepts connections".to_owned(),
            )),
            Err(_) => Ok(Probe::Needed("it does not accept connections".to_owned())),
        }
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        Ok(vec![Operation::Start {
            node: scene.node()?,
            deadline: scene.time_left(),
        }])
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let host = scene.cluster.host(&node).await?;
        if host.half_rewound {
            return Err(Failure {
                kind: TroubleKind::Conflict,
                ..Failure::refused(format!(
                    "a rewind of {node} did not end: what lies there is no state that any server ever had, and it is not started"
                ))
            }
            .with_help("run `rejoin` for it: it rewinds it again, or with `-p rebuild=auto` copies it anew"));
        }
        // A postmaster that is there already (starting up) is waited for, not started twice.
        if host.postmaster.is_none() {
            scene
                .perform(Operation::Start {
                    node,
                    deadline: scene.time_left(),
                })
                .await?;
        }
        Ok(Map::new())
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        if given.contains_key("in_recovery") {
            return Ok(given);
        }
        let node = scene.node()?;
        let server = scene
            .until(|| async {
                match scene.cluster.server(&node).await {
                    Ok(server) => Ok(Ok(server)),
                    Err(trouble) if trouble.kind == TroubleKind::Denied => Err(trouble.into()),
                    Err(trouble) => Ok(Err(trouble.to_string())),
                }
            })
            .await?;
        Ok(outputs([("in_recovery", server.in_recovery.into())]))
    }

    /// A server that was found stopped is stopped again: somebody wanted it so, and what it says may be out of date.
    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        let node = scene.node()?;
        if done.is_empty() || scene.flag("ran_before") {
            return Ok(Undone::Nothing);
        }
        let rougher = [StopMode::Terminate, StopMode::Immediate, StopMode::Kill];
        stop_with_escalation(scene, &node, StopMode::Fast, &rougher).await?;
        Ok(Undone::Done(format!(
            "{node} is stopped again, as it was found"
        )))
    }
}
