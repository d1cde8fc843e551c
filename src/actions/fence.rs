//! Proof that the old primary can acknowledge no more commits (rule 1).

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{
    CustomEffect, ExecPlace, Host, NodeName, Operation, Product, StopMode, SyncNames, starves,
};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Role, Signature, TroubleKind, Type};
use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) struct Fence;

#[async_trait]
impl Deed for Fence {
    fn signature() -> Signature {
        Signature {
            name: "fence",
            summary: "Prove that the old primary can acknowledge no more commits: stopped, starved, external, or waived.",
            node: NodeRule::Required,
            inputs: vec![
                Field::required("proofs", Type::List, "the proofs to try, in this order")
                    .one_of(&["stopped", "starved", "external"]),
                Field::optional(
                    "external",
                    Type::List,
                    "a command on this host that cuts the old primary off",
                ),
                Field::optional(
                    "external_check",
                    Type::List,
                    "a command that confirms it (exit 0)",
                ),
                Field::optional(
                    "waive",
                    Type::String,
                    "who accepts the risk of going on without proof, and why",
                ),
            ],
            outputs: vec![
                Field::required("proof", Type::String, "the proof that was found")
                    .one_of(&["stopped", "starved", "external", "waived"]),
            ],
            effect: Some(EffectClass::Idempotent),
            roles: vec![Role::Fence],
            timeout: Duration::from_mins(1),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let node = scene.node()?;
        if scene.texts("proofs").iter().any(|p| p == "stopped")
            && let Ok(host) = scene.cluster.host(&node).await
            && is_proof(&host)
        {
            let why = record_stopped(scene, &node, &host).await;
            return Ok(Probe::Satisfied(
                outputs([("proof", "stopped".into())]),
                why,
            ));
        }
        Ok(Probe::Needed("there is no proof yet".to_owned()))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let node = scene.node()?;
        let Ok(host) = scene.cluster.host(&node).await else {
            return Ok(Vec::new());
        };
        let mut operations = vec![Operation::ForbidReturn { node: node.clone() }];
        if host.postmaster.is_some() {
            operations.push(Operation::Stop {
                node: node.clone(),
                mode: StopMode::Immediate,
                deadline: Duration::from_secs(10),
            });
        }
        if !host.orphans.is_empty() {
            let pids = host.orphans.iter().map(|p| p.pid).collect();
            operations.push(Operation::EndOrphans {
                node: node.clone(),
                pids,
            });
        }
        Ok(operations)
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let mut missed = Vec::new();
        for proof in scene.texts("proofs") {
            let tried = match proof.as_str() {
                "stopped" => stopped(scene, &node).await,
                "starved" => starved(scene, &node).await,
                _ => external(scene, &node).await,
            };
            match tried {
                Ok(()) => return Ok(outputs([("proof", proof.into())])),
                Err(failure) => missed.push(format!("{proof}: {}", failure.message)),
            }
        }
        if let Some(who) = scene.text("waive").filter(|text| !text.trim().is_empty()) {
            let text =
                format!("WAIVED: nothing proves that {node} acknowledges no more; accepted: {who}");
            scene
                .note("waived", text, json!({ "by": who, "missed": missed }))
                .await;
            owe(scene, &node).await;
            return Ok(outputs([("proof", "waived".into())]));
        }
        Err(Failure::refused(format!("nothing proves that {node} can acknowledge no more commits: {}", missed.join("; ")))
            .with_help(
                "stop it by hand (or its host, or its switch port) and run again; a person who accepts two primaries as \
                 a risk gives `-p waive_fence=\"who and why\"`",
            ))
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        let node = scene.node()?;
        let did = |wanted: fn(&Operation) -> bool| {
            done.iter().any(|d| {
                serde_json::from_value::<Operation>(d.forecast.operation.clone())
                    .is_ok_and(|o| wanted(&o))
            })
        };
        let mut what = Vec::new();
        if did(|o| matches!(o, Operation::ForbidReturn { .. })) {
            scene
                .perform(Operation::AllowReturn { node: node.clone() })
                .await?;
            what.push(format!("{node} may come back as a primary"));
        }
        if did(|o| matches!(o, Operation::Stop { .. })) {
            scene
                .perform(Operation::Start {
                    node: node.clone(),
                    deadline: Duration::from_mins(1),
                })
                .await?;
            what.push(format!("{node} is started again"));
        }
        Ok(if what.is_empty() {
            Undone::Nothing
        } else {
            Undone::Done(what.join(", "))
        })
    }
}

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
fn is_proof(host: &Host) -> bool {
    processes_left(host).is_none() && host.standby_signal
}

async fn record_stopped(scene: &Scene<'_>, node: &NodeName, host: &Host) -> String {
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
            json!({ "proof": "stopped", "control": host.control }),
        )
        .await;
    text
}

