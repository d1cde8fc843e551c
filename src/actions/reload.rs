//! Reload the configuration.

use super::scene::{Deed, Scene};
use crate::cluster::Operation;
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Map, NodeRule, Signature};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct Reload;

#[async_trait]
impl Deed for Reload {
    fn signature() -> Signature {
        Signature {
            name: "reload",
            summary: "Reload the server's configuration.",
            node: NodeRule::Required,
            inputs: vec![],
            outputs: vec![],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_secs(10),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("a reload twice is as once".to_owned()))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        Ok(vec![Operation::Reload {
            node: scene.node()?,
        }])
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        scene
            .perform(Operation::Reload {
                node: scene.node()?,
            })
            .await?;
        Ok(Map::new())
    }
}
