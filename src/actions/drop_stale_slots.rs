//! Drop the slots that a follow leaves behind (rule 10): nobody owns them, and they would keep WAL for ever.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{NodeName, Operation, Slot, SlotName};
use crate::engine::{Done, Failure, Owed, PAID, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, Type};
use async_trait::async_trait;
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct DropStaleSlots;

/// How long a walsender may hold the slot of a follower that has left.
const LETTING_GO: Duration = Duration::from_secs(5);

#[async_trait]
impl Deed for DropStaleSlots {
    fn signature() -> Signature {
        Signature {
            name: "drop_stale_slots",
            summary: "Drop the slots that a follow leaves behind: the node's own on nodes that it does not follow, and on itself those of nodes that do not follow it.",
            node: NodeRule::Required,
            inputs: vec![Field::required(
                "upstream",
                Type::Node,
                "what the node follows; its slot there stays",
            )],
            outputs: vec![Field::required(
                "dropped",
                Type::Integer,
                "how many slots were dropped",
            )],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_secs(20),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let found = look(scene).await?;
        if found.stale.is_empty() && found.debts.is_empty() {
            return Ok(Probe::Satisfied(result(0), "there are none".to_owned()));
        }
        Ok(Probe::Needed("slots may have been left behind".to_owned()))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let found = look(scene).await?;
        Ok(found.stale.iter().map(Stale::drop).collect())
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let until = Instant::now() + LETTING_GO.min(scene.time_left() / 2);
        let mut found = look(scene).await?;
        while found.stale.iter().any(|s| s.holder.is_some()) && Instant::now() < until {
            scene.pause(Duration::from_millis(10)).await?;
            found = look(scene).await?;
        }
        let mut dropped = 0;
        for stale in &found.stale {
            let Stale { on, slot, holder } = stale;
            if let Some(pid) = holder {
                let text = format!(
                    "slot {slot} on {on} is not needed and process {pid} holds it: drop it when that has ended, it keeps WAL"
                );
                found.debts.push((text, owed(on, slot)));
            } else {
                scene.perform(stale.drop()).await?;
                dropped += 1;
            }
        }
        for (text, owed) in found.debts {
            scene.note("debt", text, owed.data()).await;
        }
        Ok(result(dropped))
    }

    /// What earlier runs left to do about the node is done: it follows, and no slot on it keeps WAL for nobody.
    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        let node = scene.node()?;
        let upstream = scene.required_node("upstream")?;
        let found = look(scene).await?;
        let on_it = |owed: &Owed| matches!(owed, Owed::Slot { on, .. } if on == node.as_str());
        let stale = found.stale.iter().any(|stale| stale.on == node);
        if !stale && !found.debts.iter().any(|(_, owed)| on_it(owed)) {
            let text = format!("{node} holds no slot that nobody needs");
            let (on, slot) = (node.to_string(), None);
            scene.note(PAID, text, Owed::Slot { on, slot }.data()).await;
        }
        let text = format!("{node} is a standby of {upstream}");
        let stopped = Owed::Stop {
            node: node.to_string(),
        };
        scene.note(PAID, text, stopped.data()).await;
        Ok(given)
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        let mut again = Vec::new();
        for operation in done
            .iter()
            .filter_map(|d| serde_json::from_value(d.forecast.operation.clone()).ok())
        {
            if let Operation::DropSlot { node, slot } = operation {
                again.push(format!("{slot} on {node}"));
                scene.perform(Operation::CreateSlot { node, slot }).await?;
            }
        }
        if again.is_empty() {
            return Ok(Undone::Nothing);
        }
        Ok(Undone::Done(format!(
            "these slots are there again, the WAL that they kept may be gone: {}",
            again.join(", ")
        )))
    }
}

fn result(dropped: i64) -> Map {
    outputs([("dropped", dropped.into())])
}

/// A slot that nobody needs.
struct Stale {
    on: NodeName,
    slot: SlotName,
    holder: Option<u32>,
}

impl Stale {
    fn of(on: &NodeName, slot: &Slot) -> Self {
        Self {
            on: on.clone(),
            slot: slot.name.clone(),
            holder: slot.active_pid,
        }
    }

