//! Proof that the old primary can acknowledge no more commits (rule 1).

mod starved;
mod stopped;

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{CustomEffect, ExecPlace, Host, NodeName, Operation, StopMode};
use crate::engine::{Done, Failure, Owed, Probe, Undone};
use crate::playbook::{
    EffectClass, Field, Map, NodeRule, Role, Signature, TroubleKind, Type, Value,
};
use async_trait::async_trait;
use serde_json::json;
use starved::starved;
use std::collections::BTreeMap;
use std::time::Duration;
use stopped::record_stopped;
pub(super) use stopped::{is_proof, stopped};

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
                Field::optional(
                    "host_reachable",
                    Type::Boolean,
                    "false: its host did not answer just now, and *stopped* is tried last",
                ),
                Field::optional(
                    "patience",
                    Type::Duration,
                    "how long its host may stay without an answer before *stopped* is not tried; as long as commands may take unless given",
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
        // A host that did not answer just now would only be waited for, and another proof may be at hand.
        if !is_silent(scene)
            && scene.texts("proofs").iter().any(|p| p == "stopped")
            && let Ok(host) = host(scene, &node).await
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
        let mut proofs = scene.texts("proofs");
        if is_silent(scene) {
            proofs.sort_by_key(|proof| proof == "stopped");
        }
        for proof in proofs {
            let tried = match proof.as_str() {
                "stopped" => reached(scene, &node).await,
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
                .note(
                    "proof",
                    text,
                    json!({ "node": node, "proof": "waived", "by": who, "missed": missed }),
                )
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

/// Its host did not answer just now.
fn is_silent(scene: &Scene<'_>) -> bool {
    let told = scene.step.inputs.get("host_reachable");
    matches!(told, Value::Boolean(false))
}

/// What its host says, as long as that is waited for.
async fn host(scene: &Scene<'_>, node: &NodeName) -> Result<Host, Failure> {
    let look = scene.cluster.host(node);
    match scene.time("patience") {
        None => Ok(look.await?),
        Some(patience) => match tokio::time::timeout(patience, look).await {
            Ok(host) => Ok(host?),
            Err(_) => Err(Failure::new(
                TroubleKind::Timeout,
                format!("the host of {node} said nothing within {patience:?}"),
            )),
        },
    }
}

/// The proof *stopped*, where the host answers at all.
async fn reached(scene: &Scene<'_>, node: &NodeName) -> Result<(), Failure> {
    if scene.time("patience").is_some() {
        host(scene, node).await?;
    }
    stopped(scene, node).await
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
        env: BTreeMap::from([("PGBATON_NODE".to_owned(), node.to_string().into())]),
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
        .note("proof", text, json!({ "node": node, "proof": "external" }))
        .await;
    owe(scene, node).await;
    Ok(())
}

async fn owe(scene: &Scene<'_>, node: &NodeName) {
    scene
        .note(
            "debt",
            format!("stop {node} at first contact, before it serves reads: it may still run"),
            Owed::Stop {
                node: node.to_string(),
            }
            .data(),
        )
        .await;
}
