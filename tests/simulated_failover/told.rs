//! What live servers tell of themselves, and a world that begins there must know.

use super::seeded::twin_of;
use super::support::{Commits, Ran, Site, name, simulated, slot};
use pgbaton::cluster::{
    Archiving, Lsn, NodeName, Observe, Sender, Setting, Slot, SlotOrigin, WalFiles,
};
use pgbaton::engine::{Event, Outcome, StepStatus};
use pgbaton::simulate::{Disruption, Fact, NodeFacts, Snapshot, snapshot};
use std::time::Duration;

/// A world of three nodes whose facts were changed by hand before it began.
pub(super) async fn changed(change: impl FnOnce(&mut Snapshot)) -> Site {
    let site = Site::new(3, Commits::Asynchronous, 1);
    site.sim.pass(Duration::from_secs(1)).await;
    let mut facts = snapshot(&site.sim).await;
    change(&mut facts);
    twin_of(&facts, Commits::Asynchronous)
}

fn of<'s>(facts: &'s mut Snapshot, node: &str) -> &'s mut NodeFacts {
    facts.nodes.get_mut(&name(node)).unwrap()
}

fn known<T>(fact: &mut Fact<T>) -> &mut T {
    match fact {
        Fact::Known(value) => value,
        Fact::Unknown(trouble) => panic!("{trouble:?}"),
    }
}

/// The step that failed first, and why.
fn failed(ran: &Ran) -> (String, String) {
    let failed = ran
        .events
        .iter()
        .find_map(|envelope| match &envelope.event {
            Event::StepEnded {
                path,
                status: StepStatus::Failed,
                failure: Some(failure),
                ..
            } => Some((path.to_string(), failure.message.clone())),
            _ => None,
        });
    failed.unwrap()
}

#[test]
fn an_archive_that_fails_or_hangs_holds_up_a_switchover() {
    for (failing, oldest, held) in [(true, 1, true), (false, 60, true), (false, 1, false)] {
        simulated(async {
            let site = changed(|facts| {
                *known(&mut of(facts, "n1").archiving) = Archiving {
                    active: true,
                    waiting: 3,
                    oldest_s: Some(oldest),
                    failing,
                };
            })
            .await;
            let ran = site.run("switchover", &[("candidate", "n2")]).await;
            if held {
                ran.expect(Outcome::Refused);
                assert_eq!(failed(&ran).0, "check_archiving");
                assert_eq!(site.primary(), "n1");
            } else {
                ran.expect(Outcome::Ok);
            }
        });
    }
}

#[test]
fn a_slot_that_a_stranger_holds_is_not_free() {
    simulated(async {
        let site = changed(|facts| {
            let n1 = known(&mut of(facts, "n1").slots).0[0].clone();
            let n2 = of(facts, "n2");
            known(&mut n2.slots).0.push(pgbaton::cluster::Slot {
                name: slot("pgbaton_n3"),
                active_pid: Some(4711),
                ..n1
            });
            known(&mut n2.senders).push(Sender {
                pid: 4711,
                application: "pg_receivewal".to_owned(),
                state: "streaming".to_owned(),
                sent: None,
                flushed: None,
                replayed: None,
                sync_state: "async".to_owned(),
            });
        })
        .await;
        let seen = site.sim.server(&name("n2")).await.unwrap();
        assert_eq!(seen.senders, 1);
        let ran = site
            .run("follow", &[("node", "n3"), ("upstream", "n2")])
            .await;
        ran.expect(Outcome::Refused);
        let (step, why) = failed(&ran);
        assert_eq!(step, "create_slot");
        assert!(why.contains("pg_receivewal"), "{why}");
    });
}

#[test]
fn a_server_that_is_down_has_the_slots_that_lie_on_its_disk() {
    simulated(async {
        let site = Site::new(3, Commits::Asynchronous, 2);
        site.after(Disruption::StopServer(name("n1")), 500).await;
        let facts = snapshot(&site.sim).await;
        let told = &facts.nodes[&name("n1")];
        assert!(told.slots.known().is_none());
        let on_disk = [slot("pgbaton_n2"), slot("pgbaton_n3")];
        assert_eq!(told.host.known().unwrap().slots, on_disk);
        let twin = twin_of(&facts, Commits::Asynchronous);
        assert_eq!(twin.state("n1").slots, on_disk);
        twin.run("failover", &[("candidate", "n2")])
            .await
            .expect(Outcome::Ok);
        let follow = [("node", "n1"), ("upstream", "n2")];
        twin.run("follow", &follow).await.expect(Outcome::Ok);
        assert!(twin.state("n1").slots.is_empty(), "nobody needs them there");
    });
}

#[test]
fn wal_that_is_gone_from_a_server_feeds_nobody() {
    const GONE: Lsn = Lsn(0x0400_0000);
    let can_feed = |site: &Site, node: &NodeName| site.sim.with(|w| w.can_feed(&name("n1"), node));
    simulated(async {
        let site = changed(|facts| {
            *known(&mut of(facts, "n1").wal_files) = WalFiles {
                segment: 16 << 20,
                oldest: Some(GONE),
                histories: Vec::new(),
            };
        })
        .await;
        assert!(!can_feed(&site, &name("n2")));
        let site = changed(|_| ()).await;
        assert!(can_feed(&site, &name("n2")));
    });
}

