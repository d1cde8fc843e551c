//! Put back what a freeze took besides the upstream, and remove what was kept for an undo that is not needed any more.

use super::freeze;
use super::scene::{Deed, Scene};
use super::set_upstream;
use crate::cluster::{Operation, UpstreamRoute};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Map, NodeRule, Signature};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct SettleSettings;

#[async_trait]
impl Deed for SettleSettings {
    fn signature() -> Signature {
        Signature {
            name: "settle_settings",
            summary: "Put back archive settings that a freeze took, and remove the settings that were kept for an undo.",
            node: NodeRule::Required,
            inputs: vec![],
            outputs: vec![],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_secs(15),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("kept settings may be there".to_owned()))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let node = scene.node()?;
        Ok(vec![
            Operation::RestoreSettings {
                node: node.clone(),
                tag: freeze::TAG.to_owned(),
                archive_only: true,
                route: UpstreamRoute::Sql,
            },
            Operation::ForgetSettings {
                node,
                tag: set_upstream::TAG.to_owned(),
            },
        ])
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        for operation in self.plan(scene).await? {
            scene.perform(operation).await?;
        }
        Ok(Map::new())
    }
}