    fn drop(&self) -> Operation {
        Operation::DropSlot {
            node: self.on.clone(),
            slot: self.slot.clone(),
        }
    }
}

/// What there is to drop, and what could not be told.
#[derive(Default)]
struct Found {
    stale: Vec<Stale>,
    debts: Vec<(String, Owed)>,
}

fn owed(on: &NodeName, slot: &SlotName) -> Owed {
    Owed::Slot {
        on: on.to_string(),
        slot: Some(slot.to_string()),
    }
}

/// Looks everywhere at once. Slots with other names than those of the cluster's nodes are somebody else's.
async fn look(scene: &Scene<'_>) -> Result<Found, Failure> {
    let node = scene.node()?;
    let upstream = scene.required_node("upstream")?;
    let others: Vec<&NodeName> = scene
        .inventory()
        .nodes
        .keys()
        .filter(|n| **n != node)
        .collect();
    let elsewhere = others.iter().filter(|n| ***n != upstream);
    let (elsewhere, here) = tokio::join!(
        join_all(elsewhere.map(|other| own_slot(scene, &node, other))),
        slots_here(scene, &node, &others)
    );
    let mut found = here?;
    for other in elsewhere {
        match other {
            Ok(stale) => found.stale.extend(stale),
            Err(debt) => found.debts.push(debt),
        }
    }
    Ok(found)
}

/// The node's slot on a node that it does not follow. An error is what is left to do.
async fn own_slot(
    scene: &Scene<'_>,
    node: &NodeName,
    other: &NodeName,
) -> Result<Option<Stale>, (String, Owed)> {
    let name = scene.inventory().slot_of(node);
    match scene.cluster.slots(other).await {
        Ok((slots, _)) => Ok(slots
            .iter()
            .find(|slot| slot.physical && slot.name == name)
            .map(|slot| Stale::of(other, slot))),
        Err(_) => Err((
            format!(
                "{other} does not answer: if it has a slot {name}, nobody needs it; it is dropped when {other} itself \
                 follows, otherwise drop it"
            ),
            owed(other, &name),
        )),
    }
}

/// The slots of other nodes on the node, which is a standby now, where their owners do not use them.
async fn slots_here(
    scene: &Scene<'_>,
    node: &NodeName,
    others: &[&NodeName],
) -> Result<Found, Failure> {
    let (slots, _) = scene.cluster.slots(node).await?;
    let idle = |slot: &&Slot| slot.physical && slot.active_pid.is_none();
    let owned = others.iter().filter_map(|owner| {
        let name = scene.inventory().slot_of(owner);
        let slot = slots.iter().filter(idle).find(|slot| slot.name == name)?;
        Some((*owner, slot))
    });
    let looks =
        owned.map(|(owner, slot)| async move { (owner, slot, uses(scene, owner, node).await) });
    let mut found = Found::default();
    for (owner, slot, used) in join_all(looks).await {
        match used {
            Some(true) => {}
            Some(false) => found.stale.push(Stale::of(node, slot)),
            None => found.debts.push((
                format!(
                    "slot {} on {node} is kept: whom {owner} follows is unknown; let {owner} follow, or drop the slot",
                    slot.name
                ),
                owed(node, &slot.name),
            )),
        }
    }
    Ok(found)
}

/// Whether `owner` receives from `node`, or is set to; none where nobody can tell.
async fn uses(scene: &Scene<'_>, owner: &NodeName, node: &NodeName) -> Option<bool> {
    let (server, upstream) =
        tokio::join!(scene.cluster.server(owner), scene.cluster.upstream(owner));
    let is_here = |host: &str, port: u16| {
        scene
            .inventory()
            .node_at(host, port)
            .is_some_and(|n| n.name == *node)
    };
    if let Ok(server) = server {
        if !server.in_recovery {
            return Some(false);
        }
        if server.receiver.is_some_and(|r| is_here(&r.host, r.port)) {
            return Some(true);
        }
    }
    upstream
        .ok()
        .flatten()
        .map(|(host, port)| is_here(&host, port))
}