/// Ends whatever is left of the server, and sees to it that it does not come back by itself.
async fn stopped(scene: &Scene<'_>, node: &NodeName) -> Result<(), Failure> {
    // First of all, so that one look afterwards tells everything: harmless to a server that runs, and undone with it.
    scene
        .perform(Operation::ForbidReturn { node: node.clone() })
        .await?;
    let mut host = scene.cluster.host(node).await?;
    if host.postmaster.is_some() {
        for mode in [StopMode::Fast, StopMode::Immediate, StopMode::Kill] {
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

/// Enough of the standbys that its commits wait for are frozen: none can be acknowledged any more.
async fn starved(scene: &Scene<'_>, node: &NodeName) -> Result<(), Failure> {
    let not = |why: String| Failure::new(TroubleKind::Unmet, why);
    if scene.inventory().product == Product::Kingbase {
        return Err(not(
            "kbha may rewrite synchronous_standby_names, and is not known to be paused".to_owned(),
        ));
    }
    let remembered = scene.cluster.remembered(node);
    let Some(setting) = remembered.synchronous_standby_names else {
        return Err(not(
            "its running synchronous_standby_names were not seen while it was alive".to_owned(),
        ));
    };
    let commit = remembered
        .synchronous_commit
        .map(|c| c.value)
        .unwrap_or_default();
    if !matches!(commit.as_str(), "on" | "remote_apply") {
        return Err(not(format!(
            "synchronous_commit was `{commit}`: commits did not wait for a standby's disk"
        )));
    }
    let Some(names) = SyncNames::parse(&setting.value).ok().flatten() else {
        return Err(not(
            "its commits waited for no standby (asynchronous replication)".to_owned(),
        ));
    };
    let mut receivers: Vec<String> = remembered
        .receivers
        .map(|r| r.value)
        .unwrap_or_default()
        .iter()
        .map(|r| r.to_lowercase())
        .collect();
    receivers.sort();
    if receivers.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(not(
            "two of its receivers had the same name, so that one could acknowledge for both"
                .to_owned(),
        ));
    }
    let others: Vec<&NodeName> = scene
        .inventory()
        .nodes
        .keys()
        .filter(|n| *n != node)
        .collect();
    let checks = join_all(others.iter().map(|other| is_frozen(scene, other))).await;
    let frozen: Vec<&str> = others
        .iter()
        .zip(checks)
        .filter(|(_, frozen)| *frozen)
        .map(|(n, _)| n.as_str())
        .collect();
    if !starves(&names, &frozen) {
        return Err(not(format!(
            "its commits waited for {names}; frozen are only: {}",
            if frozen.is_empty() {
                "none".to_owned()
            } else {
                frozen.join(", ")
            }
        )));
    }
    let text = format!(
        "{node} is starved: its commits wait for {names}, frozen are {}",
        frozen.join(", ")
    );
    let data = json!({ "proof": "starved", "names": names, "frozen": frozen, "seen_ms_ago": setting.age_ms });
    scene.note("proof", text, data).await;
    scene
        .note(
            "limits",
            "not covered by this proof: sessions at synchronous_commit `local` or `off`, waits that a client cancelled, reads",
            json!(null),
        )
        .await;
    owe(scene, node).await;
    Ok(())
}

async fn is_frozen(scene: &Scene<'_>, node: &NodeName) -> bool {
    let (server, upstream) = tokio::join!(scene.cluster.server(node), scene.cluster.upstream(node));
    matches!((server, upstream), (Ok(server), Ok(None))
        if server.in_recovery && server.receiver.is_none() && server.receiver_pid.is_none())
}

/// The site's own command, and its own check.
async fn external(scene: &Scene<'_>, node: &NodeName) -> Result<(), Failure> {
    let (fence, check) = (scene.texts("external"), scene.texts("external_check"));
    if fence.is_empty() || check.is_empty() {
        return Err(Failure::new(
            TroubleKind::Unmet,
            "the site names no fencing command, or no check of it",
        ));
    }
    let run = |argv: Vec<String>, effect, deadline| Operation::Exec {
        place: ExecPlace::Runner,
        argv,
        env: BTreeMap::from([("PGBATON_NODE".to_owned(), node.to_string())]),
        stdin: None,
        effect,
        deadline,
    };
    scene
        .perform(run(fence, CustomEffect::Idempotent, scene.time_left() / 2))
        .await?;
    scene
        .perform(run(
            check.clone(),
            CustomEffect::Read,
            scene.time_left() / 2,
        ))
        .await?;
    let text = format!(
        "{node} is cut off by the site's command; confirmed by {}",
        check[0]
    );
    scene
        .note("proof", text, json!({ "proof": "external" }))
        .await;
    owe(scene, node).await;
    Ok(())
}

async fn owe(scene: &Scene<'_>, node: &NodeName) {
    scene
        .note(
            "debt",
            format!("stop {node} at first contact, before it serves reads: it may still run"),
            json!({ "node": node }),
        )
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Process;

    #[test]
    fn a_server_counts_as_stopped_only_when_nothing_of_it_is_left() {
        let stopped = Host {
            postmaster: None,
            postmaster_status: None,
            orphans: vec![],
            control: None,
            standby_signal: true,
            shared_memory_attached: Some(0),
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
