//! Drop a slot that nobody needs any more, so that it does not keep WAL for ever.

use super::scene::{Deed, Scene};
use crate::cluster::{Operation, SlotName};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct DropSlot;

#[async_trait]
impl Deed for DropSlot {
    fn signature() -> Signature {
        Signature {
            name: "drop_slot",
            summary: "Drop the replication slot that a former follower used on this node, if nobody holds it.",
            node: NodeRule::Required,
            inputs: vec![Field::required("for", Type::Node, "the former follower")],
            outputs: vec![],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_secs(10),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let node = scene.node()?;
        let name = slot_name(scene)?;
        let (slots, _) = scene.cluster.slots(&node).await?;
        match slots.iter().find(|slot| slot.name == name) {
            None => Ok(Probe::Satisfied(Map::new(), "there is none".to_owned())),
            Some(slot) => match slot.active_pid {
                Some(pid) => Err(Failure::new(
                    TroubleKind::Conflict,
                    format!("slot {name} on {node} is held by process {pid}"),
                )
                .with_help(
                    "its follower still streams from here; let it follow another upstream first",
                )),
                None => Ok(Probe::Needed("nobody holds it".to_owned())),
            },
        }
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        Ok(vec![Operation::DropSlot {
            node: scene.node()?,
            slot: slot_name(scene)?,
        }])
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        scene
            .perform(Operation::DropSlot {
                node: scene.node()?,
                slot: slot_name(scene)?,
            })
            .await?;
        Ok(Map::new())
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        let node = scene.node()?;
        let name = slot_name(scene)?;
        let (slots, _) = scene.cluster.slots(&node).await?;
        if slots.iter().any(|slot| slot.name == name) {
            return Err(Failure::new(
                TroubleKind::Unmet,
                format!("slot {name} is still on {node}"),
            ));
        }
        Ok(given)
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        let node = scene.node()?;
        let slot = slot_name(scene)?;
        if done.is_empty() {
            return Ok(Undone::Nothing);
        }
        scene
            .perform(Operation::CreateSlot {
                node: node.clone(),
                slot: slot.clone(),
            })
            .await?;
        Ok(Undone::Done(format!(
            "slot {slot} on {node} is there again; the WAL it kept before may be gone"
        )))
    }
}

fn slot_name(scene: &Scene<'_>) -> Result<SlotName, Failure> {
    Ok(scene.inventory().slot_of(&scene.required_node("for")?))
}
