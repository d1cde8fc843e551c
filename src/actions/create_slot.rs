//! A physical slot on the upstream, before the follower comes: a slot made later costs a whole retry interval.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{NodeName, Operation, Slot, SlotName, WalStatus};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type, Value};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct CreateSlot;

#[async_trait]
impl Deed for CreateSlot {
    fn signature() -> Signature {
        Signature {
            name: "create_slot",
            summary: "Create the replication slot that a follower uses on this node.",
            node: NodeRule::Required,
            inputs: vec![
                Field::required("for", Type::Node, "the follower"),
                Field::optional(
                    "bounded",
                    Type::Boolean,
                    "only where max_slot_wal_keep_size bounds what it keeps: for one that may stay away",
                ),
            ],
            outputs: vec![
                Field::required("slot", Type::String, "the slot's name"),
                Field::required(
                    "there",
                    Type::Boolean,
                    "false: nothing would bound it, and it was left out",
                ),
            ],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_secs(10),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let node = scene.node()?;
        let name = slot_name(scene)?;
        let (slots, most) = scene.cluster.slots(&node).await?;
        let found = slots.iter().find(|slot| slot.name == name);
        if let Some(pid) = found.and_then(|slot| slot.active_pid)
            && let Some(holder) = stranger(scene, &node, &name, pid).await?
        {
            let message = format!("slot {name} on {node} is held by {holder}");
            return Err(Failure {
                kind: TroubleKind::Conflict,
                ..Failure::refused(message)
            }
            .with_help(
                "nothing was changed; end that process, or give it a slot of its own: only one can hold a slot",
            ));
        }
        match found {
            Some(slot) if usable(slot) => Ok(Probe::Satisfied(
                named(&name, true),
                "it exists and keeps its WAL".to_owned(),
            )),
            Some(Slot {
                physical: false, ..
            }) => Err(Failure::new(
                TroubleKind::Conflict,
                format!("slot {name} on {node} exists and is logical"),
            )
            .with_help("drop or rename it; pgbaton needs a physical slot of this name")),
            Some(Slot {
                active_pid: Some(pid),
                ..
            }) => Err(Failure::new(
                TroubleKind::Conflict,
                format!("slot {name} on {node} has lost its WAL and process {pid} holds it"),
            )),
            Some(_) => Ok(Probe::Needed(
                "it exists and has lost its WAL: it is made anew".to_owned(),
            )),
            None if scene.flag("bounded") && !bounded(scene, &node).await? => Ok(Probe::Satisfied(
                named(&name, false),
                "nothing bounds what it would keep for a node that is away".to_owned(),
            )),
            None if slots.len() >= most as usize => Err(Failure::new(
                TroubleKind::Conflict,
                format!(
                    "{node} has no free slot: {} of {most} are in use",
                    slots.len()
                ),
            )
            .with_help(
                "drop slots that nobody needs, or raise max_replication_slots (needs a restart)",
            )),
            None => Ok(Probe::Needed("it does not exist".to_owned())),
        }
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        Ok(vec![Operation::CreateSlot {
            node: scene.node()?,
            slot: slot_name(scene)?,
        }])
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let name = slot_name(scene)?;
        let (slots, _) = scene.cluster.slots(&node).await?;
        if slots.iter().any(|slot| slot.name == name && !usable(slot)) {
            scene
                .perform(Operation::DropSlot {
                    node: node.clone(),
                    slot: name.clone(),
                })
                .await?;
        }
        scene
            .perform(Operation::CreateSlot {
                node,
                slot: name.clone(),
            })
            .await?;
        Ok(named(&name, true))
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        if given.get("there") == Some(&Value::Boolean(false)) {
            return Ok(given);
        }
        let node = scene.node()?;
        let name = slot_name(scene)?;
        let (slots, _) = scene.cluster.slots(&node).await?;
        if slots.iter().any(|slot| slot.name == name && usable(slot)) {
            return Ok(given);
        }
        Err(Failure::new(
            TroubleKind::Unmet,
            format!("slot {name} is not on {node}, or keeps no WAL"),
        ))
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        let node = scene.node()?;
        let name = slot_name(scene)?;
        if done.is_empty() {
            return Ok(Undone::Nothing);
        }
        // The follower that was just put back lets go of it in its own time.
        let there = scene
            .until(|| async {
                let (slots, _) = scene.cluster.slots(&node).await?;
                Ok(match slots.iter().find(|slot| slot.name == name) {
                    Some(Slot {
                        active_pid: Some(pid),
                        ..
                    }) => Err(format!("process {pid} holds it")),
                    found => Ok(found.is_some()),
                })
            })
            .await;
        match there {
            Ok(false) => Ok(Undone::Nothing),
            Ok(true) => {
                scene
                    .perform(Operation::DropSlot {
                        node: node.clone(),
                        slot: name.clone(),
                    })
                    .await?;
                Ok(Undone::Done(format!("slot {name} on {node} is dropped")))
            }
            Err(failure) => Ok(Undone::Failed(format!(
                "slot {name} on {node} stays: {}; drop it when it is not needed, it keeps WAL",
                failure.message
            ))),
        }
    }
}

fn named(name: &SlotName, there: bool) -> Map {
    outputs([("slot", name.as_str().into()), ("there", there.into())])
}

/// Whether a slot that nobody uses stops to keep WAL at some point, in place of filling the disk of a primary.
async fn bounded(scene: &Scene<'_>, node: &NodeName) -> Result<bool, Failure> {
    let name = "max_slot_wal_keep_size";
    let settings = scene.cluster.settings(node, &[name]).await?;
    let most = settings.get(name).and_then(|s| s.value.parse::<i64>().ok());
    Ok(most.is_some_and(|most| most >= 0))
}

fn slot_name(scene: &Scene<'_>) -> Result<SlotName, Failure> {
    Ok(scene.inventory().slot_of(&scene.required_node("for")?))
}

/// Who holds the slot, where that is not the follower: a walsender under its name, or the one that its receiver talks to.
async fn stranger(
    scene: &Scene<'_>,
    node: &NodeName,
    slot: &SlotName,
    pid: u32,
) -> Result<Option<String>, Failure> {
    let follower = scene.required_node("for")?;
    let (senders, server) =
        tokio::join!(scene.cluster.senders(node), scene.cluster.server(&follower));
    let senders = senders?;
    let sender = senders.iter().find(|sender| sender.pid == pid);
    if sender.is_some_and(|sender| sender.application == follower.as_str()) {
        return Ok(None);
    }
    let receives_here = server.ok().and_then(|s| s.receiver).is_some_and(|r| {
        r.slot.as_ref() == Some(slot)
            && scene
                .inventory()
                .node_at(&r.host, r.port)
                .is_some_and(|n| n.name == *node)
    });
    if receives_here {
        return Ok(None);
    }
    let program = sender.map_or_else(String::new, |s| format!(" (`{}`)", s.application));
    Ok(Some(format!("process {pid}{program}, not by {follower}")))
}

/// A physical slot that still has the WAL it promised.
fn usable(slot: &Slot) -> bool {
    slot.physical
        && slot.restart.is_some()
        && !matches!(slot.wal_status, WalStatus::Lost | WalStatus::Unreserved)
}
