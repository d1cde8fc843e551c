//! Worlds that begin where a live cluster stands: settings, slots, memories and connections of a node.

use super::conf::{CONNINFO, Conf, RESTORE, SLOT_NAME, SYNC_NAMES, Target, Value};
use super::ids::NodeId;
use super::memory::Sighting;
use super::node::{Saved, SlotState};
use super::seed::{Seeding, Slots};
use super::snapshot::{NodeFacts, Snapshot};
use crate::cluster::{Node as Entry, NodeName, Remembered, Setting, Timed, WalStatus};
use std::collections::BTreeMap;
use std::time::Duration;

impl Seeding {
    pub(super) fn conf(&mut self, entry: &Entry, facts: Option<&NodeFacts>) -> Conf {
        let mut conf = Conf::default();
        let Some(facts) = facts else { return conf };
        let nothing = BTreeMap::new();
        for (name, setting) in facts.settings.known().unwrap_or(&nothing) {
            self.setting(&entry.name, &mut conf, name, setting);
        }
        let upstream = facts.upstream.known().cloned().flatten();
        if let Some((host, port)) = upstream {
            let target = Target {
                host,
                port,
                application: entry.name.to_string(),
            };
            conf.auto.insert(CONNINFO.to_owned(), Value::Target(target));
        }
        conf.load();
        conf
    }

    fn setting(&mut self, node: &NodeName, conf: &mut Conf, name: &str, setting: &Setting) {
        if setting.pending_restart {
            self.assume(
                node,
                format!("the value of {name} that waits for a restart is not known"),
            );
        }
        if name == CONNINFO || setting.source == "default" {
            return;
        }
        let shown = if setting.secret && setting.set {
            "(not shown)"
        } else {
            &setting.value
        };
        let value = Value::text(shown);
        let place = match setting.source.as_str() {
            "command line" => &mut conf.line,
            _ if [SLOT_NAME, RESTORE, SYNC_NAMES].contains(&name) => &mut conf.auto,
            _ => &mut conf.file,
        };
        place.insert(name.to_owned(), value);
    }

    pub(super) fn slots(&mut self, name: &NodeName, facts: Option<&NodeFacts>) -> Slots {
        let Some((slots, _)) = facts.and_then(|f| f.slots.known()) else {
            return Slots::new();
        };
        let state = |slot: &crate::cluster::Slot| SlotState {
            physical: slot.physical,
            restart: slot.restart,
            lost: matches!(slot.wal_status, WalStatus::Lost | WalStatus::Unreserved),
        };
        if slots
            .iter()
            .any(|slot| slot.active_pid.is_none() && !slot.physical)
        {
            self.assume(name, "its logical slots stay as they are");
        }
        slots
            .iter()
            .map(|slot| (slot.name.clone(), state(slot)))
            .collect()
    }

    /// The nodes were not asked at one instant: one that is written to is found behind what it had sent by the time its
    /// standby was asked. Whoever streams from it holds nothing that it does not hold.
    pub(super) fn as_of_one_instant(&mut self, snapshot: &Snapshot) {
        // Once for each level of a cascade, which has no more levels than nodes.
        for _ in &snapshot.nodes {
            for (name, facts) in &snapshot.nodes {
                let receiver = facts.server.known().and_then(|s| s.receiver.as_ref());
                let Some(receiver) = receiver.filter(|r| r.status == "streaming") else {
                    continue;
                };
                let address = (receiver.host.clone(), receiver.port);
                let world = &mut self.world;
                let up = world.ids().find(|id| world.node(*id).address == address);
                if let (Some(up), Some(down)) = (up, world.find(name)) {
                    let down = world.node(down).wal.clone();
                    world.node_mut(up).wal.holds(&down);
                }
            }
        }
    }

    pub(super) fn saved(
        &mut self,
        name: &NodeName,
        facts: Option<&NodeFacts>,
    ) -> BTreeMap<String, Saved> {
        let tags = facts
            .and_then(|f| f.saved.known())
            .cloned()
            .unwrap_or_default();
        if !tags.is_empty() {
            self.assume(
                name,
                "what its kept settings hold is not known: putting them back changes nothing here",
            );
        }
        let unknown = Saved {
            owner: String::new(),
            values: BTreeMap::new(),
            contents_known: false,
        };
        tags.into_iter().map(|tag| (tag, unknown.clone())).collect()
    }

    pub(super) fn remembered(&mut self, id: NodeId, told: &Remembered) {
        let ages = [
            age(told.synchronous_standby_names.as_ref()),
            age(told.synchronous_commit.as_ref()),
            age(told.receivers.as_ref()),
            age(told.position.as_ref()),
        ];
        let Some(older) = ages.into_iter().flatten().max() else {
            return;
        };
        let sighting = Sighting {
            at: self.world.now,
            older: Duration::from_millis(older),
            names: told
                .synchronous_standby_names
                .as_ref()
                .map(|t| t.value.clone()),
            commit: told.synchronous_commit.as_ref().map(|t| t.value.clone()),
            receivers: told.receivers.as_ref().map(|t| t.value.clone()),
            position: told.position.as_ref().map(|t| t.value),
        };
        self.world.sightings.insert(id, sighting);
    }

    /// A connection that stands.
    pub(super) fn stream(&mut self, id: NodeId, facts: &NodeFacts, all: &Snapshot) {
        let Some(receiver) = facts.server.known().and_then(|s| s.receiver.as_ref()) else {
            return;
        };
        let Some(up) = self.world.at_address(&receiver.host, receiver.port) else {
            return;
        };
        let (name, upstream) = (
            self.world.node(id).name.clone(),
            self.world.node(up).name.clone(),
        );
        let senders = all.nodes.get(&upstream).and_then(|f| f.senders.known());
        let sender = senders
            .into_iter()
            .flatten()
            .find(|s| s.application.eq_ignore_ascii_case(name.as_str()));
        if senders.is_some() && sender.is_none() {
            // The upstream knows nothing of it: the connection is over, and the standby does not know yet.
            self.assume(&name, format!("it has to connect to {upstream} again"));
            return;
        }
        if senders.is_none() {
            self.assume(
                &name,
                format!("nothing more arrives from {upstream}, which cannot be asked"),
            );
        }
        self.world.taken_pid(receiver.pid);
        self.world.adopt(id, up, receiver, sender);
    }
}

fn age<T>(told: Option<&Timed<T>>) -> Option<u64> {
    told.map(|t| t.age_ms)
}
