//! Is the candidate fit to be a primary for its followers? Everything that would only show after the promotion.

use super::scene::{Deed, Scene, outputs};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct CheckCandidate;

#[async_trait]
impl Deed for CheckCandidate {
    fn signature() -> Signature {
        Signature {
            name: "check_candidate",
            summary: "Check that the candidate has senders and slots for its followers, and theirs will find its timeline.",
            node: NodeRule::Required,
            inputs: vec![Field::required(
                "followers",
                Type::List,
                "the nodes that are to follow it",
            )],
            outputs: vec![Field::required(
                "slots_free",
                Type::Integer,
                "slots that may still be created",
            )],
            effect: Some(EffectClass::Read),
            roles: vec![],
            timeout: Duration::from_secs(10),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("to be checked anew".to_owned()))
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let followers = scene.nodes_input("followers")?;
        let names = [
            "max_wal_senders",
            "wal_level",
            "recovery_target_timeline",
            "synchronized_standby_slots",
        ];
        let (settings, slots, server) = tokio::join!(
            scene.cluster.settings(&node, &names),
            scene.cluster.slots(&node),
            scene.cluster.server(&node)
        );
        let (settings, (slots, most), server) = (settings?, slots?, server?);
        let mut wrong = Vec::new();
        if !server.in_recovery {
            wrong.push("it is no standby".to_owned());
        }
        let value = |name: &str| {
            settings
                .get(name)
                .map(|s| s.value.as_str())
                .unwrap_or_default()
        };
        let senders: usize = value("max_wal_senders").parse().unwrap_or(0);
        if senders < followers.len() {
            wrong.push(format!(
                "max_wal_senders is {senders}, {} nodes are to follow",
                followers.len()
            ));
        }
        if value("wal_level") == "minimal" {
            wrong.push("wal_level is minimal: nothing could follow it".to_owned());
        }
        let missing = followers
            .iter()
            .filter(|f| {
                !slots
                    .iter()
                    .any(|slot| slot.name == scene.inventory().slot_of(f))
            })
            .count();
        let free = (most as usize).saturating_sub(slots.len());
        if missing > free {
            wrong.push(format!(
                "it has {free} free slots of {most}, {missing} are needed"
            ));
        }
        for follower in &followers {
            // A follower with another target would stay on the old timeline for ever.
            let theirs = scene
                .cluster
                .settings(follower, &["recovery_target_timeline"])
                .await;
            if let Ok(theirs) = theirs
                && let Some(target) = theirs
                    .get("recovery_target_timeline")
                    .filter(|s| s.value != "latest")
            {
                wrong.push(format!(
                    "recovery_target_timeline of {follower} is `{}`, not `latest`",
                    target.value
                ));
            }
        }
        if !value("synchronized_standby_slots").is_empty() {
            let text = format!(
                "logical senders on {node} will wait for the slots in synchronized_standby_slots: {}",
                value("synchronized_standby_slots")
            );
            scene.note("warning", text, serde_json::Value::Null).await;
        }
        let logical: Vec<&str> = slots
            .iter()
            .filter(|s| !s.physical)
            .map(|s| s.name.as_str())
            .collect();
        if logical.is_empty() && server.version >= 170_000 {
            scene
                .note(
                    "warning",
                    format!("{node} has no logical slots; subscribers may lose theirs"),
                    serde_json::Value::Null,
                )
                .await;
        }
        if wrong.is_empty() {
            return Ok(outputs([(
                "slots_free",
                i64::try_from(free).unwrap_or(i64::MAX).into(),
            )]));
        }
        Err(Failure {
            kind: TroubleKind::Conflict,
            ..Failure::refused(format!(
                "{node} is not fit to be primary: {}",
                wrong.join("; ")
            ))
        })
    }
}
