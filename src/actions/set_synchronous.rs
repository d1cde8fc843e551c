//! Make commits wait for the standbys that there are, as the site file wants it.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{NodeName, Operation, Setting, SyncMode, SyncNames};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type, Value};
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
        let before = current(scene).await?.value;
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
            Some(names) => vec![change(scene, names, current(scene).await?)?],
            None => Vec::new(),
        })
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let before = current(scene).await?;
        let names = wanted(scene).await?.flatten();
        let after = text(names.as_ref());
        let value = before.value.clone();
        scene.perform(change(scene, names, before)?).await?;
        Ok(result(&after, &value))
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        let wanted = given
            .get("names")
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default();
        scene
            .until(|| async {
                let set = current(scene).await?.value;
                Ok(
                    if SyncNames::parse(&set).ok() == SyncNames::parse(&wanted).ok() {
                        Ok(())
                    } else {
                        Err(format!("it is `{set}`, not `{wanted}`"))
                    },
                )
            })
            .await?;
        tell(scene, &wanted).await?;
        Ok(given)
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        let before =
            done.iter().find_map(
                |d| match serde_json::from_value(d.forecast.operation.clone()) {
                    Ok(Operation::SetSynchronous { before, reset, .. }) => Some((before, reset)),
                    _ => None,
                },
            );
        let Some((before, reset)) = before else {
            return Ok(Undone::Nothing);
        };
        let node = scene.node()?;
        scene
            .perform(Operation::RestoreSynchronous {
                node: node.clone(),
                text: (!reset).then(|| before.clone()),
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

async fn current(scene: &Scene<'_>) -> Result<Setting, Failure> {
    let node = scene.node()?;
    let mut settings = scene
        .cluster
        .settings(&node, &["synchronous_standby_names"])
        .await?;
    settings.remove("synchronous_standby_names").ok_or_else(|| {
        Failure::new(
            TroubleKind::Failed,
            format!("{node} has no setting synchronous_standby_names"),
        )
    })
}

/// The change from what is set now.
fn change(
    scene: &Scene<'_>,
    names: Option<SyncNames>,
    before: Setting,
) -> Result<Operation, Failure> {
    Ok(Operation::SetSynchronous {
        node: scene.node()?,
        names,
        before: before.value,
        reset: !before.by_alter_system,
    })
}

/// The standbys that the step is about.
fn standbys(scene: &Scene<'_>) -> Result<Vec<NodeName>, Failure> {
    let node = scene.node()?;
    let mut standbys = match scene.step.inputs.get("standbys") {
        Value::Null => scene.inventory().nodes.keys().cloned().collect(),
        _ => scene.nodes_input("standbys")?,
    };
    standbys.retain(|standby| *standby != node);
    Ok(standbys)
}

/// The value that the site file asks for: `None` when it is unmanaged, `Some(None)` for the empty value.
async fn wanted(scene: &Scene<'_>) -> Result<Option<Option<SyncNames>>, Failure> {
    let standbys = standbys(scene)?;
    let policy = scene.inventory().synchronous;
    let managed = !matches!(policy.mode, SyncMode::Unmanaged | SyncMode::Off);
    let ready = if managed && scene.flag("attached") {
        let senders = scene.cluster.senders(&scene.node()?).await?;
        let streams = |n: &NodeName| {
            senders
                .iter()
                .any(|s| s.application == n.as_str() && s.state == "streaming")
        };
        standbys.iter().filter(|n| streams(n)).count()
    } else {
        standbys.len()
    };
    Ok(policy.wanted(&standbys, ready))
}

/// Says what is not as the site file wants it: fewer acknowledgements are no silent loss of safety.
async fn tell(scene: &Scene<'_>, set: &str) -> Result<(), Failure> {
    let node = scene.node()?;
    let standbys = standbys(scene)?;
    let policy = scene.inventory().synchronous;
    let Some(full) = policy.wanted(&standbys, standbys.len()) else {
        return Ok(());
    };
    let set = SyncNames::parse(set).ok().flatten();
    if set.is_none() && policy.mode != SyncMode::Off {
        let text = format!(
            "no standby can acknowledge commits on {node}: they wait for nobody until one is attached"
        );
        scene.note("warning", text, serde_json::Value::Null).await;
    }
    if scene.flag("attached") && set != full {
        let text = format!(
            "commits on {node} wait for {}, not for {} as the site file wants: too few standbys stream from it; when they \
             can, let one more follow, which completes the setting",
            shown(set.as_ref()),
            shown(full.as_ref())
        );
        scene.note("debt", text, serde_json::Value::Null).await;
    }
    Ok(())
}

fn shown(names: Option<&SyncNames>) -> String {
    names.map_or_else(|| "nobody".to_owned(), |names| format!("`{names}`"))
}
