//! Let a frozen standby receive from its old upstream again. Never after the point of no return.

use super::freeze::TAG;
use super::in_force::{by_restart, put_back, restart, restarts};
use super::scene::{Deed, Scene, outputs};
use crate::cluster::{Operation, UpstreamRoute};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Role, Signature, Type};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct Unfreeze;

#[async_trait]
impl Deed for Unfreeze {
    fn signature() -> Signature {
        Signature {
            name: "unfreeze",
            summary: "Let a frozen standby receive from its old upstream again.",
            node: NodeRule::Required,
            inputs: vec![],
            outputs: vec![Field::required(
                "unfrozen",
                Type::Boolean,
                "it had been frozen, and receives again",
            )],
            effect: Some(EffectClass::Idempotent),
            roles: vec![Role::Unfreeze],
            timeout: Duration::from_mins(1),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let node = scene.node()?;
        if scene.step.effects.point_of_no_return_passed() {
            return Err(Failure::refused(format!(
                "{node} stays frozen: a promotion was intended in this run"
            ))
            .with_help("let it follow the new primary instead"));
        }
        Ok(match scene.cluster.upstream(&node).await? {
            Some(_) => Probe::Satisfied(
                outputs([("unfrozen", false.into())]),
                "it is not frozen".to_owned(),
            ),
            None => Probe::Needed("it receives from nobody".to_owned()),
        })
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let node = scene.node()?;
        let mut operations = vec![Operation::RestoreSettings {
            node: node.clone(),
            tag: TAG.to_owned(),
            archive_only: false,
            route: UpstreamRoute::Sql,
        }];
        if by_restart(scene, &node).await? {
            operations.extend(restarts(scene, &node));
        }
        Ok(operations)
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let route = put_back(scene, &node, TAG).await?;
        if route == UpstreamRoute::Sql && by_restart(scene, &node).await? {
            restart(scene, &node).await?;
        }
        Ok(outputs([("unfrozen", true.into())]))
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        let node = scene.node()?;
        scene
            .until(|| async {
                Ok(match scene.cluster.upstream(&node).await? {
                    Some(_) => Ok(()),
                    None => Err("it still has no upstream".to_owned()),
                })
            })
            .await?;
        Ok(given)
    }
}
