//! Let a frozen standby receive from its old upstream again. Never after the point of no return.

use super::freeze::TAG;
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
            timeout: Duration::from_secs(15),
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
        Ok(vec![restore(scene)?])
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        scene.perform(restore(scene)?).await?;
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

fn restore(scene: &Scene<'_>) -> Result<Operation, Failure> {
    Ok(Operation::RestoreSettings {
        node: scene.node()?,
        tag: TAG.to_owned(),
        archive_only: false,
        route: UpstreamRoute::Sql,
    })
}
