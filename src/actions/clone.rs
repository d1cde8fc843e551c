//! Replace a stopped node's data by a new copy of its upstream's.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{NodeName, Operation};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type, Value};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct Clone;

#[async_trait]
impl Deed for Clone {
    fn signature() -> Signature {
        Signature {
            name: "clone",
            summary: "Replace a stopped node's data by a new copy of its upstream's (pg_basebackup), made beside them. Its own \
                      settings stay. Interrupted, it leaves the former data as they were.",
            node: NodeRule::Required,
            inputs: vec![
                Field::required("upstream", Type::Node, "whom it is to follow"),
                Field::optional(
                    "slot",
                    Type::String,
                    "the slot there that keeps the WAL of the copy",
                ),
                Field::optional(
                    "keep",
                    Type::Boolean,
                    "the former data stay under another name, which is told; they do unless this is false",
                ),
            ],
            outputs: vec![Field::required(
                "old",
                Type::String,
                "where the former data lie now; empty where they were removed",
            )],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_hours(12),
        }
    }

    /// A copy that was made a moment ago looks like any other: whether it is needed is the playbook's to say.
    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let node = scene.node()?;
        // While the copy takes the place of the former data there is no directory for a moment, and a runner may have died
        // in it.
        if let Ok(host) = scene.cluster.host(&node).await
            && let Some(pid) = host.postmaster
        {
            return Err(Failure::new(
                TroubleKind::Conflict,
                format!(
                    "{node} runs (process {pid}): the data of a server that runs are not replaced"
                ),
            )
            .with_help("let a step with `action: retire` stop it first"));
        }
        Ok(Probe::Needed("its data are to be replaced".to_owned()))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        Ok(vec![copy(scene).await?])
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let (node, upstream) = (scene.node()?, scene.required_node("upstream")?);
        let text = format!("{node} is being copied from {upstream}; it may take long");
        scene.note("progress", text, serde_json::Value::Null).await;
        let answer = scene.perform(copy(scene).await?).await?;
        let old = answer
            .get("old")
            .and_then(|v| v.as_str())
            .unwrap_or_default();
        if !old.is_empty() {
            let text = format!(
                "the former data of {node} lie in {old}; remove them when nobody needs them"
            );
            scene
                .note(
                    "kept",
                    text,
                    serde_json::json!({ "node": node, "path": old }),
                )
                .await;
        }
        Ok(outputs([("old", old.into())]))
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        let (node, upstream) = (scene.node()?, scene.required_node("upstream")?);
        let (host, theirs) = (
            scene.cluster.host(&node).await?,
            scene.cluster.identify(&upstream).await?,
        );
        let system = host.control.as_ref().map(|c| c.system);
        if system != Some(theirs.system) || !host.standby_signal || host.half_rewound {
            return Err(Failure::new(
                TroubleKind::Unmet,
                format!("what lies in the data directory of {node} is not the copy of {upstream}"),
            ));
        }
        Ok(given)
    }
}

async fn copy(scene: &Scene<'_>) -> Result<Operation, Failure> {
    let (node, upstream): (NodeName, NodeName) = (scene.node()?, scene.required_node("upstream")?);
    let slot = super::set_upstream::slot(scene)?;
    Ok(Operation::Clone {
        tablespaces: scene.cluster.tablespaces(&upstream).await?,
        node,
        upstream,
        slot,
        owner: scene.step.run.to_string(),
        keep: *scene.step.inputs.get("keep") != Value::Boolean(false),
        deadline: scene.time_left().saturating_sub(Duration::from_secs(15)),
    })
}
