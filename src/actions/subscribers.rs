//! What becomes of logical slots, and of their subscribers, when another node becomes the primary.
//!
//! A slot lives on one node. From release 17 on a standby can copy those that are marked for it, and only from such a copy
//! a subscriber can go on. Who subscribes is no node of ours and is not asked: what only it can tell is said to a person.

use super::scene::Scene;
use super::set_synchronized_slots::listed;
use crate::cluster::{NodeName, Server, Slot, SlotName, SlotOrigin};
use crate::engine::Failure;

/// What there is to say of them before anything is changed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fate {
    /// Slots of the old primary that the candidate does not have.
    pub(super) lost: Vec<String>,
    /// Why a handover would cost subscribers their place.
    pub(super) wrong: Option<String>,
    /// What is to be known.
    pub(super) warnings: Vec<String>,
}

/// The candidate, as far as it matters here.
pub(super) struct Candidate<'a> {
    pub(super) node: &'a NodeName,
    pub(super) server: &'a Server,
    pub(super) slots: &'a [Slot],
    pub(super) wal_level: &'a str,
    /// `synchronized_standby_slots`.
    pub(super) waits_for: &'a str,
}

/// Tells it. The primary that hands over tells its slots itself; of a dead one its host tells their names, where it answers.
pub(super) async fn fate(scene: &Scene<'_>, candidate: &Candidate<'_>) -> Result<Fate, Failure> {
    if let Some(old) = scene.node_input("handover_from")? {
        let (theirs, _) = scene.cluster.slots(&old).await?;
        let missing = missing(&theirs, candidate.slots);
        let accepted = scene.text("logical_slots") == Some("ignore");
        return Ok(handed_over(&old, candidate, &missing, accepted));
    }
    if candidate.wal_level != "logical" {
        return Ok(Fate::default());
    }
    let old = scene.node_input("old_primary")?;
    let on_disk = match &old {
        Some(old) if scene.flag("old_host") => {
            let host = scene.cluster.host(old).await;
            host.ok().map(|host| strangers(scene, host.slots))
        }
        _ => None,
    };
    let old = old.map_or_else(|| "the old primary".to_owned(), |old| old.to_string());
    Ok(taken_over(&old, candidate, on_disk))
}

/// Those that are no node's of the cluster.
fn strangers(scene: &Scene<'_>, mut slots: Vec<SlotName>) -> Vec<SlotName> {
    let inventory = scene.inventory();
    let ours = |slot: &SlotName| {
        inventory
            .nodes
            .keys()
            .any(|n| inventory.slot_of(n) == *slot)
    };
    slots.retain(|slot| !ours(slot));
    slots
}

/// Logical slots with which nobody can go on at the candidate.
fn missing<'a>(theirs: &'a [Slot], here: &[Slot]) -> Vec<&'a Slot> {
    let kept = |slot: &Slot| {
        let same = here.iter().find(|s| s.name == slot.name);
        same.is_some_and(Slot::serves_subscribers)
    };
    let of_subscribers = theirs
        .iter()
        .filter(|s| s.origin == SlotOrigin::Own && s.serves_subscribers());
    of_subscribers.filter(|slot| !kept(slot)).collect()
}

fn handed_over(
    old: &NodeName,
    candidate: &Candidate<'_>,
    missing: &[&Slot],
    accepted: bool,
) -> Fate {
    let mut fate = Fate::default();
    if missing.is_empty() {
        return fate;
    }
    let node = candidate.node;
    let names = joined(missing.iter().map(|slot| slot.name.as_str()));
    let begun = missing.iter().any(|slot| {
        let here = candidate.slots.iter().find(|s| s.name == slot.name);
        here.is_some_and(|s| s.origin == SlotOrigin::Copying)
    });
    let why = if begun {
        "; a copy is being made and not complete: try again later"
    } else if candidate.server.version >= 170_000 {
        "; it gets copies of those with `failover`, where its sync_replication_slots is on"
    } else {
        ""
    };
    let text = format!(
        "{node} has not the logical slots {names} of {old}, and their subscribers would miss what comes next{why}"
    );
    fate.lost = missing.iter().map(|slot| slot.name.to_string()).collect();
    if accepted {
        fate.warnings.push(text);
    } else {
        fate.wrong = Some(format!(
            "{text} (`-p logical_slots=ignore` goes on without them)"
        ));
    }
    fate
}

