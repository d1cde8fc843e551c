//! Let repmgrd act again where a run had paused it.

use super::scene::{Deed, Scene};
use crate::cluster::{Manager, ManagerKind, NodeName, Operation};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use futures_util::future::join_all;
use std::time::Duration;

pub(super) struct ResumeManagers;

/// What a node may take to say whether it heard.
const PATIENCE: Duration = Duration::from_secs(3);

#[async_trait]
impl Deed for ResumeManagers {
    fn signature() -> Signature {
        Signature {
            name: "resume_managers",
            summary: "Let repmgrd act again on these nodes.",
            node: NodeRule::Refused,
            inputs: vec![Field::required(
                "nodes",
                Type::List,
                "the nodes whose repmgrd was paused",
            )],
            outputs: vec![],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_secs(15),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(if scene.nodes_input("nodes")?.is_empty() {
            Probe::Satisfied(Map::new(), "none was paused".to_owned())
        } else {
            // One that has stopped meanwhile is not seen, and would find itself paused when it is started.
            Probe::Needed("it was paused by this run".to_owned())
        })
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let nodes = scene.nodes_input("nodes")?;
        Ok(nodes.into_iter().map(resume).collect())
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let nodes = scene.nodes_input("nodes")?;
        resume_all(scene, &nodes).await?;
        Ok(Map::new())
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        let nodes = scene.nodes_input("nodes")?;
        let looks = nodes.iter().map(|node| async move {
            let told = tokio::time::timeout(PATIENCE, scene.cluster.managers(node)).await;
            // Its server was told; a host that says nothing is no reason to tell it again.
            let found = told.ok().and_then(Result::ok).unwrap_or_default().found;
            let paused = |m: &Manager| m.kind == ManagerKind::Repmgrd && m.paused == Some(true);
            found.iter().any(paused).then_some(node.as_str())
        });
        let paused: Vec<&str> = join_all(looks).await.into_iter().flatten().collect();
        if paused.is_empty() {
            return Ok(given);
        }
        let text = format!(
            "repmgrd of {} says that it is still paused",
            paused.join(", ")
        );
        Err(Failure::new(TroubleKind::Unmet, text).with_help(UNPAUSE))
    }
}

const UNPAUSE: &str = "when the server runs again: `repmgr service unpause` on any node";

/// Tells all of them at once. One that cannot be reached must not keep the others paused.
pub(super) async fn resume_all(scene: &Scene<'_>, nodes: &[NodeName]) -> Result<(), Failure> {
    let told = nodes.iter().map(|node| async move {
        let told = scene.perform(resume(node.clone())).await;
        told.err().map(|failure| (node.as_str(), failure))
    });
    let failed: Vec<(&str, Failure)> = join_all(told).await.into_iter().flatten().collect();
    let Some((_, first)) = failed.first() else {
        return Ok(());
    };
    let names: Vec<&str> = failed.iter().map(|(node, _)| *node).collect();
    let text = format!(
        "repmgrd of {} stays paused: {}",
        names.join(", "),
        first.message
    );
    Err(Failure::new(first.kind, text).with_help(UNPAUSE))
}

fn resume(node: NodeName) -> Operation {
    Operation::PauseRepmgrd {
        node,
        paused: false,
    }
}
