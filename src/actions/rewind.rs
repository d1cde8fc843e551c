//! Rewind a stopped node to where its history left its upstream's, so that it can follow.

use super::scene::{Deed, Scene};
use crate::cluster::{ControlState, Host, NodeName, Operation, Timeline};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct Rewind;

#[async_trait]
impl Deed for Rewind {
    fn signature() -> Signature {
        Signature {
            name: "rewind",
            summary: "Rewind a stopped node to where its history left its upstream's (pg_rewind): what it wrote since is lost. \
                      Its own settings stay. Interrupted, it is never started before another rewind, or a copy, has ended.",
            node: NodeRule::Required,
            inputs: vec![Field::required(
                "upstream",
                Type::Node,
                "whom it is to follow",
            )],
            outputs: vec![],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_hours(2),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let node = scene.node()?;
        let upstream = scene.required_node("upstream")?;
        let host = scene.cluster.host(&node).await?;
        if let Some(pid) = host.postmaster {
            return Err(Failure::new(
                TroubleKind::Conflict,
                format!("{node} runs (process {pid}): a server that runs is not rewound"),
            )
            .with_help("let a step with `action: retire` stop it first"));
        }
        if host.half_rewound {
            return Ok(Probe::Needed("a rewind of it did not end".to_owned()));
        }
        let theirs = scene.cluster.identify(&upstream).await?.timeline;
        if is_rewound(&host, theirs) {
            return Ok(Probe::Satisfied(
                Map::new(),
                "it is rewound already".to_owned(),
            ));
        }
        Ok(Probe::Needed(format!("it is to become as {upstream} is")))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let (node, upstream) = (scene.node()?, scene.required_node("upstream")?);
        let mut operations = settled(scene, &upstream).await?;
        operations.push(rewind(scene, node, upstream));
        Ok(operations)
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let (node, upstream) = (scene.node()?, scene.required_node("upstream")?);
        for operation in settled(scene, &upstream).await? {
            scene.perform(operation).await?;
        }
        let text = format!("{node} is being rewound to {upstream}; it may take long");
        scene.note("progress", text, serde_json::Value::Null).await;
        scene.perform(rewind(scene, node, upstream)).await?;
        Ok(Map::new())
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        let node = scene.node()?;
        let host = scene.cluster.host(&node).await?;
        if host.half_rewound || !host.standby_signal {
            return Err(Failure::new(
                TroubleKind::Unmet,
                format!(
                    "{node} still has the mark of a rewind that did not end, or no standby.signal"
                ),
            ));
        }
        Ok(given)
    }
}

/// As a rewind leaves it: to be recovered as a standby, from a checkpoint of the source's timeline.
fn is_rewound(host: &Host, theirs: Timeline) -> bool {
    let recovers = |c: &crate::cluster::ControlData| {
        c.state == ControlState::ArchiveRecovery && c.timeline == theirs
    };
    host.standby_signal && host.control.as_ref().is_some_and(recovers)
}

/// A primary's control data name the timeline before until its first checkpoint after the promotion, and a rewind goes by
/// those.
async fn settled(scene: &Scene<'_>, upstream: &NodeName) -> Result<Vec<Operation>, Failure> {
    let primary = !scene.server(upstream).await?.in_recovery;
    let checkpoint = Operation::Checkpoint {
        node: upstream.clone(),
    };
    Ok(primary.then_some(checkpoint).into_iter().collect())
}

fn rewind(scene: &Scene<'_>, node: NodeName, upstream: NodeName) -> Operation {
    Operation::Rewind {
        node,
        upstream,
        deadline: scene.time_left().saturating_sub(Duration::from_secs(15)),
    }
}