fn taken_over(old: &str, candidate: &Candidate<'_>, on_disk: Option<Vec<SlotName>>) -> Fate {
    let Candidate {
        node,
        slots,
        server,
        ..
    } = candidate;
    let mut fate = Fate::default();
    let there = |name: &SlotName| {
        let same = slots.iter().find(|slot| slot.name == *name);
        same.is_some_and(|slot| slot.origin != SlotOrigin::Copying)
    };
    let known = on_disk.is_some();
    for slot in on_disk.unwrap_or_default() {
        if !there(&slot) {
            fate.lost.push(slot.to_string());
        }
    }
    if !fate.lost.is_empty() {
        fate.warnings.push(format!(
            "{node} has not the slots {} of {old}: whoever uses them, a subscriber or a backup, loses its place",
            joined(fate.lost.iter().map(String::as_str))
        ));
    } else if !known {
        fate.warnings.push(format!(
            "what logical slots {old} had cannot be told: those of which {node} has no copy are lost with it"
        ));
    }
    let copies: Vec<&Slot> = slots
        .iter()
        .filter(|slot| slot.origin == SlotOrigin::Copied && slot.serves_subscribers())
        .collect();
    if copies.is_empty() {
        return fate;
    }
    let names = joined(copies.iter().map(|slot| slot.name.as_str()));
    let at = server.position();
    let at = at.map_or_else(|| "where it is now".to_owned(), |at| at.to_string());
    // Nobody but the subscriber knows how far it came: its slot's copy is never beyond what the standby has.
    fate.warnings.push(format!(
        "subscribers can go on with the slots {names} of {node}. One that holds more than {node}, which ends at {at}, would \
         miss what is written next: compare it with `SELECT external_id, remote_lsn FROM pg_replication_origin_status` on \
         the subscriber. None does where {old} made them wait for {node} (synchronized_standby_slots)"
    ));
    if listed(candidate.waits_for).is_empty() {
        fate.warnings.push(format!(
            "synchronized_standby_slots is empty on {node}: its subscribers may get ahead of its standbys"
        ));
    }
    fate
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Lsn, StartupState, WalStatus};

    fn slot(name: &str, origin: SlotOrigin) -> Slot {
        Slot {
            name: SlotName::parse(name).unwrap(),
            physical: false,
            active_pid: None,
            restart: Some(Lsn(1)),
            wal_status: WalStatus::Reserved,
            failover: true,
            origin,
            confirmed: None,
        }
    }

    fn standby() -> Server {
        Server {
            version: 170_000,
            in_recovery: true,
            written: None,
            received: Some(Lsn(0x300)),
            replayed: Some(Lsn(0x300)),
            replay_paused: false,
            startup: StartupState::WaitsForWal,
            receiver: None,
            receiver_pid: None,
            senders: 0,
        }
    }

    fn with<T>(slots: &[Slot], waits_for: &str, tell: impl FnOnce(&Candidate<'_>) -> T) -> T {
        let (node, server) = (NodeName::parse("n2").unwrap(), standby());
        tell(&Candidate {
            node: &node,
            server: &server,
            slots,
            wal_level: "logical",
            waits_for,
        })
    }

    #[test]
    fn only_a_complete_copy_keeps_a_subscribers_place() {
        let lost = Slot {
            wal_status: WalStatus::Lost,
            ..slot("s", SlotOrigin::Copied)
        };
        for (here, kept) in [
            (vec![slot("s", SlotOrigin::Copied)], true),
            (vec![slot("s", SlotOrigin::Own)], true),
            (vec![slot("s", SlotOrigin::Copying)], false),
            (vec![lost], false),
            (vec![slot("t", SlotOrigin::Copied)], false),
            (vec![], false),
        ] {
            let theirs = [slot("s", SlotOrigin::Own), slot("x", SlotOrigin::Session)];
            let missing = missing(&theirs, &here);
            assert_eq!(missing.is_empty(), kept, "{here:?}");
            let old = NodeName::parse("n1").unwrap();
            for accepted in [false, true] {
                let fate = with(&here, "", |candidate| {
                    handed_over(&old, candidate, &missing, accepted)
                });
                assert_eq!(fate.wrong.is_some(), !kept && !accepted);
                assert_eq!(fate.lost.is_empty(), kept);
                assert_eq!(fate.warnings.len(), usize::from(!kept && accepted));
            }
        }
    }

    #[test]
    fn what_a_dead_primary_had_alone_is_named_and_what_is_unknown_is_said() {
        let copy = [slot("s", SlotOrigin::Copied)];
        let names = |names: &[&str]| {
            let parsed = names.iter().map(|n| SlotName::parse(n).unwrap());
            Some(parsed.collect::<Vec<_>>())
        };
        let told = with(&copy, "pgbaton_n3", |c| {
            taken_over("n1", c, names(&["s", "t"]))
        });
        assert_eq!(told.lost, ["t"]);
        assert!(told.warnings[1].contains("0/300"), "{:?}", told.warnings);
        assert_eq!(told.warnings.len(), 2);
        let kept = with(&copy, "", |c| taken_over("n1", c, names(&["s"])));
        assert!(kept.lost.is_empty() && kept.warnings.len() == 2, "{kept:?}");
        let blind = with(&[], "", |c| taken_over("n1", c, None));
        assert!(blind.warnings[0].contains("cannot be told"), "{blind:?}");
        let none = with(&[], "", |c| taken_over("n1", c, names(&[])));
        assert_eq!(none, Fate::default());
    }
}
