//! What every node has besides its row of the table: where it is set to receive from, whom its commits wait for, its slots.

use crate::cluster::{Inventory, NodeName, SlotName, WalStatus};
use crate::simulate::{NodeFacts, Snapshot};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The details of the nodes that answer.
pub type Details = BTreeMap<NodeName, NodeDetail>;

/// What a node has besides its row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeDetail {
    /// The node that `primary_conninfo` names, or the address of a stranger; none where it is empty.
    pub follows: Option<String>,
    /// `primary_slot_name`; none where it is not known.
    pub primary_slot_name: Option<String>,
    /// Whether there is a `restore_command`; none where it is not known.
    pub restore_command: Option<bool>,
    /// `synchronous_standby_names`; none where it is not known.
    pub synchronous_standby_names: Option<String>,
    /// Its slots, by name.
    pub slots: BTreeMap<SlotName, SlotDetail>,
}

/// A slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotDetail {
    /// It is physical, not logical.
    pub physical: bool,
    /// A process holds it.
    pub active: bool,
    /// The WAL that it promised to keep is gone.
    pub lost: bool,
}

/// The details as these facts tell them.
pub(super) fn details(inventory: &Inventory, snapshot: &Snapshot) -> Details {
    let nodes = snapshot.nodes.iter();
    nodes
        .filter_map(|(name, facts)| Some((name.clone(), detail(inventory, facts)?)))
        .collect()
}

/// The details at the end of a simulation that began with these facts: what was not known of a node's settings then is
/// not known of it now, whatever the simulated server was given in their place.
pub(super) fn foretold(inventory: &Inventory, began: &Snapshot, ended: &Snapshot) -> Details {
    let mut details = details(inventory, ended);
    for (name, facts) in &began.nodes {
        if facts.settings.known().is_none()
            && let Some(detail) = details.get_mut(name)
        {
            detail.restore_command = None;
            detail.synchronous_standby_names = None;
        }
    }
    details
}

fn detail(inventory: &Inventory, facts: &NodeFacts) -> Option<NodeDetail> {
    facts.server.known()?;
    let settings = facts.settings.known();
    let text = |name: &str| Some(settings?.get(name)?.value.clone());
    let name_of = |(host, port): &(String, u16)| {
        let node = inventory.node_at(host, *port);
        node.map_or_else(|| format!("{host}:{port}"), |node| node.name.to_string())
    };
    let slots = facts.slots.known().map(|(slots, _)| slots.as_slice());
    Some(NodeDetail {
        follows: facts.upstream.known()?.as_ref().map(name_of),
        primary_slot_name: text("primary_slot_name"),
        restore_command: settings.and_then(|all| Some(all.get("restore_command")?.set)),
        synchronous_standby_names: text("synchronous_standby_names"),
        slots: slots
            .unwrap_or_default()
            .iter()
            .map(|slot| {
                let detail = SlotDetail {
                    physical: slot.physical,
                    active: slot.active_pid.is_some(),
                    lost: slot.wal_status == WalStatus::Lost,
                };
                (slot.name.clone(), detail)
            })
            .collect(),
    })
}

/// What of it changes, a sentence each. Of a node that did not answer before, everything that it then has.
pub(crate) fn changes(before: &Details, after: &Details) -> Vec<(NodeName, String)> {
    let mut changes = Vec::new();
    for (node, now) in after {
        let then = before.get(node);
        let mut say = |what: &str, then: Option<String>, now: Option<String>| {
            let Some(now) = now else { return };
            match then {
                Some(then) if then == now => {}
                Some(then) => changes.push((node.clone(), format!("{what}: {then} → {now}"))),
                None => changes.push((node.clone(), format!("{what}: {now}"))),
            }
        };
        let follows = |detail: &NodeDetail| detail.follows.clone().or(Some("nobody".to_owned()));
        say("follows", then.and_then(follows), follows(now));
        let slot = |detail: &NodeDetail| detail.primary_slot_name.as_deref().map(or_none);
        say("primary_slot_name", then.and_then(slot), slot(now));
        let waits = |detail: &NodeDetail| detail.synchronous_standby_names.as_deref().map(or_none);
        say(
            "synchronous_standby_names",
            then.and_then(waits),
            waits(now),
        );
        let restores = |detail: &NodeDetail| {
            let set = detail.restore_command?;
            Some(if set { "set" } else { "none" }.to_owned())
        };
        say("restore_command", then.and_then(restores), restores(now));
        let slots = now
            .slots
            .keys()
            .chain(then.iter().flat_map(|t| t.slots.keys()));
        let mut slots: Vec<&SlotName> = slots.collect();
        slots.sort();
        slots.dedup();
        for name in slots {
            let how = |detail: &NodeDetail| Some(how(detail.slots.get(name)));
            say(&format!("slot {name}"), then.and_then(how), how(now));
        }
    }
    changes
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "none" } else { text }.to_owned()
}

fn how(slot: Option<&SlotDetail>) -> String {
    let Some(slot) = slot else {
        return "none".to_owned();
    };
    let held = if slot.active { "in use" } else { "not in use" };
    let physical = if slot.physical { "" } else { ", logical" };
    let lost = if slot.lost { ", lost" } else { "" };
    format!("{held}{physical}{lost}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(follows: Option<&str>, slots: &[(&str, bool)]) -> NodeDetail {
        NodeDetail {
            follows: follows.map(str::to_owned),
            primary_slot_name: Some(String::new()),
            restore_command: Some(false),
            synchronous_standby_names: None,
            slots: slots
                .iter()
                .map(|(name, active)| {
                    let detail = SlotDetail {
                        physical: true,
                        active: *active,
                        lost: false,
                    };
                    (SlotName::parse(name).unwrap(), detail)
                })
                .collect(),
        }
    }

    #[test]
    fn only_what_changes_is_told_and_of_one_that_was_silent_everything() {
        let name = |text: &str| NodeName::parse(text).unwrap();
        let before = Details::from([(name("n2"), node(Some("n1"), &[("a", true), ("b", true)]))]);
        let after = Details::from([
            (name("n2"), node(None, &[("b", true), ("c", false)])),
            (name("n3"), node(Some("n2"), &[])),
        ]);
        let told: Vec<String> = changes(&before, &after)
            .into_iter()
            .map(|(node, text)| format!("{node} {text}"))
            .collect();
        assert_eq!(
            told,
            [
                "n2 follows: n1 → nobody",
                "n2 slot a: in use → none",
                "n2 slot c: none → not in use",
                "n3 follows: n2",
                "n3 primary_slot_name: none",
                "n3 restore_command: none",
            ]
        );
    }
}
