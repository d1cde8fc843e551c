//! Drop what is left on a former primary of slots that its successor has now: while they are there nothing is copied from
//! there to it, and they keep WAL that nobody reads (PostgreSQL 17 and later).

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{NodeName, Operation, Slot, SlotOrigin};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, Type};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct DropFailoverSlots;

#[async_trait]
impl Deed for DropFailoverSlots {
    fn signature() -> Signature {
        Signature {
            name: "drop_failover_slots",
            summary: "Drop on a standby that was a primary the logical slots with `failover` of which its upstream has one of the \
                      same name: they keep it from copying those (PostgreSQL 17 and later). Other slots are never touched.",
            node: NodeRule::Required,
            inputs: vec![Field::required("upstream", Type::Node, "what it follows")],
            outputs: vec![Field::required(
                "dropped",
                Type::Integer,
                "how many slots were dropped",
            )],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_secs(10),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let found = look(scene).await?;
        if found.is_empty() {
            return Ok(Probe::Satisfied(
                outputs([("dropped", 0_i64.into())]),
                "there are none".to_owned(),
            ));
        }
        Ok(Probe::Needed(
            "it has slots from when it was a primary".to_owned(),
        ))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let node = scene.node()?;
        let found = look(scene).await?;
        let idle = found.iter().filter(|slot| slot.active_pid.is_none());
        Ok(idle.map(|slot| drop_of(&node, slot)).collect())
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let (node, upstream) = (scene.node()?, scene.required_node("upstream")?);
        let mut dropped = 0_i64;
        for slot in look(scene).await? {
            if let Some(pid) = slot.active_pid {
                let text = format!(
                    "slot {} on {node} is {upstream}'s now, and process {pid} holds it: let its subscriber connect to \
                     {upstream}, then drop it; until then {node} gets no copy of it",
                    slot.name
                );
                scene.note("debt", text, serde_json::Value::Null).await;
            } else {
                scene.perform(drop_of(&node, &slot)).await?;
                dropped += 1;
            }
        }
        Ok(outputs([("dropped", dropped.into())]))
    }

    /// Nobody could go on with them: the upstream's are what subscribers use.
    async fn undo(&self, _scene: &Scene<'_>, _done: &[Done]) -> Result<Undone, Failure> {
        Ok(Undone::Nothing)
    }
}

fn drop_of(node: &NodeName, slot: &Slot) -> Operation {
    Operation::DropSlot {
        node: node.clone(),
        slot: slot.name.clone(),
    }
}

async fn look(scene: &Scene<'_>) -> Result<Vec<Slot>, Failure> {
    let (node, upstream) = (scene.node()?, scene.required_node("upstream")?);
    let failover = |slot: &Slot| !slot.physical && slot.failover;
    let (mut slots, _) = scene.cluster.slots(&node).await?;
    slots.retain(|slot| failover(slot) && slot.origin == SlotOrigin::Own);
    if slots.is_empty() || !scene.server(&node).await?.in_recovery {
        return Ok(Vec::new());
    }
    let (theirs, _) = scene.cluster.slots(&upstream).await?;
    slots.retain(|slot| theirs.iter().any(|s| failover(s) && s.name == slot.name));
    Ok(slots)
}