#[test]
fn a_standby_that_delays_its_replay_is_no_candidate_for_a_handover() {
    simulated(async {
        let site = changed(|facts| {
            let settings = known(&mut of(facts, "n2").settings);
            let delay = settings.get_mut("recovery_min_apply_delay").unwrap();
            *delay = Setting {
                value: "3600000".to_owned(),
                source: "configuration file".to_owned(),
                ..delay.clone()
            };
        })
        .await;
        let ran = site.run("switchover", &[("candidate", "n2")]).await;
        ran.expect(Outcome::Refused);
        let (step, why) = failed(&ran);
        assert_eq!(step, "check_candidate");
        assert!(why.contains("delayed"), "{why}");
    });
}

#[test]
fn a_standby_that_hangs_still_holds_its_slot() {
    simulated(async {
        let site = Site::new(3, Commits::Asynchronous, 3);
        site.after(Disruption::Freeze(name("n3")), 500).await;
        let facts = snapshot(&site.sim).await;
        let twin = twin_of(&facts, Commits::Asynchronous);
        let held = async |twin: &Site| {
            let (slots, _) = twin.sim.slots(&name("n1")).await.unwrap();
            let own = slots.iter().find(|s| s.name == slot("pgbaton_n3"));
            own.unwrap().active_pid.is_some()
        };
        assert!(held(&twin).await);
        // Until its sender has waited for too long.
        twin.sim.pass(Duration::from_secs(90)).await;
        assert!(!held(&twin).await);
    });
}

#[test]
fn a_server_whose_senders_are_taken_does_not_answer_by_the_replication_protocol() {
    simulated(async {
        let site = changed(|facts| {
            let settings = known(&mut of(facts, "n1").settings);
            let most = settings.get_mut("max_wal_senders").unwrap();
            "2".clone_into(&mut most.value);
            "configuration file".clone_into(&mut most.source);
        })
        .await;
        let refused = site.sim.identify(&name("n1")).await.unwrap_err();
        assert!(refused.message.contains("53300"), "{refused:?}");
        site.sim.identify(&name("n2")).await.unwrap();
    });
}

/// Subscribers that wait for standbys, and a slot of theirs that these have copies of.
fn with_a_subscriber(facts: &mut Snapshot) {
    let setting = |value: &str| Setting {
        value: value.to_owned(),
        context: "sighup".to_owned(),
        source: "configuration file".to_owned(),
        by_alter_system: false,
        pending_restart: false,
        secret: false,
        set: true,
    };
    let physical = known(&mut of(facts, "n1").slots).0[0].clone();
    for node in ["n1", "n2", "n3"] {
        let facts = of(facts, node);
        known(&mut facts.server).version = 170_000;
        let settings = known(&mut facts.settings);
        settings.insert("wal_level".to_owned(), setting("logical"));
        let waited = setting("pgbaton_n2, pgbaton_n3");
        settings.insert("synchronized_standby_slots".to_owned(), waited);
        known(&mut facts.slots).0.push(Slot {
            name: slot("heard"),
            physical: false,
            active_pid: None,
            failover: true,
            origin: match node {
                "n1" => SlotOrigin::Own,
                _ => SlotOrigin::Copied,
            },
            ..physical.clone()
        });
    }
}

#[test]
fn subscribers_wait_for_the_standbys_that_there_are() {
    simulated(async {
        let site = changed(with_a_subscriber).await;
        let waited_for = async |node: &str| {
            let name_of = "synchronized_standby_slots";
            let settings = site.sim.settings(&name(node), &[name_of]).await.unwrap();
            settings[name_of].value.clone()
        };
        site.after(Disruption::StopServer(name("n1")), 500).await;
        let ran = site.run("failover", &[("candidate", "n2")]).await;
        ran.expect(Outcome::Ok);
        assert_eq!(waited_for("n2").await, "pgbaton_n3");
        let (slots, _) = site.sim.slots(&name("n2")).await.unwrap();
        let heard = slots.iter().find(|s| s.name == slot("heard")).unwrap();
        assert_eq!(heard.origin, SlotOrigin::Own);
        let follow = [("node", "n1"), ("upstream", "n2")];
        let ran = site.run("follow", &follow).await;
        ran.expect(Outcome::Ok);
        assert_eq!(waited_for("n2").await, "pgbaton_n1, pgbaton_n3");
        assert!(site.state("n1").slots.is_empty(), "its former slot is gone");
        // A standby that leaves is not waited for: the slot that it had goes.
        let follow = [("node", "n3"), ("upstream", "n1")];
        let ran = site.run("follow", &follow).await;
        ran.expect(Outcome::Ok);
        assert_eq!(waited_for("n2").await, "pgbaton_n1");
    });
}

#[test]
fn a_handover_does_not_cost_a_subscriber_its_place_unasked() {
    for (copied, accepted, outcome) in [
        (true, "check", Outcome::Ok),
        (false, "check", Outcome::Refused),
        (false, "ignore", Outcome::Ok),
    ] {
        simulated(async {
            let site = changed(|facts| {
                with_a_subscriber(facts);
                let origin = if copied {
                    SlotOrigin::Copied
                } else {
                    SlotOrigin::Copying
                };
                let slots = known(&mut of(facts, "n2").slots);
                slots.0.iter_mut().for_each(|s| s.origin = origin);
            })
            .await;
            let params = [("candidate", "n2"), ("logical_slots", accepted)];
            let ran = site.run("switchover", &params).await;
            ran.expect(outcome);
            if outcome == Outcome::Refused {
                assert_eq!(failed(&ran).0, "check_candidate");
                assert_eq!(site.primary(), "n1");
            }
            let lost = ran.told().contains("logical slot heard of n1 is not on n2");
            assert_eq!(lost, accepted == "ignore");
        });
    }
}
