//! Failover.

use super::support::{Commits, Ran, Site, inventory, name, simulated, slot, world};
use pgbaton::engine::Outcome;
use pgbaton::simulate::{Disruption, Habit, What};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const WAIVED: [(&str, &str); 2] = [
    ("waive_fence", "test: the power is off"),
    ("accept_loss", "test: it is gone"),
];

#[test]
fn a_killed_primary_is_replaced_and_nothing_acknowledged_is_lost() {
    for commits in [Commits::Asynchronous, Commits::Quorum] {
        simulated(async {
            let site = Site::new(4, commits, 1);
            site.sim.pass(Duration::from_secs(1)).await;
            site.after(Disruption::KillServer(name("n1")), 300).await;
            let ran = site.run("failover", &[]).await;
            ran.expect(Outcome::Ok);
            let new = site.primary();
            assert_ne!(new, "n1");
            let mut slots = Vec::new();
            for standby in ["n2", "n3", "n4"].into_iter().filter(|n| *n != new) {
                site.assert_streams(standby, &new);
                slots.push(slot(&format!("pgbaton_{standby}")));
            }
            assert_eq!(site.state(&new).slots, slots);
            assert_eq!(site.state(&new).timeline.0, 2);
            assert!(site.state("n1").signal, "it cannot come back as a primary");
            site.sim.pass(Duration::from_secs(3)).await;
            site.assert_nothing_lost(&new);
            let promotions = site.sim.with(|w| w.completed_promotions());
            assert_eq!(promotions.len(), 1);
            for standby in ["n2", "n3", "n4"] {
                assert!(site.state(standby).saved.is_empty(), "{standby}");
            }
        });
    }
}

/// PostgreSQL 12: nothing less than a restart without an upstream is a freeze.
#[test]
fn standbys_that_cannot_reload_their_upstream_are_frozen_by_a_restart() {
    simulated(async {
        let nodes = inventory(3, Commits::Quorum);
        let old = world(&nodes, Commits::Quorum, 11).version(120_000).build();
        let site = Site::over(nodes, old, 11);
        site.sim.pass(Duration::from_secs(1)).await;
        site.after(Disruption::KillServer(name("n1")), 300).await;
        let ran = site.run("failover", &[]).await;
        ran.expect(Outcome::Ok);
        let done = ran.operations();
        let place = |operation: &str| done.iter().position(|o| o == operation).unwrap();
        assert!(place("freeze") < place("start"), "{done:?}");
        assert!(place("start") < place("promote"), "{done:?}");
        let new = site.primary();
        site.assert_streams(if new == "n2" { "n3" } else { "n2" }, &new);
        site.sim.pass(Duration::from_secs(3)).await;
        site.assert_nothing_lost(&new);
    });
}

#[test]
fn a_freeze_by_a_restart_is_taken_back_by_another() {
    simulated(async {
        let nodes = inventory(3, Commits::Asynchronous);
        let old = world(&nodes, Commits::Asynchronous, 12)
            .version(120_000)
            .build();
        let site = Site::over(nodes, old, 12);
        site.after(Disruption::HostDown(name("n1")), 1000).await;
        let ran = site.run("failover", &[]).await;
        ran.expect(Outcome::Refused);
        for standby in ["n2", "n3"] {
            let state = site.state(standby);
            assert_eq!(state.set_to, Some(("n1.rehearsal".to_owned(), 5432)));
            assert!(state.saved.is_empty(), "{state:?}");
        }
        let starts = ran.operations().iter().filter(|o| *o == "start").count();
        assert_eq!(starts, 4, "each is restarted to be frozen, and again");
    });
}

#[test]
fn a_primary_that_was_stopped_cleanly_may_be_replaced() {
    simulated(async {
        let site = Site::new(3, Commits::Asynchronous, 2);
        site.sim.pass(Duration::from_secs(1)).await;
        site.after(Disruption::StopServer(name("n1")), 1000).await;
        site.run("failover", &[]).await.expect(Outcome::Ok);
        site.assert_nothing_lost(&site.primary());
    });
}

