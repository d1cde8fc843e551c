//! repmgrd beside the servers: paused for the run, and let go again by whoever finds it paused later.

use super::support::{Site, name, simulated};
use super::told::changed;
use pgbaton::cluster::{Manager, ManagerKind, Managers, Observe, Operation};
use pgbaton::engine::Outcome;
use pgbaton::simulate::{Disruption, Fact, Fault, What};
use std::time::Duration;

/// Three nodes with a repmgrd each; the primary has just died.
async fn primary_dead_under_repmgrd() -> Site {
    let repmgrd = Managers {
        found: vec![Manager {
            kind: ManagerKind::Repmgrd,
            sign: "process 4711".to_owned(),
            paused: Some(false),
        }],
        unseen: false,
    };
    let site = changed(|facts| {
        for node in facts.nodes.values_mut() {
            node.managers = Some(Fact::Known(repmgrd.clone()));
        }
    })
    .await;
    site.sim.pass(Duration::from_millis(500)).await;
    site.after(Disruption::KillServer(name("n1")), 200).await;
    site
}

/// The k-th operation that `wanted` knows meets this.
fn meets(site: &Site, fault: &Fault, mut k: u64, wanted: fn(&Operation) -> bool) {
    let fault = fault.clone();
    site.sim.inject(|calls| {
        calls.on_call(move |call| {
            let What::Perform(operation) = call.what else {
                return None;
            };
            if !wanted(operation) {
                return None;
            }
            k = k.checked_sub(1)?;
            (k == 0).then(|| fault.clone())
        });
    });
}

async fn paused(site: &Site) -> Vec<String> {
    let mut paused = Vec::new();
    for node in ["n2", "n3"] {
        let Ok(seen) = site.sim.managers(&name(node)).await else {
            continue;
        };
        if seen.found[0].paused == Some(true) {
            paused.push(node.to_owned());
        }
    }
    paused
}

fn is_pause(operation: &Operation) -> bool {
    matches!(operation, Operation::PauseRepmgrd { paused: true, .. })
}

#[test]
fn a_repmgrd_whose_pause_was_not_heard_of_is_let_go_all_the_same() {
    for k in 1..=2 {
        for fault in [Fault::LoseAnswer, Fault::Hang] {
            simulated(async {
                let site = primary_dead_under_repmgrd().await;
                meets(&site, &fault, k, is_pause);
                let ran = site.run("failover", &[]).await;
                let told = format!("{fault:?} at pause {k}: {:?}", ran.report);
                assert!(ran.operations().contains(&"pause_repmgrd".to_owned()));
                assert_eq!(paused(&site).await, Vec::<String>::new(), "{told}");
            });
        }
    }
}

#[test]
fn while_nobody_knows_whether_a_promotion_takes_effect_no_repmgrd_may_elect_another() {
    simulated(async {
        let site = primary_dead_under_repmgrd().await;
        let fault = Fault::After(Disruption::HostDown(name("n2")));
        meets(&site, &fault, 1, |operation| {
            matches!(operation, Operation::Promote { .. })
        });
        let ran = site.run("failover", &[("candidate", "n2")]).await;
        ran.expect(Outcome::Held);
        assert_eq!(paused(&site).await, ["n3"]);
        let debts = ran.report.debts.join("\n");
        assert!(debts.contains("repmgr service unpause"), "{debts}");
    });
}
