//! Worlds that begin where a live cluster stands: settings, slots, memories and connections of a node.

use super::conf::{CONNINFO, Conf, RESTORE, SLOT_NAME, SYNC_NAMES, SYNC_SLOTS, Target, Value};
use super::ids::NodeId;
use super::memory::Sighting;
use super::node::{Saved, SlotState};
use super::seed::{Seeding, Slots};
use super::snapshot::{NodeFacts, Snapshot};
use crate::cluster::{
    Host, Node as Entry, NodeName, Receiver, Remembered, Sender, Setting, SlotName, Timed,
    WalStatus,
};
use std::collections::BTreeMap;
use std::time::Duration;

impl Seeding {
    pub(super) fn conf(&mut self, entry: &Entry, facts: Option<&NodeFacts>) -> Conf {
        let mut conf = Conf::default();
        let Some(facts) = facts else { return conf };
        let nothing = BTreeMap::new();
        if facts.settings.known().is_none() && facts.host.known().is_some() {
            self.assume(
                &entry.name,
                "but for its upstream its settings are not known: the defaults are taken for them",
            );
        }
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
            _ if [SLOT_NAME, RESTORE, SYNC_NAMES, SYNC_SLOTS].contains(&name) => &mut conf.auto,
            _ => &mut conf.file,
        };
        place.insert(name.to_owned(), value);
    }

    pub(super) fn slots(
        &mut self,
        name: &NodeName,
        facts: Option<&NodeFacts>,
        strangers: &[Sender],
    ) -> Slots {
        let Some((slots, _)) = facts.and_then(|f| f.slots.known()) else {
            return self.slots_on_disk(name, facts.and_then(|f| f.host.known()));
        };
        let stranger = |pid: &u32| strangers.iter().any(|sender| sender.pid == *pid);
        let state = |slot: &crate::cluster::Slot| SlotState {
            physical: slot.physical,
            restart: slot.restart,
            lost: matches!(slot.wal_status, WalStatus::Lost | WalStatus::Unreserved),
            failover: slot.failover,
            origin: slot.origin,
            stranger: slot.active_pid.filter(stranger),
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

    /// Of a server that cannot be asked the host tells the names.
    fn slots_on_disk(&mut self, node: &NodeName, host: Option<&Host>) -> Slots {
        let names = host.map(|h| h.slots.as_slice()).unwrap_or_default();
        if !names.is_empty() {
            let names: Vec<&str> = names.iter().map(SlotName::as_str).collect();
            let text = format!(
                "its slots {} are taken for physical ones with all their WAL: its host knows no more than the names",
                names.join(", ")
            );
            self.assume(node, text);
        }
        let redo = host.and_then(|h| h.control.as_ref()).map(|c| c.redo);
        let state = SlotState::keeping(redo);
        let slots = names.iter().cloned();
        slots.map(|name| (name, state.clone())).collect()
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
        let Some(server) = facts.server.known() else {
            return self.silent_stream(id, all);
        };
        let Some(receiver) = &server.receiver else {
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

impl Seeding {
    /// Of a standby that does not answer its upstream tells: it has a sender for it until that has waited for too long.
    fn silent_stream(&mut self, id: NodeId, all: &Snapshot) {
        let node = self.world.node(id);
        let (true, Some(target)) = (node.process.is_some(), node.conf.target().cloned()) else {
            return;
        };
        let name = node.name.clone();
        let Some(up) = self.world.resolve(&target) else {
            return;
        };
        let Some(facts) = all.nodes.get(&self.world.node(up).name) else {
            return;
        };
        let mut senders = facts.senders.known().into_iter().flatten();
        let is_its = |s: &&Sender| s.application.eq_ignore_ascii_case(name.as_str());
        let Some(sender) = senders.find(is_its) else {
            return;
        };
        let slots = facts.slots.known().map(|(slots, _)| slots.as_slice());
        let mut slots = slots.unwrap_or_default().iter();
        let receiver = Receiver {
            pid: self.world.pid(),
            status: "streaming".to_owned(),
            host: target.host,
            port: target.port,
            slot: slots
                .find(|slot| slot.active_pid == Some(sender.pid))
                .map(|slot| slot.name.clone()),
            timeline: None,
            flushed: sender.flushed,
            silent_ms: None,
        };
        self.world.adopt(id, up, &receiver, Some(sender));
    }
}

/// Who streams from a node and is none of the site; one of whom nothing is known, neither from its server nor from its host, is
/// none that could be simulated either: all that there is of it is what its upstream tells.
pub(super) fn strangers(facts: Option<&NodeFacts>, all: &Snapshot) -> Vec<Sender> {
    let senders = facts.and_then(|f| f.senders.known());
    let is_node = |sender: &Sender| {
        let mut nodes = all.nodes.iter();
        nodes.any(|(name, facts)| {
            sender.application.eq_ignore_ascii_case(name.as_str())
                && (facts.server.known().is_some() || facts.host.known().is_some())
        })
    };
    let senders = senders.into_iter().flatten();
    senders.filter(|s| !is_node(s)).cloned().collect()
}

fn age<T>(told: Option<&Timed<T>>) -> Option<u64> {
    told.map(|t| t.age_ms)
}