#[test]
fn a_dead_host_without_a_proof_is_refused_and_the_standbys_are_left_as_they_were() {
    simulated(async {
        let site = Site::new(3, Commits::Asynchronous, 3);
        site.after(Disruption::HostDown(name("n1")), 1000).await;
        let ran = site.run("failover", &[]).await;
        ran.expect(Outcome::Refused);
        let why = ran.report.failure.as_ref().unwrap().message.clone();
        assert!(why.contains("nothing proves that n1"), "{why}");
        assert!(site.primaries().is_empty());
        for standby in ["n2", "n3"] {
            let state = site.state(standby);
            assert_eq!(state.set_to, Some(("n1.rehearsal".to_owned(), 5432)));
            assert!(state.saved.is_empty(), "{state:?}");
        }
        let ran = site.run("failover", &WAIVED).await;
        ran.expect(Outcome::Ok);
        assert!(ran.told().contains("WAIVED"));
        assert!(ran.told().contains("stop n1 at first contact"));
    });
}

#[test]
fn a_dead_host_is_starved_where_its_commits_waited_for_the_standbys() {
    simulated(async {
        let site = Site::new(3, Commits::Quorum, 4);
        site.sim.pass(Duration::from_secs(1)).await;
        site.after(Disruption::HostDown(name("n1")), 1000).await;
        let ran = site.run("failover", &[]).await;
        ran.expect(Outcome::Ok);
        assert!(ran.told().contains("n1 is starved"), "{}", ran.told());
        site.sim.pass(Duration::from_secs(3)).await;
        site.assert_nothing_lost(&site.primary());
    });
}

#[test]
fn a_host_that_did_not_answer_just_now_is_not_waited_for_once_more_where_another_proof_is_at_hand()
{
    simulated(async {
        let site = Site::new(3, Commits::Quorum, 4);
        site.sim.pass(Duration::from_secs(1)).await;
        site.after(Disruption::HostDown(name("n1")), 1000).await;
        let asked = Arc::new(Mutex::new(0));
        let count = Arc::clone(&asked);
        site.sim.inject(|calls| {
            calls.on_call(move |call| {
                if call.node == Some(&name("n1")) && matches!(call.what, What::Observe("host")) {
                    *count.lock().unwrap() += 1;
                }
                None
            });
        });
        let ran = site.run("failover", &[]).await;
        ran.expect(Outcome::Ok);
        assert!(ran.told().contains("n1 is starved"), "{}", ran.told());
        // By `confirm`, which found out that it does not answer.
        assert_eq!(*asked.lock().unwrap(), 1);
    });
}

#[test]
fn a_standby_that_lags_is_not_chosen_and_follows_all_the_same() {
    simulated(async {
        let site = Site::new(3, Commits::Quorum, 5);
        site.disrupt(&Disruption::StallReceiver(name("n2")));
        site.disrupt(&Disruption::Write(name("n1"), 60_000_000));
        site.sim.pass(Duration::from_secs(1)).await;
        site.disrupt(&Disruption::KillServer(name("n1")));
        site.after(Disruption::ResumeReceiver(name("n2")), 200)
            .await;
        site.run("failover", &[]).await.expect(Outcome::Ok);
        assert_eq!(site.primary(), "n3");
        site.assert_streams("n2", "n3");
        site.assert_nothing_lost("n3");
    });
}

#[test]
fn a_standby_that_replays_late_is_drained_before_it_is_compared() {
    simulated(async {
        let site = Site::new(3, Commits::Quorum, 6);
        site.disrupt(&Disruption::PauseReplay(name("n3")));
        site.sim.pass(Duration::from_secs(1)).await;
        site.after(Disruption::KillServer(name("n1")), 200).await;
        let ran = site.run("failover", &[]).await;
        assert!(matches!(
            ran.report.outcome,
            Outcome::Ok | Outcome::Degraded
        ));
        site.assert_nothing_lost(&site.primary());
    });
}

#[test]
fn with_a_standby_down_the_run_ends_degraded_and_names_it() {
    simulated(async {
        let site = Site::new(3, Commits::Quorum, 7);
        site.after(Disruption::StopServer(name("n3")), 500).await;
        site.after(Disruption::KillServer(name("n1")), 200).await;
        let ran = site.run("failover", &[]).await;
        ran.expect(Outcome::Degraded);
        assert!(
            ran.report.debts.iter().any(|d| d.contains("n3")),
            "{:?}",
            ran.report
        );
        assert_eq!(site.primary(), "n2");
        site.assert_nothing_lost("n2");
    });
}

