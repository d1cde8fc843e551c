//! Faults at calls of the port.

use super::support::{Commits, Site, inventory, name, simulated, world};
use pgbaton::engine::Outcome;
use pgbaton::simulate::{Disruption, Fault};
use std::time::Duration;

async fn failover_with(
    version: u32,
    fault: Option<(u64, Fault)>,
    seed: u64,
) -> (Site, Outcome, (u64, u64)) {
    let nodes = inventory(3, Commits::Quorum);
    let builder = world(&nodes, Commits::Quorum, seed).version(version);
    let world = builder.build();
    let site = Site::over(nodes, world, seed);
    site.sim.pass(Duration::from_millis(500)).await;
    site.after(Disruption::KillServer(name("n1")), 200).await;
    if let Some((k, fault)) = fault {
        site.sim.inject(|i| i.on_perform(k, fault));
    }
    let ran = site.run("failover", &[]).await;
    let counts = site.sim.inject(|i| i.counts());
    (site, ran.report.outcome, counts)
}

#[test]
fn a_fault_at_any_effect_never_makes_two_primaries_or_loses_a_commit() {
    // 12 restarts its standbys in a freeze.
    for version in [150_000, 120_000] {
        any_effect(version);
    }
}

fn any_effect(version: u32) {
    let (_, outcome, (effects, _)) = simulated(failover_with(version, None, 1));
    assert_eq!(outcome, Outcome::Ok);
    for k in 1..=effects {
        for fault in [
            Fault::FailBefore,
            Fault::FailAfter,
            Fault::LoseAnswer,
            Fault::Hang,
            Fault::Before(Disruption::KillServer(name("n2"))),
            Fault::After(Disruption::KillServer(name("n3"))),
            Fault::After(Disruption::StartServer(name("n1"))),
        ] {
            simulated(async {
                let told = format!("{fault:?} at effect {k} on {version}");
                let (site, _, _) = failover_with(version, Some((k, fault)), 1).await;
                let primaries = site.primaries();
                assert!(primaries.len() <= 1, "{told}: {primaries:?}");
                let promotions = site.sim.with(|w| w.completed_promotions().len());
                assert!(promotions <= 1, "{told}");
                if let [primary] = primaries.as_slice() {
                    site.assert_nothing_lost(primary);
                }
            });
        }
    }
}

#[test]
fn a_promotion_whose_answer_is_lost_is_never_sent_twice() {
    simulated(async {
        let site = Site::new(3, Commits::Quorum, 2);
        site.sim.pass(Duration::from_millis(500)).await;
        site.after(Disruption::KillServer(name("n1")), 200).await;
        site.sim.inject(|i| {
            let mut once = true;
            i.on_call(move |call| {
                let pgbaton::simulate::What::Perform(operation) = call.what else {
                    return None;
                };
                let promote = matches!(operation, pgbaton::cluster::Operation::Promote { .. });
                (promote && std::mem::take(&mut once)).then_some(Fault::LoseAnswer)
            });
        });
        let ran = site.run("failover", &[]).await;
        // Whether it was heard is for the server to tell.
        ran.expect(Outcome::Ok);
        assert_eq!(site.sim.with(|w| w.completed_promotions().len()), 1);
        assert_eq!(
            ran.operations().iter().filter(|o| *o == "promote").count(),
            1
        );
    });
}
