//! Could this cluster be failed over now? Told beforehand, while the primary works.

use super::snapshot::{Snapshot, Witness};
use crate::cluster::{Bearing, Inventory, NodeName, PromotePolicy, Server, SyncNames};
use crate::document::{format_bytes, parse_bytes};
use serde::{Deserialize, Serialize};

/// How much WAL a candidate may lack unless the parameters of the site say otherwise: as in the playbook.
const MAX_LOSS: i64 = 1 << 20;

/// Something that a failover would meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// What.
    pub code: ObstacleCode,
    /// In a sentence.
    pub text: String,
}

/// What a failover would meet. The first ones keep it from succeeding, the others make it worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObstacleCode {
    /// Nobody can be promoted.
    NoCandidate,
    /// Nobody who can be promoted holds all but what may be lost.
    TooFarBehind,
    /// A primary that is cut off could go on acknowledging: there would be no proof without fencing it.
    NoProof,
    /// Another manager acts on the nodes, and a run would be refused because of it.
    OtherManager,
    /// Somebody who may be chosen could not send to all who are to follow it.
    TooFewSenders,
    /// Somebody who may be chosen has no room for the slots of all who are to follow it.
    TooFewSlots,
    /// All who can be promoted are where the primary is.
    SameLocation,
    /// Replay is paused on a candidate.
    ReplayPaused,
    /// A standby would have to be copied afterwards.
    SlotAtRisk,
    /// The old primary could not be rewound.
    NoRewind,
}

impl ObstacleCode {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::NoCandidate,
        Self::TooFarBehind,
        Self::NoProof,
        Self::OtherManager,
        Self::TooFewSenders,
        Self::TooFewSlots,
        Self::SameLocation,
        Self::ReplayPaused,
        Self::SlotAtRisk,
        Self::NoRewind,
    ];

    /// Its name, as in metrics and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoCandidate => "no_candidate",
            Self::TooFarBehind => "too_far_behind",
            Self::NoProof => "no_proof",
            Self::OtherManager => "other_manager",
            Self::TooFewSenders => "too_few_senders",
            Self::TooFewSlots => "too_few_slots",
            Self::SameLocation => "same_location",
            Self::ReplayPaused => "replay_paused",
            Self::SlotAtRisk => "slot_at_risk",
            Self::NoRewind => "no_rewind",
        }
    }

    /// It would not succeed, or only with a person's word.
    pub fn is_grave(self) -> bool {
        self < Self::SameLocation
    }
}

/// What stands against a failover, by a thorough look at a cluster whose primary works; none where it does not work.
pub fn obstacles(inventory: &Inventory, seen: &Snapshot) -> Option<Vec<Obstacle>> {
    let mut primaries = seen
        .nodes
        .iter()
        .filter(|(_, witness)| witness.is_primary());
    let (primary, about) = primaries.next()?;
    if primaries.next().is_some() {
        return None;
    }
    let may = |node: &NodeName| {
        let node = inventory.node(node);
        node.is_some_and(|node| node.promote == PromotePolicy::Allowed)
    };
    let candidates: Vec<Candidate<'_>> = seen
        .nodes
        .iter()
        .filter(|(node, witness)| {
            *node != primary && witness.is_standby() && witness.streams() && may(node)
        })
        .collect();
    let mut found = Vec::new();
    of_candidates(inventory, (primary, about), &candidates, &mut found);
    of_followers(inventory, seen, primary, &candidates, &mut found);
    of_managers(seen, &mut found);
    let mut add = |code, text: String| found.push(Obstacle { code, text });
    for (node, witness) in &candidates {
        if witness
            .server
            .as_ref()
            .is_some_and(|server| server.replay_paused)
        {
            add(
                ObstacleCode::ReplayPaused,
                format!("replay is paused on {node}: its promotion would wait for somebody"),
            );
        }
    }
    let waits = about.synchronous.as_deref().map(SyncNames::parse);
    if matches!(waits, Some(Ok(None))) {
        add(
            ObstacleCode::NoProof,
            format!(
                "commits on {primary} wait for nobody: were its host cut off, nothing would prove that it acknowledges no \
                 more, and a failover would be refused unless it is fenced"
            ),
        );
    }
    for slot in &about.slots_at_risk {
        add(ObstacleCode::SlotAtRisk, format!("on {primary}: {slot}"));
    }
    if about.can_be_rewound == Some(false) {
        add(
            ObstacleCode::NoRewind,
            format!(
                "{primary} has neither checksums nor wal_log_hints: it would have to be copied to come back"
            ),
        );
    }
    found.sort_by_key(|obstacle| obstacle.code);
    Some(found)
}

/// A node that may be promoted, and what it said.
type Candidate<'a> = (&'a NodeName, &'a Witness);

