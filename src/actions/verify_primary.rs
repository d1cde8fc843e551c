//! Evidence that a node is the primary: it is out of recovery, on a new timeline, and takes a write.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{Lsn, Operation};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Role, Signature, TroubleKind, Type};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct VerifyPrimary;

#[async_trait]
impl Deed for VerifyPrimary {
    fn signature() -> Signature {
        Signature {
            name: "verify_primary",
            summary: "Prove that a node is primary: it writes, on a timeline after the given one.",
            node: NodeRule::Required,
            inputs: vec![Field::optional(
                "after",
                Type::Integer,
                "the timeline that the promotion ended",
            )],
            outputs: vec![
                Field::required("timeline", Type::Integer, "its timeline"),
                Field::required("lsn", Type::Lsn, "a position after the write"),
                Field::required(
                    "host",
                    Type::String,
                    "its host, as the site file has it: for steps that point clients to it",
                ),
                Field::required("port", Type::Integer, "its port"),
            ],
            effect: Some(EffectClass::Idempotent),
            roles: vec![Role::Verification],
            timeout: Duration::from_secs(30),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let node = scene.node()?;
        if scene.cluster.in_recovery(&node).await? {
            return Err(Failure::new(
                TroubleKind::Unmet,
                format!("{node} is in recovery: it is no primary"),
            ));
        }
        Ok(Probe::Needed("a write is the proof".to_owned()))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        Ok(vec![Operation::Mark {
            node: scene.node()?,
        }])
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let returned = scene
            .perform(Operation::Mark { node: node.clone() })
            .await?;
        let lsn: Lsn = mark_of(&returned)?;
        let timeline = scene.cluster.identify(&node).await?.timeline;
        // Templates cannot look a node up whose name is known only to the run.
        let about = scene.inventory().node(&node).ok_or_else(|| {
            Failure::new(
                TroubleKind::Failed,
                format!("{node} is not in the site file"),
            )
        })?;
        Ok(outputs([
            ("host", about.host.as_str().into()),
            ("port", i64::from(about.port).into()),
            ("timeline", i64::from(timeline.0).into()),
            ("lsn", lsn.into()),
        ]))
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        let timeline = match given.get("timeline") {
            Some(crate::playbook::Value::Integer(timeline)) => *timeline,
            _ => 0,
        };
        match scene.integer("after") {
            Some(after) if timeline <= after => Err(Failure::new(
                TroubleKind::Unmet,
                format!(
                    "{} is on timeline {timeline}, a promotion would have brought it beyond {after}",
                    scene.node()?
                ),
            )),
            _ => Ok(given),
        }
    }
}

/// The position that a mark returned.
pub(super) fn mark_of(returned: &serde_json::Value) -> Result<Lsn, Failure> {
    returned
        .get("lsn")
        .and_then(serde_json::Value::as_str)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            Failure::new(
                TroubleKind::Failed,
                "the server did not say where the mark is",
            )
        })
}
