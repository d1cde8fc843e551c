//! Switchover.

use super::support::{Commits, Site, checked, inventory, name, simulated, world};
use pgbaton::document::Source;
use pgbaton::engine::Outcome;
use pgbaton::simulate::Disruption;
use std::time::Duration;

#[test]
fn there_and_back_under_load_loses_nothing_and_leaves_nothing() {
    for commits in [Commits::Asynchronous, Commits::Quorum] {
        simulated(async {
            let site = Site::new(3, commits, 1);
            let nodes = ["n1", "n2", "n3"];
            for round in 1..=4 {
                let candidate = nodes[round % 2];
                let ran = site.run("switchover", &[("candidate", candidate)]).await;
                ran.expect(Outcome::Ok);
                assert_eq!(site.primary(), candidate);
                for node in nodes.into_iter().filter(|n| *n != candidate) {
                    site.assert_streams(node, candidate);
                }
                site.sim.pass(Duration::from_secs(1)).await;
                assert_eq!(
                    site.state(candidate).timeline.0,
                    u32::try_from(round).unwrap() + 1
                );
            }
            site.assert_nothing_lost("n1");
            site.assert_tidy();
            for standby in ["n2", "n3"] {
                assert!(site.state(standby).slots.is_empty(), "{standby}");
            }
            assert!(!site.state("n1").signal);
        });
    }
}

#[test]
fn standbys_that_ask_the_stopped_primary_again_and_again_hinder_nobody() {
    for seed in 1..=8 {
        simulated(async {
            let nodes = inventory(3, Commits::Quorum);
            // Nearly always one of them asks, as each does every few seconds with the server's own interval.
            let world = world(&nodes, Commits::Quorum, seed)
                .setting(None, "wal_retrieve_retry_interval", "1")
                .build();
            let site = Site::over(nodes, world, seed);
            let ran = site.run("switchover", &[("candidate", "n2")]).await;
            ran.expect(Outcome::Ok);
            assert_eq!(site.primary(), "n2");
            site.assert_nothing_lost("n1");
        });
    }
}

#[test]
fn a_failure_before_the_promotion_puts_the_old_primary_back() {
    let stock = include_str!("../../playbooks/switchover.yaml");
    let broken = stock.replace(
        "  promote:                      # the point of no return\n    needs: [fence,",
        "  veto:\n    needs: [fence, verify_handover]\n    action: assert\n    with: { that: \"false\", message: the test says no }\n\n  promote:\n    needs: [veto, fence,",
    );
    assert_ne!(broken, stock);
    let playbook = checked(&Source::new("broken.yaml", broken));
    simulated(async {
        let site = Site::new(3, Commits::Quorum, 2);
        let ran = site.run_checked(playbook, &[("candidate", "n2")]).await;
        ran.expect(Outcome::Refused);
        assert!(ran.told().contains("the test says no"));
        site.sim.pass(Duration::from_secs(6)).await;
        assert_eq!(site.primary(), "n1");
        assert!(!site.state("n1").signal);
        site.assert_streams("n2", "n1");
        site.assert_streams("n3", "n1");
        assert!(site.state("n2").slots.is_empty());
        site.assert_tidy();
        site.assert_nothing_lost("n1");
    });
}

#[test]
fn a_candidate_that_is_down_is_refused_before_anything_is_changed() {
    simulated(async {
        let site = Site::new(3, Commits::Quorum, 3);
        site.after(Disruption::StopServer(name("n2")), 500).await;
        let ran = site.run("switchover", &[("candidate", "n2")]).await;
        assert!(matches!(
            ran.report.outcome,
            Outcome::Failed | Outcome::Refused
        ));
        assert_eq!(ran.operations(), Vec::<String>::new());
        assert_eq!(site.primary(), "n1");
    });
}

#[test]
fn a_primary_that_does_not_stop_is_put_back() {
    simulated(async {
        let site = Site::new(3, Commits::Quorum, 4);
        site.sim.pass(Duration::from_secs(1)).await;
        site.disrupt(&Disruption::HangSession(name("n1")));
        let ran = site.run("switchover", &[("candidate", "n2")]).await;
        assert!(!matches!(
            ran.report.outcome,
            Outcome::Ok | Outcome::Degraded
        ));
        assert!(site.sim.with(|w| w.completed_promotions()).is_empty());
        assert!(site.state("n2").slots.is_empty());
        site.assert_nothing_lost("n1");
    });
}
