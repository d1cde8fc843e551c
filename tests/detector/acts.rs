//! When something is started, and what stands against it.

use super::support::{auto, name, watched};
use pgbaton::cluster::{Detector, Mode, OnShutdown};
use pgbaton::simulate::{Disruption as D, Shell};
use pgbaton::trigger::{Code, Passage, Pause, TRIGGER};
use std::time::Duration;

#[test]
fn a_primary_that_is_killed_is_replaced_once() {
    watched(auto(), 1, async |site| {
        site.disrupt(D::KillServer(name("n1")));
        site.seconds(1.0).await;
        let orders = site.desk.with(|log| std::mem::take(&mut log.orders));
        let [order] = &orders[..] else {
            panic!("{}", orders.len())
        };
        assert_eq!(
            (order.playbook.as_str(), order.trigger.as_str()),
            ("failover", TRIGGER)
        );
        assert_eq!(order.params, [("old_primary".to_owned(), "n1".to_owned())]);
        site.seconds(60.0).await;
        assert_eq!(
            (site.code(), site.orders()),
            (Code::Ok, 0),
            "n2 is the primary now"
        );
        assert_eq!(site.analysis().primary, Some(name("n2")));
    });
}

/// The look that finds it is not the one that starts something; and a host that says nothing must do so for a while.
#[test]
fn a_suspicion_must_last() {
    for (detector, disruption, back, seconds) in [
        (
            auto(),
            D::HostDown(name("n1")),
            D::ComeBack(name("n1")),
            1.5,
        ),
        (auto(), D::Freeze(name("n1")), D::Thaw(name("n1")), 25.0),
    ] {
        watched(detector, 1, async |site| {
            site.disrupt(disruption);
            site.seconds(seconds).await;
            site.disrupt(back);
            site.seconds(60.0).await;
            assert_eq!(site.orders(), 0, "{:?}", site.told());
        });
    }
    watched(auto(), 1, async |site| {
        site.disrupt(D::Freeze(name("n1")));
        site.seconds(40.0).await;
        assert_eq!(site.orders(), 1, "a server that hangs for long is replaced");
    });
}

/// What a loss is called decides what is run for it, and whether anything is.
#[test]
fn the_site_says_what_is_run_for_which_loss() {
    let detector = Detector {
        playbooks: [
            ("primary_hangs".to_owned(), None),
            (
                "postgres_down_host_up".to_owned(),
                Some("careful".to_owned()),
            ),
        ]
        .into(),
        ..auto()
    };
    watched(detector.clone(), 1, async |site| {
        site.disrupt(D::Freeze(name("n1")));
        site.seconds(120.0).await;
        assert_eq!(site.orders(), 0, "{:?}", site.told());
        let told = site.told();
        let said = "the site file starts nothing for primary_hangs";
        let times = told.iter().filter(|text| text.contains(said)).count();
        assert_eq!(times, 1, "told once: {told:?}");
    });
    watched(detector, 1, async |site| {
        site.disrupt(D::KillServer(name("n1")));
        site.seconds(1.0).await;
        let orders = site.desk.with(|log| std::mem::take(&mut log.orders));
        assert_eq!(orders[0].playbook, "careful");
    });
}

#[test]
fn an_administrator_who_stops_the_primary_is_left_alone() {
    watched(auto(), 1, async |site| {
        site.disrupt(D::StopServer(name("n1")));
        site.seconds(60.0).await;
        assert_eq!(site.orders(), 0);
        let told = site.told();
        assert_eq!(told.len(), 1, "told once: {told:?}");
        assert!(told[0].contains("shut down cleanly"), "{told:?}");
        site.disrupt(D::StartServer(name("n1")));
        site.seconds(15.0).await;
        assert_eq!(site.code(), Code::Ok);
    });
    let act = Detector {
        on_shutdown: OnShutdown::Act,
        ..auto()
    };
    watched(act, 1, async |site| {
        site.disrupt(D::StopServer(name("n1")));
        site.seconds(5.0).await;
        assert_eq!(site.orders(), 1);
    });
}

