//! Worlds that begin where another cluster stands.

use super::support::{Commits, Site, inventory, name, simulated};
use pgbaton::cluster::Lsn;
use pgbaton::engine::Outcome;
use pgbaton::simulate::{Disruption, Fact, Snapshot, World, snapshot};
use std::time::Duration;

/// A site with the facts of this one.
async fn twin(site: &Site, commits: Commits) -> (Site, usize) {
    let facts = snapshot(&site.sim).await;
    let text = serde_json::to_string(&facts).unwrap();
    let facts: Snapshot = serde_json::from_str(&text).unwrap();
    let inventory = inventory(facts.nodes.len(), commits);
    let (world, assumed) = World::from_snapshot(&inventory, &facts, 1);
    (Site::over(inventory, world, 1), assumed.len())
}

/// A site that begins with these facts.
pub(crate) fn twin_of(facts: &Snapshot, commits: Commits) -> Site {
    let inventory = inventory(facts.nodes.len(), commits);
    let (world, _) = World::from_snapshot(&inventory, facts, 1);
    Site::over(inventory, world, 1)
}

#[test]
fn a_twin_says_what_the_original_said() {
    simulated(async {
        let site = Site::new(3, Commits::Quorum, 1);
        let before = snapshot(&site.sim).await;
        let (twin, assumed) = twin(&site, Commits::Quorum).await;
        assert_eq!(assumed, 0);
        let after = snapshot(&twin.sim).await;
        for (node, told) in &before.nodes {
            let again = &after.nodes[node];
            assert_eq!(
                told.identity.known().unwrap().system,
                again.identity.known().unwrap().system
            );
            assert_eq!(told.upstream, again.upstream, "{node}");
            assert_eq!(told.settings, again.settings, "{node}");
            assert_eq!(
                told.host.known().unwrap().control,
                again.host.known().unwrap().control
            );
            let slots = |f: &pgbaton::simulate::NodeFacts| {
                let (slots, most) = f.slots.known().unwrap();
                (
                    slots.iter().map(|s| s.name.clone()).collect::<Vec<_>>(),
                    *most,
                )
            };
            assert_eq!(slots(told), slots(again), "{node}");
        }
        twin.assert_streams("n2", "n1");
        twin.assert_streams("n3", "n1");
    });
}

#[test]
fn a_failover_of_the_twin_foretells_that_of_the_original() {
    for dead in [
        Disruption::KillServer(name("n1")),
        Disruption::HostDown(name("n1")),
        Disruption::Freeze(name("n1")),
    ] {
        simulated(async {
            let site = Site::new(3, Commits::Quorum, 2);
            site.sim.pass(Duration::from_secs(1)).await;
            site.after(dead.clone(), 500).await;
            let (twin, _) = twin(&site, Commits::Quorum).await;
            let foretold = twin.run("failover", &[]).await;
            let ran = site.run("failover", &[]).await;
            assert_eq!(
                foretold.report.outcome,
                ran.report.outcome,
                "{dead:?}\n{}",
                foretold.told()
            );
            if ran.report.outcome == Outcome::Ok {
                assert_eq!(twin.primary(), site.primary());
                // Of a machine that is off nobody can read anything.
                let off = matches!(dead, Disruption::HostDown(_));
                for node in ["n1", "n2", "n3"].into_iter().skip(usize::from(off)) {
                    let (a, b) = (twin.state(node), site.state(node));
                    assert_eq!(
                        (&a.set_to, &a.slots, a.timeline),
                        (&b.set_to, &b.slots, b.timeline),
                        "{node}"
                    );
                }
            }
        });
    }
}

#[test]
fn what_nobody_could_read_stays_unknown() {
    simulated(async {
        let site = Site::new(3, Commits::Quorum, 3);
        site.after(Disruption::HostDown(name("n1")), 500).await;
        let facts = snapshot(&site.sim).await;
        let (twin, assumed) = twin(&site, Commits::Quorum).await;
        assert!(assumed > 0);
        let told = pgbaton::cluster::Observe::server(&twin.sim, &name("n1")).await;
        assert_eq!(
            told.unwrap_err().kind,
            facts.nodes[&name("n1")].server.trouble().unwrap().kind
        );
    });
}

#[test]
fn a_standby_that_was_asked_later_than_its_upstream_is_not_ahead_of_it() {
    simulated(async {
        let site = Site::new(3, Commits::Asynchronous, 4);
        site.sim.pass(Duration::from_secs(1)).await;
        let mut facts = snapshot(&site.sim).await;
        let primary = facts.nodes.get_mut(&name("n1")).unwrap();
        // As if it had been asked a moment before.
        let Fact::Known(server) = &mut primary.server else {
            panic!("it answers")
        };
        server.written = server.written.map(|at| Lsn(at.0 - 1000));
        let Fact::Known(identity) = &mut primary.identity else {
            panic!("it answers")
        };
        identity.at = Lsn(identity.at.0 - 1000);
        let inventory = inventory(3, Commits::Asynchronous);
        let (world, _) = World::from_snapshot(&inventory, &facts, 4);
        let twin = Site::over(inventory, world, 4);
        let (up, down) = (twin.state("n1"), twin.state("n2"));
        assert!(up.at >= down.at, "{up:?} {down:?}");
        let ran = twin.run("switchover", &[("candidate", "n3")]).await;
        ran.expect(Outcome::Ok);
    });
}
