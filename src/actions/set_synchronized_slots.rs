//! Let subscribers wait for the standbys that there are, where the site lets them wait (release 17 and later).
//!
//! What `synchronized_standby_slots` names must be there: a name without a slot stops every subscriber of a slot with
//! `failover`, and an empty setting lets them get ahead of the next primary. Whether it is used at all is the site's to say:
//! an empty one stays empty.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{NodeName, Operation, PromotePolicy, SlotName};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, Type};
use async_trait::async_trait;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) struct SetSynchronizedSlots;

const NAME: &str = "synchronized_standby_slots";

#[async_trait]
impl Deed for SetSynchronizedSlots {
    fn signature() -> Signature {
        Signature {
            name: "set_synchronized_slots",
            summary: "Where a primary makes subscribers wait for standbys (synchronized_standby_slots, PostgreSQL 17 and later), \
                      name those that stream from it and may be promoted. Where the setting is empty it stays so.",
            node: NodeRule::Required,
            inputs: vec![Field::optional(
                "former",
                Type::Node,
                "where the setting is empty and is not on this node, such as the primary before, it is used all the same",
            )],
            outputs: vec![Field::required(
                "slots",
                Type::String,
                "the value that is set",
            )],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_secs(10),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let satisfied = |slots: &str, why: &str| {
            Ok(Probe::Satisfied(
                outputs([("slots", slots.into())]),
                why.to_owned(),
            ))
        };
        match wanted(scene).await? {
            None => satisfied("", "it is not used"),
            Some(wanted) if wanted.is_set() => satisfied(&wanted.text(), "it is set already"),
            Some(wanted) => Ok(Probe::Needed(format!(
                "it is `{}`, it should be `{}`",
                wanted.before,
                wanted.text()
            ))),
        }
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let node = scene.node()?;
        let wanted = wanted(scene).await?;
        Ok(wanted.into_iter().map(|w| w.operation(&node)).collect())
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let Some(wanted) = wanted(scene).await? else {
            return Ok(outputs([("slots", "".into())]));
        };
        scene.perform(wanted.operation(&node)).await?;
        for slot in &wanted.gone {
            let text = format!(
                "subscribers of {node} no longer wait for {slot}, which is not there: make it and name it in {NAME}, where \
                 somebody needs that"
            );
            scene.note("debt", text, Json::Null).await;
        }
        if wanted.slots.is_empty() {
            let text = format!(
                "subscribers of {node} wait for no standby and may get ahead of the next primary: no standby streams; the \
                 follow of one that has {NAME} in its settings sets it"
            );
            scene.note("debt", text, Json::Null).await;
        }
        Ok(outputs([("slots", wanted.text().as_str().into())]))
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        let node = scene.node()?;
        let goal = given.get("slots").and_then(|v| v.as_str());
        let goal = goal.unwrap_or_default().to_owned();
        scene
            .until(|| async {
                let set = current(scene, &node).await?.unwrap_or_default();
                Ok(if listed(&set) == listed(&goal) {
                    Ok(())
                } else {
                    Err(format!("it is `{set}`, not `{goal}`"))
                })
            })
            .await?;
        Ok(given)
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        let before = done.iter().find_map(|d| {
            let operation = serde_json::from_value(d.forecast.operation.clone());
            match operation {
                Ok(Operation::SetSynchronizedSlots { before, .. }) => Some(before),
                _ => None,
            }
        });
        let Some(before) = before else {
            return Ok(Undone::Nothing);
        };
        let node = scene.node()?;
        let (there, _) = scene.cluster.slots(&node).await?;
        let mut slots = listed(&before);
        slots.retain(|name| there.iter().any(|s| s.physical && s.name == *name));
        scene
            .perform(Operation::SetSynchronizedSlots {
                node: node.clone(),
                slots,
                before: String::new(),
            })
            .await?;
        Ok(Undone::Done(format!(
            "{NAME} of {node} is as it was, less the slots that are not there"
        )))
    }
}

/// What is to be set.
struct Wanted {
    before: String,
    slots: Vec<SlotName>,
    /// Named, nobody's of the cluster, and not there.
    gone: Vec<SlotName>,
}

impl Wanted {
    fn text(&self) -> String {
        let names: Vec<&str> = self.slots.iter().map(SlotName::as_str).collect();
        names.join(", ")
    }

    fn is_set(&self) -> bool {
        let set = |slots: &[SlotName]| slots.iter().cloned().collect::<BTreeSet<_>>();
        set(&listed(&self.before)) == set(&self.slots)
    }

    fn operation(&self, node: &NodeName) -> Operation {
        Operation::SetSynchronizedSlots {
            node: node.clone(),
            slots: self.slots.clone(),
            before: self.before.clone(),
        }
    }
}

/// None where the server does not have the setting, or the site does not use it.
async fn wanted(scene: &Scene<'_>) -> Result<Option<Wanted>, Failure> {
    let node = scene.node()?;
    let Some(before) = current(scene, &node).await? else {
        return Ok(None);
    };
    let mut names = listed(&before);
    if names.is_empty()
        && let Some(former) = scene.node_input("former")?
        && former != node
        && let Ok(Some(text)) = current(scene, &former).await
    {
        names = listed(&text);
    }
    if names.is_empty() {
        return Ok(None);
    }
    let (slots, senders) = tokio::join!(scene.cluster.slots(&node), scene.cluster.senders(&node));
    let ((slots, _), senders) = (slots?, senders?);
    let there = |name: &SlotName| slots.iter().any(|s| s.physical && s.name == *name);
    let inventory = scene.inventory();
    let ours = |name: &SlotName| {
        inventory
            .nodes
            .keys()
            .any(|n| inventory.slot_of(n) == *name)
    };
    let (kept, gone): (Vec<SlotName>, Vec<SlotName>) = names
        .into_iter()
        .filter(|name| !ours(name))
        .partition(|name| there(name));
    let streams = |n: &NodeName| {
        senders
            .iter()
            .any(|s| s.application == n.as_str() && s.state == "streaming")
    };
    let standbys = inventory
        .nodes
        .values()
        .filter(|n| n.name != node && n.promote != PromotePolicy::Never && streams(&n.name));
    let slots = standbys.map(|n| inventory.slot_of(&n.name)).filter(there);
    Ok(Some(Wanted {
        before,
        slots: slots.chain(kept).collect(),
        gone,
    }))
}

/// The running value; none where the server knows no such setting.
async fn current(scene: &Scene<'_>, node: &NodeName) -> Result<Option<String>, Failure> {
    let mut settings = scene.cluster.settings(node, &[NAME]).await?;
    Ok(settings.remove(NAME).map(|setting| setting.value))
}

/// The slots that a value names.
pub(super) fn listed(value: &str) -> Vec<SlotName> {
    let names = value.split(',').map(|name| name.trim().trim_matches('"'));
    names
        .filter_map(|name| SlotName::parse(name).ok())
        .collect()
}