#[test]
fn who_only_observes_says_once_what_would_have_been_run() {
    watched(Detector::default(), 1, async |site| {
        site.disrupt(D::KillServer(name("n1")));
        site.seconds(120.0).await;
        assert_eq!(site.orders(), 0);
        let held: Vec<_> = site.desk.with(|log| {
            let notices = log.notices.iter();
            notices.filter_map(|n| n.held_back.clone()).collect()
        });
        assert_eq!(held.len(), 1, "{:?}", site.told());
        let held = &held[0];
        assert_eq!(
            (&held.passage, held.playbook.as_str()),
            (&Passage::Observe, "failover")
        );
    });
}

#[test]
fn who_is_to_ask_starts_with_the_question() {
    let detector = Detector {
        mode: Mode::Approve,
        ..Detector::default()
    };
    watched(detector, 1, async |site| {
        site.disrupt(D::KillServer(name("n1")));
        site.seconds(5.0).await;
        let asked = site.desk.with(|log| log.orders[0].playbook.clone());
        assert_eq!(asked, "approved_failover");
    });
}

#[test]
fn a_pause_holds_it_back_and_its_end_lets_it_through() {
    for loss in [D::KillServer(name("n1")), D::HostDown(name("n1"))] {
        held_back(loss);
    }
}

fn held_back(loss: D) {
    watched(auto(), 1, async |site| {
        let pause = Pause {
            owner: "ann".to_owned(),
            reason: "moving racks".to_owned(),
            since: "2026-01-01T00:00:00Z".parse().unwrap(),
            until: "2026-01-01T01:00:00Z".parse().unwrap(),
        };
        site.desk.with(|log| log.pause = Some(pause));
        site.disrupt(loss);
        site.seconds(60.0).await;
        assert_eq!(site.orders(), 0);
        assert!(
            site.told()[0].contains("ann has paused what starts by itself"),
            "{:?}",
            site.told()
        );
        site.desk.with(|log| log.pause = None);
        site.seconds(15.0).await;
        assert_eq!(site.orders(), 1);
    });
}

/// A run that was refused is not tried again and again.
#[test]
fn after_a_run_nothing_is_started_for_a_while() {
    watched(auto(), 1, async |site| {
        site.desk.with(|log| log.fails = true);
        site.disrupt(D::KillServer(name("n1")));
        site.seconds(9.0 * 60.0).await;
        assert_eq!(site.orders(), 1, "{:?}", site.told());
        assert_eq!(
            site.told().len(),
            2,
            "the run, and that nothing more is started: {:?}",
            site.told()
        );
        site.seconds(2.0 * 60.0).await;
        assert_eq!(site.orders(), 2);
    });
}

/// Of a primary that it has never seen alive it cannot say that it has died.
#[test]
fn whoever_comes_to_a_dead_primary_does_not_act() {
    watched(auto(), 1, async |site| {
        site.disrupt(D::Shell(name("n2"), Shell::Works));
        site.disrupt(D::KillServer(name("n1")));
        let port: std::sync::Arc<dyn pgbaton::cluster::Watch> =
            std::sync::Arc::new(site.sim.clone());
        let limit = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
        site.desk.with(|log| log.orders.clear());
        let desk: std::sync::Arc<dyn pgbaton::trigger::Desk> = site.desk.clone();
        drop(site);
        let late = pgbaton::trigger::Sentry::new(port, desk, limit);
        let state = late.state();
        let seen = tokio::time::timeout(Duration::from_mins(5), late.watch()).await;
        assert!(seen.is_err(), "it watches on");
        assert_eq!(
            state.borrow().analysis.as_ref().unwrap().code,
            Code::NoPrimary
        );
    });
}

/// It lived on for a minute without us, and its settings may have been changed meanwhile: what is remembered proves nothing.
#[test]
fn what_is_remembered_from_before_it_lived_on_is_no_proof() {
    watched(auto(), 1, async |site| {
        site.disrupt(D::Lose(name("n1")));
        site.seconds(60.0).await;
        assert_eq!(site.code(), Code::PrimaryUnreachable);
        site.disrupt(D::HostDown(name("n1")));
        site.seconds(30.0).await;
        assert_eq!((site.code(), site.orders()), (Code::PrimaryDead, 0));
        let told = site.told();
        assert!(
            told.iter().any(|t| t.contains("it lived on since")),
            "{told:?}"
        );
    });
}