#[test]
fn a_standby_that_hangs_is_named_and_does_not_hold_up_the_others() {
    simulated(async {
        let site = Site::new(4, Commits::Quorum, 8);
        site.disrupt(&Disruption::Freeze(name("n4")));
        site.after(Disruption::KillServer(name("n1")), 200).await;
        let ran = site.run("failover", &[]).await;
        ran.expect(Outcome::Degraded);
        assert!(ran.told().contains("freeze[n4]"));
        let new = site.primary();
        site.assert_streams(if new == "n2" { "n3" } else { "n2" }, &new);
    });
}

#[test]
fn a_living_primary_is_not_replaced() {
    simulated(async {
        let site = Site::new(3, Commits::Quorum, 9);
        let ran = site.run("failover", &[]).await;
        ran.expect(Outcome::Refused);
        assert!(ran.told().contains("n1 is alive"), "{}", ran.told());
        assert_eq!(ran.operations(), Vec::<String>::new());
        assert_eq!(site.primary(), "n1");
        site.assert_streams("n2", "n1");
        site.assert_streams("n3", "n1");
    });
}

#[test]
fn a_primary_that_only_the_runner_cannot_reach_is_not_replaced() {
    use pgbaton::simulate::Place;
    simulated(async {
        let site = Site::new(3, Commits::Quorum, 10);
        let n1 = || Place::Node(name("n1"));
        site.disrupt(&Disruption::Cut(Place::Runner, n1()));
        site.disrupt(&Disruption::Cut(n1(), Place::Runner));
        let ran = site.run("failover", &[("old_primary", "n1")]).await;
        ran.expect(Outcome::Refused);
        assert_eq!(ran.operations(), Vec::<String>::new());
    });
}

#[test]
fn a_frozen_primary_is_stopped_before_anybody_is_promoted() {
    simulated(async {
        let site = Site::new(3, Commits::Quorum, 11);
        site.sim.pass(Duration::from_secs(1)).await;
        site.after(Disruption::Freeze(name("n1")), 200).await;
        let ran = site.run("failover", &[]).await;
        ran.expect(Outcome::Ok);
        let operations = ran.operations();
        let first = |wanted: &str| operations.iter().position(|o| o == wanted).unwrap();
        assert!(first("stop") < first("promote"), "{operations:?}");
        site.assert_nothing_lost(&site.primary());
    });
}

#[test]
fn orphans_that_go_on_committing_are_ended_before_the_promotion() {
    simulated(async {
        let inventory = inventory(3, Commits::Asynchronous);
        let world = world(&inventory, Commits::Asynchronous, 12)
            .client(Duration::from_millis(5), Habit::Loop)
            .build();
        let site = Site::over(inventory, world, 12);
        site.sim.pass(Duration::from_secs(1)).await;
        site.after(Disruption::KillServer(name("n1")), 500).await;
        assert_eq!(site.sim.with(|w| w.can_acknowledge()), [name("n1")]);
        let ran = site.run("failover", &[("max_loss", "1GiB")]).await;
        ran.expect(Outcome::Ok);
        let operations = ran.operations();
        let first = |wanted: &str| operations.iter().position(|o| o == wanted).unwrap();
        assert!(first("end_orphans") < first("promote"), "{operations:?}");
        let new = name(&site.primary());
        let lost = site.sim.with(|w| w.missing_on(&new));
        assert!(
            !lost.is_empty(),
            "what the orphans committed is lost, and was agreed to"
        );
    });
}

#[test]
fn one_seed_tells_one_story() {
    let story = |seed: u64| -> (Ran, String) {
        simulated(async {
            let site = Site::new(4, Commits::Quorum, seed);
            site.sim.pass(Duration::from_secs(1)).await;
            site.after(Disruption::KillServer(name("n1")), 200).await;
            let ran = site.run("failover", &[]).await;
            let states = format!("{:?}", site.sim.with(|w| w.states()));
            (ran, states)
        })
    };
    let (one, same, other) = (story(20), story(20), story(21));
    assert_eq!(one.0.events.len(), same.0.events.len());
    for (a, b) in one.0.events.iter().zip(&same.0.events) {
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
    }
    assert_eq!(one.1, same.1);
    assert_ne!(
        format!("{:?}", one.0.events),
        format!("{:?}", other.0.events)
    );
}
