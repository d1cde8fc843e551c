//! Let repmgrd act again where a run had paused it.

use super::scene::{Deed, Scene};
use crate::cluster::{ManagerKind, NodeName, Operation};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct ResumeManagers;

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
        // One that cannot be reached must not keep the others paused.
        let mut failed = Vec::new();
        for node in &nodes {
            if let Err(failure) = scene.perform(resume(node.clone())).await {
                failed.push((node, failure));
            }
        }
        let Some((_, first)) = failed.first() else {
            return Ok(Map::new());
        };
        let names: Vec<&str> = failed.iter().map(|(node, _)| node.as_str()).collect();
        let text = format!(
            "repmgrd of {} stays paused: {}",
            names.join(", "),
            first.message
        );
        Err(Failure::new(first.kind, text)
            .with_help("when the server runs again: `repmgr service unpause` on any node"))
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        for node in scene.nodes_input("nodes")? {
            let managers = scene.cluster.managers(&node).await?;
            let paused = managers
                .iter()
                .any(|m| m.kind == ManagerKind::Repmgrd && m.paused == Some(true));
            if paused {
                let text = format!("repmgrd of {node} says that it is still paused");
                return Err(Failure::new(TroubleKind::Unmet, text));
            }
        }
        Ok(given)
    }
}

fn resume(node: NodeName) -> Operation {
    Operation::PauseRepmgrd {
        node,
        paused: false,
    }
}
