//! The facts that decisions rest on, as texts that can be compared: positions may advance between a plan and its run, so
//! only their order is a fact here, and only among nodes that nothing streams to.

use super::asked::Question;
use crate::cluster::{
    Forbidden, Host, Inventory, Lsn, Manager, NodeName, PromotePolicy, RepmgrNode, Server, Slot,
    Trouble,
};
use crate::simulate::{Fact, NodeFacts, Snapshot};
use std::collections::{BTreeMap, BTreeSet};

/// Facts by name.
pub(super) type Grounds = BTreeMap<String, String>;

/// What the snapshot says to these questions, and what the site file says of the nodes.
pub(super) fn grounds(
    inventory: &Inventory,
    snapshot: &Snapshot,
    asked: &BTreeSet<(NodeName, Question)>,
) -> Grounds {
    let mut told = Told {
        inventory,
        grounds: Grounds::new(),
    };
    for (node, question) in asked {
        if let Some(facts) = snapshot.nodes.get(node) {
            told.answer(node, question, facts);
        }
    }
    let servers: BTreeSet<&NodeName> = asked
        .iter()
        .filter(|(_, question)| *question == Question::Server)
        .map(|(node, _)| node)
        .collect();
    told.order(snapshot, &servers);
    for node in asked.iter().map(|(node, _)| node) {
        told.site(node);
    }
    told.grounds
}

struct Told<'i> {
    inventory: &'i Inventory,
    grounds: Grounds,
}

