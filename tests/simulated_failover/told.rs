//! What live servers tell of themselves, and a world that begins there must know.

use super::seeded::twin_of;
use super::support::{Commits, Ran, Site, name, simulated, slot};
use pgbaton::cluster::{Archiving, Lsn, NodeName, Observe, Sender, Setting, WalFiles};
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
