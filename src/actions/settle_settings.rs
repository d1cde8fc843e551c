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

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        if outstanding(scene).await?.is_empty() {
            return Ok(Probe::Satisfied(
                Map::new(),
                "nothing is kept there".to_owned(),
            ));
        }
        Ok(Probe::Needed("kept settings are there".to_owned()))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        outstanding(scene).await
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        for operation in outstanding(scene).await? {
            scene.perform(operation).await?;
        }
        Ok(Map::new())
    }
}

/// What there is to put back and to remove.
async fn outstanding(scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
    let node = scene.node()?;
    let kept = scene.cluster.saved_settings(&node).await?;
    let mut operations = Vec::new();
    if kept.iter().any(|tag| tag == freeze::TAG) {
        operations.push(Operation::RestoreSettings {
            node: node.clone(),
            tag: freeze::TAG.to_owned(),
            archive_only: true,
            route: UpstreamRoute::Sql,
        });
    }
    if kept.iter().any(|tag| tag == set_upstream::TAG) {
        operations.push(Operation::ForgetSettings {
            node,
            tag: set_upstream::TAG.to_owned(),
        });
    }
    Ok(operations)
}