/// Whether there is somebody to promote, and where.
fn of_candidates(
    inventory: &Inventory,
    (primary, about): Candidate<'_>,
    candidates: &[Candidate<'_>],
    found: &mut Vec<Obstacle>,
) {
    let mut add = |code, text: String| found.push(Obstacle { code, text });
    if candidates.is_empty() {
        add(
            ObstacleCode::NoCandidate,
            "no standby that may be promoted streams".to_owned(),
        );
        return;
    }
    let written = about.server.as_ref().and_then(|server| server.written);
    let limit = inventory.detector.params.get("max_loss");
    let limit = limit.and_then(|text| parse_bytes(text)).unwrap_or(MAX_LOSS);
    let behind = |witness: &Witness| {
        let at = witness.server.as_ref().and_then(Server::position);
        Some(written?.bytes_since(at?))
    };
    let least = candidates
        .iter()
        .filter_map(|(_, witness)| behind(witness))
        .min();
    if let Some(least) = least.filter(|least| *least > limit) {
        let least = format_bytes(least);
        add(
            ObstacleCode::TooFarBehind,
            format!("the best candidate is {least} of WAL behind {primary}"),
        );
    }
    let place = |node: &NodeName| inventory.node(node).map(|node| node.location.as_str());
    let mut nodes = inventory.nodes.values();
    let several = nodes.any(|node| Some(node.location.as_str()) != place(primary));
    if several
        && candidates
            .iter()
            .all(|(node, _)| place(node) == place(primary))
    {
        add(
            ObstacleCode::SameLocation,
            format!("all candidates are where {primary} is"),
        );
    }
}

/// Whether each candidate could serve those who are to follow it. Nobody knows who will be chosen, so each counts.
fn of_followers(
    inventory: &Inventory,
    seen: &Snapshot,
    primary: &NodeName,
    candidates: &[Candidate<'_>],
    found: &mut Vec<Obstacle>,
) {
    let mut add = |code, text: String| found.push(Obstacle { code, text });
    for (candidate, witness) in candidates {
        let Some(room) = &witness.room else {
            continue;
        };
        let others = seen.nodes.iter().filter(|(node, witness)| {
            let other = node != candidate && *node != primary;
            other && witness.is_standby() && !witness.elsewhere
        });
        let (mut moved, mut own) = (Vec::new(), 0);
        for (node, witness) in others {
            match &witness.upstream {
                Some(upstream) if upstream == *candidate => own += 1,
                // Who follows another standby goes on with that.
                Some(upstream) if upstream != primary => {}
                Some(_) | None => moved.push(node),
            }
        }
        let nodes = moved.len() + own;
        if let Some(senders) = room.senders.filter(|senders| *senders < nodes) {
            add(
                ObstacleCode::TooFewSenders,
                format!(
                    "{candidate} could not send to all: its max_wal_senders is {senders}, {nodes} nodes are to follow it"
                ),
            );
        }
        let slots = moved.iter().map(|node| inventory.slot_of(node));
        let missing = slots.filter(|slot| !room.slots.contains(slot)).count();
        if missing > room.free {
            add(
                ObstacleCode::TooFewSlots,
                format!(
                    "{candidate} could not be promoted: it has room for {} more replication slots \
                     (max_replication_slots), {missing} are needed",
                    room.free
                ),
            );
        }
    }
}

/// Whether somebody else acts on the nodes whom a run would not tell to be still.
fn of_managers(seen: &Snapshot, found: &mut Vec<Obstacle>) {
    for (node, witness) in &seen.nodes {
        for manager in &witness.managers {
            if let Bearing::InTheWay(help) = manager.bearing(true) {
                found.push(Obstacle {
                    code: ObstacleCode::OtherManager,
                    text: format!("{manager} manages {node}: {help}"),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Manager, ManagerKind, RepmgrTable, SyncMode, Synchronous};
    use crate::runs::on_paused_clock;
    use crate::runs::sim_cluster;
    use crate::simulate::{Disruption, SimCluster, WorldBuilder, rehearsal_inventory};
    use crate::trigger::look;
    use std::sync::Arc;
    use std::time::Duration;

    const SYNC: &str = "ANY 1 (n2, n3)";

    fn name(text: &str) -> NodeName {
        NodeName::parse(text).unwrap()
    }

    fn found_in(
        (node, setting, value): (Option<&str>, &str, &str),
        manager: Option<Manager>,
        sync: &str,
        change: impl FnOnce(&mut Inventory),
        then: impl FnOnce(&SimCluster),
    ) -> Vec<ObstacleCode> {
        let policy = Synchronous {
            mode: SyncMode::Unmanaged,
            acks: 1,
        };
        let mut inventory = rehearsal_inventory(&["n1", "n2", "n3"].map(name), policy);
        change(&mut inventory);
        let inventory = Arc::new(inventory);
        on_paused_clock(async {
            let world = WorldBuilder::new(&inventory, 1).synchronous(sync);
            let world = world.setting(None, "wal_log_hints", "on");
            let node = node.map(name);
            let mut world = world.setting(node.as_ref(), setting, value);
            if let Some(manager) = manager {
                world = world.managed_by(&name("n3"), manager);
            }
            let world = world.build();
            let sim = sim_cluster(&inventory, world);
            then(&sim);
            sim.pass(Duration::from_secs(90)).await;
            let seen = look::thoroughly(&sim, None, Duration::from_secs(1)).await;
            let found = obstacles(&inventory, &seen).unwrap();
            found.into_iter().map(|obstacle| obstacle.code).collect()
        })
        .unwrap()
    }

    fn found(
        sync: &str,
        change: impl FnOnce(&mut Inventory),
        then: impl FnOnce(&SimCluster),
    ) -> Vec<ObstacleCode> {
        found_in((None, "wal_log_hints", "on"), None, sync, change, then)
    }

    #[test]
    fn what_a_failover_would_meet_is_told_beforehand() {
        let sync = SYNC;
        let nothing = |_: &SimCluster| ();
        let disrupt = |what: Disruption| move |sim: &SimCluster| sim.with(|w| w.disrupt(&what));
        assert_eq!(found(sync, |_| (), nothing), []);
        assert_eq!(found("", |_| (), nothing), [ObstacleCode::NoProof]);
        let without = found_in((None, "wal_log_hints", "off"), None, sync, |_| (), nothing);
        assert_eq!(without, [ObstacleCode::NoRewind]);
        let never = |inventory: &mut Inventory| {
            for node in inventory.nodes.values_mut() {
                node.promote = PromotePolicy::Never;
            }
        };
        assert_eq!(found(sync, never, nothing), [ObstacleCode::NoCandidate]);
        let far = |inventory: &mut Inventory| {
            inventory.nodes.get_mut(&name("n1")).unwrap().location = "dc1".to_owned();
            inventory.nodes.get_mut(&name("n2")).unwrap().location = "dc1".to_owned();
            inventory.nodes.get_mut(&name("n3")).unwrap().location = "dc2".to_owned();
        };
        assert_eq!(found(sync, far, nothing), []);
        let down = disrupt(Disruption::HostDown(name("n3")));
        assert_eq!(found(sync, far, down), [ObstacleCode::SameLocation]);
        let paused = disrupt(Disruption::PauseReplay(name("n2")));
        assert_eq!(found(sync, |_| (), paused), [ObstacleCode::ReplayPaused]);
        let lost = disrupt(Disruption::LoseSlot(name("n1"), name("n2").slot()));
        assert!(found(sync, |_| (), lost).contains(&ObstacleCode::SlotAtRisk));
    }

    #[test]
    fn who_could_not_serve_the_others_is_told_beforehand() {
        let found = |node: &str, setting: &'static str, value: &'static str| {
            let setting = (Some(node), setting, value);
            found_in(setting, None, SYNC, |_| (), |_| ())
        };
        let (senders, slots) = ("max_wal_senders", "max_replication_slots");
        assert_eq!(found("n2", senders, "1"), [], "one is to follow");
        assert_eq!(found("n2", senders, "0"), [ObstacleCode::TooFewSenders]);
        assert_eq!(found("n3", slots, "1"), [], "one slot is to be made");
        assert_eq!(found("n3", slots, "0"), [ObstacleCode::TooFewSlots]);
        // Who may not be promoted need not be able to.
        let never = |inventory: &mut Inventory| {
            inventory.nodes.get_mut(&name("n2")).unwrap().promote = PromotePolicy::Never;
        };
        let setting = (Some("n2"), slots, "0");
        assert_eq!(found_in(setting, None, SYNC, never, |_| ()), []);
    }

    #[test]
    fn another_manager_is_told_beforehand_unless_a_run_would_see_to_it() {
        let found = |kind, paused, table: bool| {
            let manager = Manager {
                kind,
                sign: "process 1".to_owned(),
                paused,
            };
            let change = |inventory: &mut Inventory| {
                inventory.repmgr = table.then(|| RepmgrTable {
                    database: "repmgr".to_owned(),
                    schema: "repmgr".to_owned(),
                });
            };
            found_in(
                (None, "wal_log_hints", "on"),
                Some(manager),
                SYNC,
                change,
                |_| (),
            )
        };
        let met = [ObstacleCode::OtherManager];
        // Where its table is, a run pauses it.
        assert_eq!(found(ManagerKind::Repmgrd, Some(false), true), []);
        assert_eq!(found(ManagerKind::Repmgrd, Some(true), true), []);
        assert_eq!(found(ManagerKind::Repmgrd, Some(false), false), met);
        assert_eq!(found(ManagerKind::Patroni, Some(false), false), met);
        assert_eq!(found(ManagerKind::Patroni, None, false), met);
        assert_eq!(found(ManagerKind::Patroni, Some(true), false), []);
        // No session is its own: only a look at the host finds it.
        assert_eq!(found(ManagerKind::Kbha, None, false), []);
    }

    #[test]
    fn what_keeps_it_from_succeeding_comes_first_and_nothing_else_is_grave() {
        let grave = ObstacleCode::ALL.map(ObstacleCode::is_grave);
        assert!(grave.is_sorted_by(|a, b| a >= b));
        assert!(ObstacleCode::TooFewSlots.is_grave() && !ObstacleCode::SameLocation.is_grave());
        assert!(ObstacleCode::ALL.is_sorted());
    }
}
