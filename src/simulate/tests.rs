//! The model against what PostgreSQL was seen to do.

use super::{Disruption, Habit, Place, Shell, SimCluster, WorldBuilder, rehearsal_inventory};
use crate::cluster::{
    Cluster, ControlState, Inventory, NodeName, Observe, Operation, Outcome, Reach, Render,
    Rendered, StopMode, SyncMode, Synchronous, Timeline, TroubleKind, UpstreamRoute,
};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

struct Unshown;

impl Render for Unshown {
    fn render(&self, _inventory: &Inventory, _operation: &Operation) -> Vec<Rendered> {
        Vec::new()
    }
}

fn name(text: &str) -> NodeName {
    NodeName::parse(text).unwrap()
}

fn simulated<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.unwrap().block_on(work)
}

fn nodes() -> Inventory {
    let names = ["n1", "n2", "n3"].map(name);
    let synchronous = Synchronous {
        mode: SyncMode::Unmanaged,
        acks: 1,
    };
    rehearsal_inventory(&names, synchronous)
}

fn cluster(adapt: impl FnOnce(WorldBuilder<'_>) -> WorldBuilder<'_>) -> SimCluster {
    let inventory = nodes();
    let world = adapt(WorldBuilder::new(&inventory, 1)).build();
    SimCluster::new(Arc::new(inventory), world, Arc::new(Unshown))
}

async fn done(sim: &SimCluster, operation: Operation) -> serde_json::Value {
    match sim.perform(&operation, None).await {
        Outcome::Done(value) => value,
        other => panic!("{operation:?}: {other:?}"),
    }
}

fn follow(node: &str, upstream: &str) -> Operation {
    Operation::SetUpstream {
        node: name(node),
        upstream: name(upstream),
        slot: Some(name(node).slot()),
        route: UpstreamRoute::Sql,
        dbname: None,
        former: None,
    }
}

fn reload(node: &str) -> Operation {
    Operation::Reload { node: name(node) }
}

fn stop(node: &str, mode: StopMode, seconds: u64) -> Operation {
    Operation::Stop {
        node: name(node),
        mode,
        deadline: Duration::from_secs(seconds),
    }
}

fn start(node: &str) -> Operation {
    Operation::Start {
        node: name(node),
        deadline: Duration::from_secs(30),
    }
}

async fn seconds(sim: &SimCluster, seconds: u64) {
    sim.pass(Duration::from_secs(seconds)).await;
}

fn upstream_of(sim: &SimCluster, node: &str) -> Option<NodeName> {
    let states = sim.with(|w| w.states());
    let state = states.into_iter().find(|s| s.name == name(node));
    state.unwrap().streams_from
}

#[test]
fn a_receiver_of_a_silent_primary_says_streaming_until_its_timeout() {
    for silence in [
        Disruption::HostDown(name("n1")),
        Disruption::Freeze(name("n1")),
        Disruption::Isolate(name("n1")),
    ] {
        simulated(async {
            let sim = cluster(|b| b.client(Duration::from_millis(100), Habit::Statements));
            seconds(&sim, 2).await;
            sim.with(|w| w.disrupt(&silence));
            seconds(&sim, 50).await;
            let server = sim.server(&name("n2")).await.unwrap();
            let receiver = server.receiver.unwrap();
            assert_eq!(receiver.status, "streaming", "{silence:?}");
            assert!(receiver.silent_ms.unwrap() >= 49_000, "{receiver:?}");
            seconds(&sim, 11).await;
            assert_eq!(sim.server(&name("n2")).await.unwrap().receiver, None);
        });
    }
}

#[test]
fn an_idle_connection_is_not_silent_for_longer_than_its_pings() {
    simulated(async {
        let sim = cluster(|b| b);
        seconds(&sim, 100).await;
        let receiver = sim.server(&name("n2")).await.unwrap().receiver.unwrap();
        assert!(receiver.silent_ms.unwrap() <= 30_000, "{receiver:?}");
    });
}

#[test]
fn a_slot_that_comes_after_the_first_connection_costs_the_retry_interval() {
    for (nudged, waits) in [(false, true), (true, false)] {
        simulated(async {
            let sim = cluster(|b| b);
            done(&sim, follow("n3", "n2")).await;
            done(&sim, reload("n3")).await;
            sim.pass(Duration::from_millis(100)).await;
            let slot = Operation::CreateSlot {
                node: name("n2"),
                slot: name("n3").slot(),
            };
            done(&sim, slot).await;
            if nudged {
                done(&sim, reload("n3")).await;
            }
            seconds(&sim, 1).await;
            assert_eq!(upstream_of(&sim, "n3").is_none(), waits);
            seconds(&sim, 5).await;
            assert_eq!(upstream_of(&sim, "n3"), Some(name("n2")));
        });
    }
}

#[test]
fn after_a_restart_nothing_is_received_until_something_streams() {
    simulated(async {
        let sim = cluster(|b| b);
        done(
            &sim,
            Operation::Freeze {
                node: name("n2"),
                former: None,
            },
        )
        .await;
        done(&sim, stop("n2", StopMode::Fast, 10)).await;
        done(&sim, start("n2")).await;
        let server = sim.server(&name("n2")).await.unwrap();
        assert_eq!((server.received, server.receiver_pid), (None, None));
        assert!(server.replayed.is_some() && server.drained());
    });
}

#[test]
fn identify_system_tells_a_new_timeline_while_control_data_lags() {
    simulated(async {
        let sim = cluster(|b| b);
        done(&sim, stop("n1", StopMode::Fast, 10)).await;
        let n2 = name("n2");
        done(&sim, Operation::Promote { node: n2.clone() }).await;
        seconds(&sim, 1).await;
        assert_eq!(sim.identify(&n2).await.unwrap().timeline, Timeline(2));
        let control = sim.host(&n2).await.unwrap().control.unwrap();
        assert_eq!(control.timeline, Timeline(1));
        assert_eq!(control.state, ControlState::InProduction);
        let history = sim.history(&n2, Timeline(2)).await.unwrap();
        let forked = history.fork_of(Timeline(1)).unwrap();
        let server = sim.server(&n2).await.unwrap();
        assert!(
            server.written.unwrap() > forked,
            "the end of recovery is a record"
        );
        seconds(&sim, 20).await;
        let control = sim.host(&n2).await.unwrap().control.unwrap();
        assert_eq!(control.timeline, Timeline(2));
        let again = sim.perform(&Operation::Promote { node: n2 }, None).await;
        assert!(matches!(again, Outcome::Failed(t) if t.kind == TroubleKind::Conflict));
    });
}

#[test]
fn a_clean_stop_hands_everything_to_the_standbys_that_take_it() {
    for stalled in [false, true] {
        simulated(async {
            let sim = cluster(|b| b.client(Duration::from_millis(10), Habit::Statements));
            seconds(&sim, 1).await;
            if stalled {
                sim.with(|w| w.disrupt(&Disruption::StallReceiver(name("n3"))));
                sim.pass(Duration::from_millis(100)).await;
            }
            let outcome = sim.perform(&stop("n1", StopMode::Fast, 10), None).await;
            match outcome {
                Outcome::Done(_) if !stalled => {}
                Outcome::Unknown(trouble) if stalled => {
                    assert_eq!(trouble.kind, TroubleKind::Timeout);
                    seconds(&sim, 55).await;
                }
                other => panic!("stalled {stalled}: {other:?}"),
            }
            let control = sim.host(&name("n1")).await.unwrap().control.unwrap();
            assert_eq!(control.state, ControlState::ShutDown);
            let replayed = sim.server(&name("n2")).await.unwrap().replayed;
            assert!(replayed > Some(control.checkpoint), "strictly beyond it");
            assert_eq!(sim.with(|w| w.missing_on(&name("n2"))), []);
        });
    }
}

#[test]
fn a_frozen_standby_with_paused_replay_keeps_its_receiver_and_acknowledges() {
    simulated(async {
        let sim = cluster(|b| {
            b.synchronous("ANY 1 (n2)")
                .client(Duration::from_millis(50), Habit::Statements)
        });
        let n2 = name("n2");
        seconds(&sim, 1).await;
        sim.with(|w| w.disrupt(&Disruption::PauseReplay(name("n2"))));
        seconds(&sim, 1).await;
        done(
            &sim,
            Operation::Freeze {
                node: n2.clone(),
                former: None,
            },
        )
        .await;
        seconds(&sim, 2).await;
        assert_eq!(sim.upstream(&n2).await.unwrap(), None);
        let before = sim.with(|w| w.acknowledged_commits().len());
        seconds(&sim, 1).await;
        assert!(sim.with(|w| w.acknowledged_commits().len()) > before);
        let pid = sim.server(&n2).await.unwrap().receiver_pid.unwrap();
        done(
            &sim,
            Operation::EndReceiver {
                node: n2.clone(),
                pid,
            },
        )
        .await;
        seconds(&sim, 6).await;
        assert_eq!(sim.server(&n2).await.unwrap().receiver_pid, None);
        assert_eq!(sim.with(|w| w.can_acknowledge()), []);
    });
}

#[test]
fn a_commit_waits_for_those_that_its_rule_names() {
    for (rule, stalled, goes_on) in [
        ("", "n2", true),
        ("ANY 1 (n2, n3)", "n2", true),
        ("ANY 2 (n2, n3)", "n2", false),
        ("FIRST 1 (n2, n3)", "n2", false),
        ("FIRST 1 (n2, n3)", "n3", true),
        ("*", "n3", true),
        ("ANY 1 (nobody)", "n3", false),
    ] {
        simulated(async {
            let sim = cluster(|b| {
                b.synchronous(rule)
                    .client(Duration::from_millis(50), Habit::Statements)
            });
            sim.with(|w| w.disrupt(&Disruption::StallReceiver(name(stalled))));
            seconds(&sim, 1).await;
            let before = sim.with(|w| w.acknowledged_commits().len());
            seconds(&sim, 5).await;
            let after = sim.with(|w| w.acknowledged_commits().len());
            assert_eq!(after > before, goes_on, "{rule} without {stalled}");
        });
    }
}

#[test]
fn a_killed_postmaster_leaves_busy_sessions_that_commit_where_nobody_is_waited_for() {
    for (rule, orphans) in [("", 1), ("ANY 1 (n2, n3)", 0)] {
        simulated(async {
            let sim = cluster(|b| {
                b.synchronous(rule)
                    .client(Duration::from_millis(20), Habit::Loop)
                    .client(Duration::from_millis(20), Habit::Statements)
            });
            seconds(&sim, 1).await;
            sim.with(|w| w.disrupt(&Disruption::KillServer(name("n1"))));
            let told = sim.with(|w| w.acknowledged_commits().len());
            seconds(&sim, 2).await;
            let host = sim.host(&name("n1")).await.unwrap();
            assert_eq!(
                (host.postmaster, host.orphans.len()),
                (None, orphans),
                "{rule}"
            );
            let goes_on = sim.with(|w| w.acknowledged_commits().len()) > told + 1;
            assert_eq!(goes_on, orphans > 0, "{rule}");
            let reach = sim.reach(None, &name("n1"), Duration::from_secs(2)).await;
            assert_eq!(reach.unwrap(), Reach::Silent, "its port is closed");
            let pids = host.orphans.iter().map(|o| o.pid).collect();
            done(
                &sim,
                Operation::EndOrphans {
                    node: name("n1"),
                    pids,
                },
            )
            .await;
            assert_eq!(sim.host(&name("n1")).await.unwrap().orphans, []);
        });
    }
}

#[test]
fn an_answer_that_cannot_come_back_leaves_the_effect_in_doubt() {
    simulated(async {
        let sim = cluster(|b| b);
        let (n1, n2) = (name("n1"), name("n2"));
        sim.server(&n1).await.unwrap();
        let from = |node: &NodeName| Place::Node(node.clone());
        sim.with(|w| w.disrupt(&Disruption::Cut(from(&n1), Place::Runner)));
        let slot = Operation::CreateSlot {
            node: n1.clone(),
            slot: name("spare").slot(),
        };
        // The session that was open carries the request; a new one cannot be opened.
        let outcome = sim.perform(&slot, None).await;
        assert!(
            matches!(&outcome, Outcome::Unknown(t) if t.kind == TroubleKind::Unknown),
            "{outcome:?}"
        );
        let outcome = sim.perform(&slot, None).await;
        assert!(matches!(&outcome, Outcome::Failed(t) if t.kind == TroubleKind::Unreachable));
        sim.with(|w| w.disrupt(&Disruption::Mend(from(&n1), Place::Runner)));
        let (slots, _) = sim.slots(&n1).await.unwrap();
        assert!(slots.iter().any(|s| s.name == name("spare").slot()));

        sim.with(|w| w.disrupt(&Disruption::Shell(n2.clone(), Shell::DiesAfterSend)));
        let outcome = sim
            .perform(&Operation::ForbidReturn { node: n2.clone() }, None)
            .await;
        assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
        for shell in [Shell::Refuses, Shell::Hangs] {
            sim.with(|w| w.disrupt(&Disruption::Shell(n2.clone(), shell)));
            let outcome = sim.perform(&stop("n2", StopMode::Fast, 10), None).await;
            assert!(
                matches!(&outcome, Outcome::Failed(t) if t.kind == TroubleKind::Unreachable),
                "{outcome:?}"
            );
            assert!(sim.server(&n2).await.is_ok());
        }
    });
}

#[test]
fn a_server_that_hangs_is_ended_only_by_force() {
    for (hang, terminate, immediate) in [
        (Disruption::HangSession(name("n2")), Some(true), true),
        (Disruption::HangSession(name("n2")), None, true),
        (Disruption::Freeze(name("n2")), Some(false), false),
    ] {
        simulated(async {
            let sim = cluster(|b| b);
            sim.with(|w| w.disrupt(&hang));
            let rungs = [
                (StopMode::Fast, Some(false)),
                (StopMode::Terminate, terminate),
                (StopMode::Immediate, Some(immediate)),
                (StopMode::Kill, Some(true)),
            ];
            for (mode, ends) in rungs {
                let Some(ends) = ends else { continue };
                let outcome = sim.perform(&stop("n2", mode, 8), None).await;
                let ended = matches!(outcome, Outcome::Done(_));
                assert_eq!(ended, ends, "{hang:?} {mode:?}: {outcome:?}");
            }
            assert_eq!(sim.host(&name("n2")).await.unwrap().postmaster, None);
            done(&sim, start("n2")).await;
            seconds(&sim, 1).await;
            assert_eq!(upstream_of(&sim, "n2"), Some(name("n1")));
        });
    }
}

#[test]
fn what_renews_data_is_cut_off_at_its_deadline() {
    simulated(async {
        let sim = cluster(|b| b);
        let (n1, n2) = (name("n1"), name("n2"));
        seconds(&sim, 1).await;
        done(&sim, stop("n1", StopMode::Fast, 10)).await;
        done(&sim, Operation::Promote { node: n2.clone() }).await;
        seconds(&sim, 1).await;
        done(&sim, Operation::Checkpoint { node: n2.clone() }).await;
        let rewind = |deadline| Operation::Rewind {
            node: n1.clone(),
            upstream: n2.clone(),
            deadline,
        };
        let copy = |deadline| Operation::Clone {
            node: n1.clone(),
            upstream: n2.clone(),
            slot: None,
            tablespaces: Vec::new(),
            keep: true,
            owner: String::new(),
            deadline,
        };
        let moment = Duration::from_millis(20);
        let was = sim.host(&n1).await.unwrap().control;
        for operation in [copy(moment), rewind(moment)] {
            let outcome = sim.perform(&operation, None).await;
            assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
            let host = sim.host(&n1).await.unwrap();
            assert_eq!(host.control, was);
            let half = matches!(operation, Operation::Rewind { .. });
            assert_eq!(host.half_rewound, half);
        }
        done(&sim, rewind(Duration::from_mins(1))).await;
        assert!(!sim.host(&n1).await.unwrap().half_rewound);
    });
}
