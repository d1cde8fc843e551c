//! What the world is told of a watch: each incident once, not each look, and before anything that takes its time.

use super::support::{Site, auto, name, watched};
use pgbaton::cluster::{Detector, Mode};
use pgbaton::simulate::Disruption as D;
use pgbaton::trigger::Pause;

/// What was announced, as in the site file.
fn kinds(site: &Site) -> Vec<&'static str> {
    site.desk
        .with(|log| log.news.iter().map(|news| news.event.as_str()).collect())
}

#[test]
fn who_only_observes_tells_an_incident_once() {
    watched(Detector::default(), 1, async |site| {
        site.disrupt(D::KillServer(name("n1")));
        site.seconds(300.0).await;
        assert_eq!(kinds(&site), ["incident_begun", "would_fail_over"]);
        site.desk.with(|log| {
            let incident = log.news[0].incident.clone();
            assert!(incident.is_some());
            assert!(log.news.iter().all(|news| news.incident == incident));
            let [order] = &log.foretold[..] else {
                panic!("{} plans for one incident", log.foretold.len())
            };
            assert_eq!(order.playbook, "failover");
            assert_eq!(order.params, [("old_primary".to_owned(), "n1".to_owned())]);
            assert!(
                log.news[1].text.contains("`failover` would have been run"),
                "{}",
                log.news[1].text
            );
        });
        site.disrupt(D::StartServer(name("n1")));
        site.seconds(30.0).await;
        assert_eq!(kinds(&site)[2..], ["incident_ended"]);
        // The next one is another.
        site.disrupt(D::KillServer(name("n1")));
        site.seconds(60.0).await;
        assert_eq!(kinds(&site)[3..], ["incident_begun", "would_fail_over"]);
        site.desk
            .with(|log| assert_ne!(log.news[0].incident, log.news[3].incident));
    });
}

/// Nobody is to learn of a loss only when it has been repaired.
#[test]
fn an_incident_is_told_before_its_run_begins() {
    watched(auto(), 1, async |site| {
        site.disrupt(D::KillServer(name("n1")));
        site.seconds(60.0).await;
        assert_eq!(kinds(&site)[..2], ["incident_begun", "incident_ended"]);
        assert_eq!(site.orders(), 1);
        let begun = site.desk.with(|log| log.orders_when_told[0]);
        assert_eq!(begun, 0, "it was told before anything was started");
    });
}

/// What came of it at last is news, although it has been said that it could not be run.
#[test]
fn what_came_of_a_run_is_told_after_one_that_could_not_begin() {
    watched(auto(), 1, async |site| {
        site.desk.with(|log| log.busy = 2);
        site.disrupt(D::KillServer(name("n1")));
        site.seconds(60.0).await;
        let told = site.told();
        let [held, came] = &told[..] else {
            panic!("{told:#?}");
        };
        assert!(held.contains("could not be run"), "{held}");
        assert!(came.contains("`failover` was run and"), "{came}");
    });
}

#[test]
fn who_asks_says_so_once() {
    let approve = Detector {
        mode: Mode::Approve,
        ..Detector::default()
    };
    watched(approve, 1, async |site| {
        site.desk.with(|log| log.fails = true);
        site.disrupt(D::KillServer(name("n1")));
        site.seconds(300.0).await;
        let told = kinds(&site);
        assert_eq!(told, ["incident_begun", "would_fail_over", "held_back"]);
        let foretold = site.desk.with(|log| log.foretold.len());
        assert_eq!(foretold, 1, "and only where a person decides");
        let text = site.desk.with(|log| log.news[1].text.clone());
        assert!(text.contains("asks before it does anything"), "{text}");
    });
}

#[test]
fn what_the_gate_holds_back_is_told_once_for_each_reason() {
    for loss in [D::KillServer(name("n1")), D::HostDown(name("n1"))] {
        watched(auto(), 1, async |site| {
            let pause = Pause {
                owner: "ann".to_owned(),
                reason: "moving racks".to_owned(),
                since: "2026-01-01T00:00:00Z".parse().unwrap(),
                until: "2026-01-01T01:00:00Z".parse().unwrap(),
            };
            site.desk.with(|log| log.pause = Some(pause));
            site.disrupt(loss);
            site.seconds(300.0).await;
            let told = kinds(&site);
            assert_eq!(
                told.iter().filter(|kind| **kind == "held_back").count(),
                1,
                "{told:?}"
            );
            assert_eq!(
                told.iter()
                    .filter(|kind| **kind == "incident_begun")
                    .count(),
                1,
                "{told:?}"
            );
        });
    }
    // Its seconds run, and it is the same reason all the time.
    watched(auto(), 1, async |site| {
        site.disrupt(D::Lose(name("n1")));
        site.seconds(60.0).await;
        site.disrupt(D::HostDown(name("n1")));
        site.seconds(300.0).await;
        let told = kinds(&site);
        assert_eq!(told, ["incident_begun", "incident_changed", "held_back"]);
        let notices = site.told();
        let stale = notices.iter().filter(|t| t.contains("it lived on since"));
        assert_eq!(stale.count(), 1, "{notices:?}");
    });
}

#[test]
fn that_a_failover_would_not_succeed_any_more_is_told_once() {
    watched(auto(), 1, async |site| {
        let all = |site: &Site| -> Vec<&str> {
            let kinds = kinds(site).into_iter();
            kinds.filter(|kind| kind.ends_with("ready")).collect()
        };
        for node in ["n2", "n3"] {
            site.disrupt(D::HostDown(name(node)));
        }
        site.seconds(200.0).await;
        assert_eq!(all(&site), ["not_ready"]);
        for node in ["n2", "n3"] {
            site.disrupt(D::ComeBack(name(node)));
        }
        site.seconds(200.0).await;
        assert_eq!(all(&site), ["not_ready", "ready"]);
    });
}
