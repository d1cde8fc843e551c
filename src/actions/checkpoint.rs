//! A checkpoint, so that the stop that follows is short.

use super::scene::{Deed, Scene};
use crate::cluster::Operation;
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Map, NodeRule, Signature};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct Checkpoint;

#[async_trait]
impl Deed for Checkpoint {
    fn signature() -> Signature {
        Signature {
            name: "checkpoint",
            summary: "Write a checkpoint, so that a stop that follows has little left to write.",
            node: NodeRule::Required,
            inputs: vec![],
            outputs: vec![],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_mins(5),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed(
            "the less is dirty, the shorter the stop".to_owned(),
        ))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        Ok(vec![Operation::Checkpoint {
            node: scene.node()?,
        }])
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        scene
            .perform(Operation::Checkpoint {
                node: scene.node()?,
            })
            .await?;
        Ok(Map::new())
    }
}
