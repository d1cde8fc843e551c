//! The proof *stopped*: nothing of the server is left, and it cannot come back as a primary.

use super::super::scene::Scene;
use crate::cluster::{Host, NodeName, Operation, StopMode};
use crate::engine::Failure;
use serde_json::json;
use std::time::Duration;

/// Why the host does not prove that nothing of the server is left; `None` when it does.
fn processes_left(host: &Host) -> Option<String> {
    if let Some(pid) = host.postmaster {
        return Some(format!("its postmaster {pid} is alive"));
    }
    if !host.orphans.is_empty() {
        let pids: Vec<String> = host.orphans.iter().map(|p| p.pid.to_string()).collect();
        return Some(format!(
            "processes outlived its postmaster and can go on committing: {}",
            pids.join(", ")
        ));
    }
    if let Some(attached @ 1..) = host.shared_memory_attached {
        return Some(format!(
            "{attached} processes are attached to its shared memory"
        ));
    }
    None
}

/// Nothing is left, and it cannot come back as a primary.
pub(in crate::actions) fn is_proof(host: &Host) -> bool {
    processes_left(host).is_none() && host.standby_signal
}

pub(super) async fn record_stopped(scene: &Scene<'_>, node: &NodeName, host: &Host) -> String {
    let state = host.control.as_ref().map_or("unknown", |c| match c.state {
        crate::cluster::ControlState::ShutDown => "shut down",
        _ => "crashed",
    });
    let text = format!(
        "{node} is stopped ({state}): no postmaster, no process of its data directory, standby.signal placed"
    );
    scene
        .note(
            "proof",
            text.clone(),
            json!({ "node": node, "proof": "stopped", "control": host.control }),
        )
        .await;
    text
}

/// Ends whatever is left of the server, and sees to it that it does not come back by itself.
pub(in crate::actions) async fn stopped(scene: &Scene<'_>, node: &NodeName) -> Result<(), Failure> {
    // First of all, so that one look afterwards tells everything: harmless to a server that runs, and undone with it.
    scene
        .perform(Operation::ForbidReturn { node: node.clone() })
        .await?;
    let mut host = scene.cluster.host(node).await?;
    if host.postmaster.is_some() {
        // A clean shutdown brings the last WAL to the standbys: a session that a signal has stopped is not to cost that.
        for mode in [
            StopMode::Fast,
            StopMode::Terminate,
            StopMode::Immediate,
            StopMode::Kill,
        ] {
            let deadline = (scene.time_left() / 4).min(Duration::from_secs(10));
            scene
                .note(
                    "escalation",
                    format!("{node} still runs and is stopped ({mode:?})"),
                    json!(null),
                )
                .await;
            let stop = Operation::Stop {
                node: node.clone(),
                mode,
                deadline,
            };
            if scene.perform(stop).await.is_ok() {
                break;
            }
        }
        host = scene.cluster.host(node).await?;
    }
    if !host.orphans.is_empty() {
        let pids: Vec<u32> = host.orphans.iter().map(|p| p.pid).collect();
        let text = format!(
            "{} processes outlived the postmaster of {node}; they are ended",
            pids.len()
        );
        scene.note("orphans", text, json!(host.orphans)).await;
        scene
            .perform(Operation::EndOrphans {
                node: node.clone(),
                pids,
            })
            .await?;
    }
    if !is_proof(&host) {
        host = scene
            .until(|| async {
                let host = scene.cluster.host(node).await?;
                Ok(if is_proof(&host) {
                    Ok(host)
                } else {
                    Err(processes_left(&host)
                        .unwrap_or_else(|| "standby.signal is not there".to_owned()))
                })
            })
            .await?;
    }
    record_stopped(scene, node, &host).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Process;

    #[test]
    fn a_server_counts_as_stopped_only_when_nothing_of_it_is_left() {
        let stopped = Host {
            postmaster: None,
            frozen: false,
            postmaster_status: None,
            orphans: vec![],
            control: None,
            newest_timeline: None,
            standby_signal: true,
            shared_memory_attached: Some(0),
            slots: vec![],
            half_rewound: false,
        };
        assert_eq!(processes_left(&stopped), None);
        assert!(
            processes_left(&Host {
                postmaster: Some(1),
                ..stopped.clone()
            })
            .is_some()
        );
        let orphan = Process {
            pid: 7,
            title: "postgres: app".to_owned(),
        };
        assert!(
            processes_left(&Host {
                orphans: vec![orphan],
                ..stopped.clone()
            })
            .is_some()
        );
        assert!(
            processes_left(&Host {
                shared_memory_attached: Some(1),
                ..stopped
            })
            .is_some()
        );
    }
}
