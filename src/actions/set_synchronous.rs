//! Make commits wait for the standbys that there are, as the site file wants it.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{NodeName, Operation, SyncMethod, SyncMode, SyncNames};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct SetSynchronous;

#[async_trait]
impl Deed for SetSynchronous {
    fn signature() -> Signature {
        Signature {
            name: "set_synchronous",
            summary: "Set synchronous_standby_names on a node, as the site file wants it for the standbys that there are.",
            node: NodeRule::Required,
            inputs: vec![
                Field::optional(
                    "standbys",
                    Type::List,
                    "those that commits may wait for; all other nodes unless given",
                ),
                Field::optional(
                    "attached",
                    Type::Boolean,
                    "ask for no more acknowledgements than standbys stream now",
                ),
            ],
            outputs: vec![
                Field::required("names", Type::String, "the value that is set"),
                Field::required("before", Type::String, "the value that was set before"),
            ],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_secs(10),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let before = current(scene).await?;
        let Some(wanted) = wanted(scene).await? else {
            return Ok(Probe::Satisfied(
                result(&before, &before),
                "the site file says `unmanaged`".to_owned(),
            ));
        };
        let text = text(wanted.as_ref());
        let same = match SyncNames::parse(&before) {
            Ok(parsed) => parsed == wanted,
            Err(_) => false,
        };
        if same {
            return Ok(Probe::Satisfied(
                result(&before, &before),
                "it is set already".to_owned(),
            ));
        }
        Ok(Probe::Needed(format!(
            "it is `{before}`, it should be `{text}`"
        )))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        Ok(match wanted(scene).await? {
            Some(names) => {
                vec![Operation::SetSynchronous {
                    node: scene.node()?,
                    names,
                    before: current(scene).await?,
                }]
            }
            None => Vec::new(),
        })
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let before = current(scene).await?;
        let names = wanted(scene).await?.flatten();
        let after = text(names.as_ref());
        let operation = Operation::SetSynchronous {
            node: scene.node()?,
            names,
            before: before.clone(),
        };
        scene.perform(operation).await?;
        Ok(result(&after, &before))
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        let wanted = given
            .get("names")
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default();
        scene
            .until(|| async {
                let set = current(scene).await?;
                Ok(
                    if SyncNames::parse(&set).ok() == SyncNames::parse(&wanted).ok() {
                        Ok(())
                    } else {
                        Err(format!("it is `{set}`, not `{wanted}`"))
                    },
                )
            })
            .await?;
        Ok(given)
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        let before =
            done.iter().find_map(
                |d| match serde_json::from_value(d.forecast.operation.clone()) {
                    Ok(Operation::SetSynchronous { before, .. }) => Some(before),
                    _ => None,
                },
            );
        let Some(before) = before else {
            return Ok(Undone::Nothing);
        };
        let node = scene.node()?;
        scene
            .perform(Operation::RestoreSynchronous {
                node: node.clone(),
                text: before.clone(),
            })
            .await?;
        Ok(Undone::Done(format!(
            "synchronous_standby_names of {node} is `{before}` again"
        )))
    }
}

fn result(names: &str, before: &str) -> Map {
    outputs([("names", names.into()), ("before", before.into())])
}

fn text(names: Option<&SyncNames>) -> String {
    names.map(ToString::to_string).unwrap_or_default()
}

async fn current(scene: &Scene<'_>) -> Result<String, Failure> {
    let node = scene.node()?;
    let settings = scene
        .cluster
        .settings(&node, &["synchronous_standby_names"])
        .await?;
    settings
        .get("synchronous_standby_names")
        .map(|s| s.value.clone())
        .ok_or_else(|| {
            Failure::new(
                TroubleKind::Failed,
                format!("{node} has no setting synchronous_standby_names"),
            )
        })
}

/// The value that the site file asks for: `None` when it is unmanaged, `Some(None)` for the empty value.
async fn wanted(scene: &Scene<'_>) -> Result<Option<Option<SyncNames>>, Failure> {
    let node = scene.node()?;
    let policy = scene.inventory().synchronous;
    let standbys: Vec<NodeName> = match scene.step.inputs.get("standbys") {
        crate::playbook::Value::Null => scene
            .inventory()
            .nodes
            .keys()
            .filter(|n| **n != node)
            .cloned()
            .collect(),
        _ => scene
            .nodes_input("standbys")?
            .into_iter()
            .filter(|n| *n != node)
            .collect(),
    };
    let method = match policy.mode {
        SyncMode::Unmanaged => return Ok(None),
        SyncMode::Off => return Ok(Some(None)),
        SyncMode::First => SyncMethod::First,
        SyncMode::Quorum | SyncMode::All => SyncMethod::Any,
    };
    let ready = if scene.flag("attached") {
        let senders = scene.cluster.senders(&node).await?;
        standbys
            .iter()
            .filter(|n| {
                senders
                    .iter()
                    .any(|s| s.application == n.as_str() && s.state == "streaming")
            })
            .count()
    } else {
        standbys.len()
    };
    let asked = if policy.mode == SyncMode::All {
        standbys.len()
    } else {
        policy.acks as usize
    };
    let acks = u32::try_from(asked.min(ready)).unwrap_or(u32::MAX);
    if acks == 0 {
        // Nobody could acknowledge: every commit would hang. The run says so; it is no silent loss of safety.
        let text = format!(
            "no standby can acknowledge commits on {node}: they wait for nobody until one is attached"
        );
        scene.note("warning", text, serde_json::Value::Null).await;
        return Ok(Some(None));
    }
    let names = standbys.iter().map(ToString::to_string).collect();
    Ok(Some(Some(SyncNames {
        method,
        acks,
        names,
    })))
}