impl Told<'_> {
    fn say(&mut self, node: &NodeName, what: &str, value: impl Into<String>) {
        self.grounds.insert(format!("{node}: {what}"), value.into());
    }

    fn answer(&mut self, node: &NodeName, question: &Question, facts: &NodeFacts) {
        match question {
            Question::Server => match &facts.server {
                Fact::Known(server) => self.server(node, server),
                Fact::Unknown(trouble) => self.say(node, "its server answers", no(trouble)),
            },
            Question::Identity => {
                if let Some(identity) = facts.identity.known() {
                    self.say(node, "timeline", identity.timeline.to_string());
                    self.say(node, "system identifier", identity.system.to_string());
                }
            }
            Question::Senders => {
                let senders = said(&facts.senders, |senders| {
                    let streaming = senders.iter().filter(|s| s.state == "streaming");
                    list(streaming.map(|s| s.application.clone()).collect())
                });
                self.say(node, "who streams from it", senders);
            }
            Question::Slots => self.slots(node, &facts.slots),
            Question::Setting(name) => self.setting(node, name, facts),
            Question::Managers => {
                if let Some(found) = facts.managers.as_ref().and_then(Fact::known) {
                    // Their process ids come and go.
                    let kind = |manager: &Manager| {
                        let paused = if manager.paused == Some(true) {
                            " (paused)"
                        } else {
                            ""
                        };
                        format!("{}{paused}", manager.kind.as_str())
                    };
                    self.say(
                        node,
                        "other managers",
                        list(found.found.iter().map(kind).collect()),
                    );
                }
            }
            Question::Forbidden => {
                if let Some(found) = facts.forbidden.as_ref().and_then(Fact::known) {
                    let command = |f: &Forbidden| f.command.join(" ");
                    let all = list(found.iter().map(command).collect());
                    self.say(node, "commands that may not be run", all);
                }
            }
            Question::Repmgr => {
                if let Some(table) = &facts.repmgr {
                    let rows = said(table, |table| {
                        let row = |node: &RepmgrNode| {
                            let row = &node.row;
                            let upstream =
                                row.upstream.map_or(String::new(), |id| format!(" of {id}"));
                            let kind = row.kind.as_str();
                            let active = if row.active { "" } else { " inactive" };
                            format!("{} {kind}{upstream}{active}", node.name)
                        };
                        list(table.iter().map(row).collect())
                    });
                    self.say(node, "repmgr's table", rows);
                }
            }
            Question::Upstream => {
                let upstream = said(&facts.upstream, |upstream| match upstream {
                    Some((host, port)) => self.name_of(host, *port),
                    None => "nobody".to_owned(),
                });
                self.say(node, "set to follow", upstream);
            }
            Question::Host => match &facts.host {
                Fact::Known(host) => self.host(node, host),
                Fact::Unknown(trouble) => self.say(node, "its host answers", no(trouble)),
            },
            Question::Saved => {
                let tags = said(&facts.saved, |tags| match tags.as_slice() {
                    [] => "none".to_owned(),
                    some => list(some.to_vec()),
                });
                self.say(node, "kept settings", tags);
            }
        }
    }

    fn server(&mut self, node: &NodeName, server: &Server) {
        self.say(node, "its server answers", "yes");
        let role = if server.in_recovery {
            "standby"
        } else {
            "primary"
        };
        self.say(node, "role", role);
        self.say(node, "version", server.version.to_string());
        let paused = if server.replay_paused { "yes" } else { "no" };
        self.say(node, "replay is paused", paused);
        let from = match &server.receiver {
            Some(receiver) if receiver.status == "streaming" => {
                self.name_of(&receiver.host, receiver.port)
            }
            _ => "nobody".to_owned(),
        };
        self.say(node, "streams from", from);
    }

    fn host(&mut self, node: &NodeName, host: &Host) {
        self.say(node, "its host answers", "yes");
        let runs = if host.postmaster.is_some() {
            "yes"
        } else {
            "no"
        };
        self.say(node, "its server runs", runs);
        let orphans = if host.orphans.is_empty() { "no" } else { "yes" };
        self.say(node, "has orphaned processes", orphans);
        let signal = if host.standby_signal { "yes" } else { "no" };
        self.say(node, "standby.signal", signal);
        if host.half_rewound {
            self.say(node, "half rewound", "yes");
        }
        if let Some(control) = &host.control {
            let state = serde_json::to_value(control.state).unwrap_or_default();
            let state = state.as_str().unwrap_or("not known").replace('_', " ");
            self.say(node, "control data", state);
        }
    }

    /// The slots of the cluster's own nodes; others come and go.
    fn slots(&mut self, node: &NodeName, slots: &Fact<(Vec<Slot>, u32)>) {
        let Some((slots, _)) = slots.known() else {
            self.say(node, "slots", "not known");
            return;
        };
        for follower in self.inventory.nodes.keys() {
            let name = self.inventory.slot_of(follower);
            let found = slots.iter().find(|slot| slot.name == name);
            let how = found.map_or_else(
                || "none".to_owned(),
                |slot| {
                    let lost = slot.wal_status == crate::cluster::WalStatus::Lost;
                    let held = if slot.active_pid.is_some() {
                        "in use"
                    } else {
                        "not in use"
                    };
                    let physical = if slot.physical { "" } else { ", logical" };
                    let lost = if lost { ", lost" } else { "" };
                    format!("{held}{physical}{lost}")
                },
            );
            self.say(node, &format!("slot {name}"), how);
        }
    }

    fn setting(&mut self, node: &NodeName, name: &str, facts: &NodeFacts) {
        let Some(settings) = facts.settings.known() else {
            self.say(node, &format!("setting {name}"), "not known");
            return;
        };
        if let Some(setting) = settings.get(name) {
            let value = match (setting.secret, setting.set) {
                (true, true) => "set".to_owned(),
                (true, false) => "empty".to_owned(),
                (false, _) => setting.value.clone(),
            };
            let waits = if setting.pending_restart {
                " (waits for a restart)"
            } else {
                ""
            };
            self.say(node, &format!("setting {name}"), format!("{value}{waits}"));
        }
    }

    /// Which of the standbys that nobody feeds holds more than which.
    fn order(&mut self, snapshot: &Snapshot, nodes: &BTreeSet<&NodeName>) {
        let mut still: Vec<(Lsn, &NodeName)> = nodes
            .iter()
            .filter_map(|node| {
                let server = snapshot.nodes.get(*node)?.server.known()?;
                let fed = server.receiver.is_some() || !server.in_recovery;
                Some((server.position().filter(|_| !fed)?, *node))
            })
            .collect();
        still.sort_by(|(a, left), (b, right)| b.cmp(a).then(left.cmp(right)));
        let mut text = String::new();
        for (place, (at, node)) in still.iter().enumerate() {
            if place > 0 {
                let before = still[place - 1].0;
                text.push_str(if before == *at { " = " } else { " > " });
            }
            text.push_str(node.as_str());
        }
        if !text.is_empty() {
            self.grounds.insert("order of positions".to_owned(), text);
        }
    }

    fn site(&mut self, node: &NodeName) {
        let Some(entry) = self.inventory.node(node) else {
            return;
        };
        let address = format!("{}:{}", entry.host, entry.port);
        let promote = match entry.promote {
            PromotePolicy::Allowed => "allowed",
            PromotePolicy::Never => "never",
        };
        let data = entry.data.display().to_string();
        self.say(node, "address in the site file", address);
        self.say(node, "data in the site file", data);
        self.say(node, "location in the site file", entry.location.as_str());
        self.say(
            node,
            "priority in the site file",
            entry.priority.to_string(),
        );
        self.say(node, "promote in the site file", promote);
    }

    fn name_of(&self, host: &str, port: u16) -> String {
        let node = self.inventory.node_at(host, port);
        node.map_or_else(|| format!("{host}:{port}"), |node| node.name.to_string())
    }
}

fn no(trouble: &Trouble) -> String {
    format!("no ({})", trouble.kind.as_str())
}

fn said<T>(fact: &Fact<T>, text: impl FnOnce(&T) -> String) -> String {
    match fact {
        Fact::Known(value) => text(value),
        Fact::Unknown(trouble) => format!("not known ({})", trouble.kind.as_str()),
    }
}

fn list(mut names: Vec<String>) -> String {
    names.sort();
    if names.is_empty() {
        "nobody".to_owned()
    } else {
        names.join(", ")
    }
}
