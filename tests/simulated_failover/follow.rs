//! Follow.

use super::support::{Commits, Site, checked, inventory, name, simulated, slot, world};
use pgbaton::document::Source;
use pgbaton::engine::Outcome;
use pgbaton::simulate::Disruption;
use std::time::Duration;

const N3_TO_N2: [(&str, &str); 2] = [("node", "n3"), ("upstream", "n2")];

#[test]
fn the_second_run_changes_nothing() {
    simulated(async {
        let site = Site::new(3, Commits::Asynchronous, 1);
        site.run("follow", &N3_TO_N2).await.expect(Outcome::Ok);
        site.assert_streams("n3", "n2");
        assert_eq!(site.state("n2").slots, [slot("pgbaton_n3")]);
        let before = site.state("n3");
        let ran = site.run("follow", &N3_TO_N2).await;
        ran.expect(Outcome::Ok);
        assert_eq!(ran.operations(), ["mark"]);
        let after = site.state("n3");
        assert_eq!((after.set_to, after.saved), (before.set_to, before.saved));
    });
}

#[test]
fn a_node_ahead_of_the_fork_is_refused_before_any_change() {
    simulated(async {
        let site = Site::new(3, Commits::Asynchronous, 2);
        site.disrupt(&Disruption::StallReceiver(name("n2")));
        site.disrupt(&Disruption::Write(name("n1"), 60_000_000));
        site.sim.pass(Duration::from_millis(200)).await;
        site.disrupt(&Disruption::KillServer(name("n1")));
        site.disrupt(&Disruption::ResumeReceiver(name("n2")));
        site.after(Disruption::Promote(name("n2")), 1000).await;
        let before = site.state("n3");
        let ran = site.run("follow", &N3_TO_N2).await;
        ran.expect(Outcome::Refused);
        let told = ran.told();
        assert!(
            told.contains("beyond the point where n2 left its timeline"),
            "{told}"
        );
        assert_eq!(ran.operations(), Vec::<String>::new());
        assert_eq!(site.state("n3"), before);
        assert!(site.state("n2").slots.is_empty());
    });
}

#[test]
fn versions_that_cannot_reload_the_upstream_are_restarted() {
    for (version, operations) in [(150_000, vec!["reload"]), (120_000, vec!["stop", "start"])] {
        simulated(async {
            let inventory = inventory(3, Commits::Asynchronous);
            let world = world(&inventory, Commits::Asynchronous, 3)
                .version(version)
                .build();
            let site = Site::over(inventory, world, 3);
            let ran = site.run("follow", &N3_TO_N2).await;
            ran.expect(Outcome::Ok);
            site.assert_streams("n3", "n2");
            let done = ran.operations();
            for operation in operations {
                assert!(done.iter().any(|o| o == operation), "{version}: {done:?}");
            }
        });
    }
}

#[test]
fn a_standby_that_does_not_stop_is_stopped_harder_and_comes_back() {
    simulated(async {
        let site = Site::new(3, Commits::Asynchronous, 4);
        site.disrupt(&Disruption::HangSession(name("n3")));
        let params = [&N3_TO_N2[..], &[("apply", "restart")]].concat();
        let ran = site.run("follow", &params).await;
        ran.expect(Outcome::Ok);
        assert!(ran.told().contains("did not stop"), "{}", ran.told());
        site.assert_streams("n3", "n2");
    });
}

#[test]
fn a_follow_that_fails_leaves_the_standby_as_it_was() {
    let stock = include_str!("../../playbooks/follow.yaml");
    let vetoed = stock.replace(
        "  verify_attach:\n    needs: [start]",
        "  veto:\n    needs: [start]\n    action: assert\n    with: { that: \"false\", message: the test says no }\n\n  verify_attach:\n    needs: [start, veto]",
    );
    assert_ne!(vetoed, stock);
    let playbook = checked(&Source::new("vetoed.yaml", vetoed));
    for apply in ["auto", "restart"] {
        simulated(async {
            let site = Site::new(3, Commits::Asynchronous, 5);
            let before = site.state("n3");
            let params = [&N3_TO_N2[..], &[("apply", apply)]].concat();
            let ran = site.run_checked(playbook.clone(), &params).await;
            ran.expect(Outcome::Refused);
            site.sim.pass(Duration::from_secs(6)).await;
            let after = site.state("n3");
            assert_eq!(after.set_to, before.set_to);
            site.assert_streams("n3", "n1");
            assert!(site.state("n2").slots.is_empty(), "{apply}");
            site.assert_tidy();
        });
    }
}

#[test]
fn a_standby_whose_wal_is_gone_from_the_upstream_does_not_attach() {
    simulated(async {
        let site = Site::new(3, Commits::Asynchronous, 6);
        site.disrupt(&Disruption::StallReceiver(name("n3")));
        site.disrupt(&Disruption::Write(name("n1"), 60_000_000));
        site.sim.pass(Duration::from_secs(1)).await;
        site.disrupt(&Disruption::DropWal(name("n2")));
        site.after(Disruption::StopServer(name("n3")), 500).await;
        let ran = site.run("follow", &N3_TO_N2).await;
        assert_ne!(ran.report.outcome, Outcome::Ok, "{}", ran.told());
        assert_ne!(site.state("n3").streams_from, Some(name("n2")));
        let slots = site.state("n2").slots;
        assert!(
            slots.is_empty(),
            "its slot would keep WAL for ever: {slots:?}"
        );
    });
}

#[test]
fn a_standby_that_is_down_is_started_by_its_follow() {
    simulated(async {
        let site = Site::new(3, Commits::Asynchronous, 7);
        site.after(Disruption::StopServer(name("n3")), 500).await;
        site.run("follow", &N3_TO_N2).await.expect(Outcome::Ok);
        site.assert_streams("n3", "n2");
    });
}
