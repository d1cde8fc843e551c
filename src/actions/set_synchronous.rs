//! Make commits wait for the standbys that there are, as the site file wants it.

mod ready;

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{NodeName, Operation, Setting, SyncMode, SyncNames, Transition};
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
            summary: "Set synchronous_standby_names on a node, as the site file wants it for the standbys that there are. Where the \
                      former and the new value do not overlap, one that is enough by both comes between.",
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
                Field::optional(
                    "within",
                    Type::Duration,
                    "with `attached`: only those count that have a mark, written for it, on their disks within this time",
                ),
                Field::optional(
                    "least",
                    Type::Integer,
                    "fail in place of asking for fewer acknowledgements than this",
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
        if ready::by_mark(scene).is_some() && scene.inventory().synchronous.is_managed() {
            return Ok(Probe::Needed("a mark tells who can acknowledge".to_owned()));
        }
        let Wanted::Value(wanted) = wanted(scene, ready::streaming(scene).await?.as_deref())?
        else {
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
        let ready = ready::streaming(scene).await?;
        Ok(match wanted(scene, ready.as_deref())? {
            Wanted::Value(names) => vec![change(scene, names, current(scene).await?)?],
            Wanted::Unmanaged => Vec::new(),
        })
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let before = current(scene).await?;
        let ready = match ready::by_mark(scene) {
            Some(within) => ready::acknowledging(scene, within).await?,
            None => ready::streaming(scene).await?,
        };
        let names = match wanted(scene, ready.as_deref())? {
            Wanted::Value(names) => names,
            Wanted::Unmanaged => return Ok(result(&before.value, &before.value)),
        };
        at_least(scene, names.as_ref())?;
        let after = text(names.as_ref());
        let value = before.value.clone();
        let old = SyncNames::parse(&value).ok().flatten();
        if old != names || old.is_none() {
            in_phases(scene, old.as_ref(), names, before).await?;
        }
        Ok(result(&after, &value))
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        let wanted = given
            .get("names")
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default();
        settled(scene, &wanted).await?;
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

/// What the site file asks for.
enum Wanted {
    /// To leave the setting alone.
    Unmanaged,
    /// This value; none is the empty one.
    Value(Option<SyncNames>),
}

/// What the site file asks for, where these standbys are ready; none where nobody asked whether they are.
fn wanted(scene: &Scene<'_>, ready: Option<&[NodeName]>) -> Result<Wanted, Failure> {
    let mut standbys = standbys(scene)?;
    let policy = scene.inventory().synchronous;
    let mut count = standbys.len();
    if let Some(ready) = ready {
        count = standbys.iter().filter(|n| ready.contains(n)).count();
        if policy.mode == SyncMode::First {
            // One that is connected and dead would keep its rank until its sender gives it up.
            standbys.sort_by_key(|n| !ready.contains(n));
        }
    }
    let wanted = policy.wanted(&standbys, count);
    Ok(wanted.map_or(Wanted::Unmanaged, Wanted::Value))
}

fn at_least(scene: &Scene<'_>, names: Option<&SyncNames>) -> Result<(), Failure> {
    let least = scene.integer("least").unwrap_or(0);
    let acks = names.map_or(0, |names| i64::from(names.acks));
    if acks >= least || !scene.inventory().synchronous.is_managed() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "no more than {acks} standbys of {} can acknowledge commits, and they are to wait for {least} at least",
        scene.node()?
    ))
    .with_help("nothing was changed; bring a standby back, or accept fewer acknowledgements"))
}

/// Sets it; by way of a value that is enough by both where the two do not overlap. What the former value acknowledged is
/// with the standbys of the new one before anybody goes by that alone.
async fn in_phases(
    scene: &Scene<'_>,
    old: Option<&SyncNames>,
    new: Option<SyncNames>,
    before: Setting,
) -> Result<(), Failure> {
    let node = scene.node()?;
    let mut way = Transition::default();
    // A standby acknowledges no commits.
    if old.is_some() && new.is_some() && !scene.cluster.in_recovery(&node).await? {
        let living = ready::all_streaming(scene).await?;
        let living: Vec<&str> = living.iter().map(String::as_str).collect();
        way = Transition::new(old, new.as_ref(), &living);
    }
    let found = before.clone();
    if let Some(between) = way.between {
        let text = format!(
            "{between} comes between, so that whatever is acknowledged meanwhile is acknowledged by both"
        );
        scene
            .note(
                "phase",
                text,
                serde_json::json!({ "node": node, "names": between }),
            )
            .await;
        scene
            .perform(change(scene, Some(between.clone()), before.clone())?)
            .await?;
        settled(scene, &between.to_string()).await?;
        ready::caught_up(scene, &between.names, between.acks, &found).await?;
        return scene.perform(change(scene, new, before)?).await.map(|_| ());
    }
    let set = text(new.as_ref());
    scene.perform(change(scene, new, before)?).await?;
    if let Some((names, acks)) = way.catch_up {
        settled(scene, &set).await?;
        ready::caught_up(scene, &names, acks, &found).await?;
    }
    Ok(())
}

/// Waits until the server has taken a value.
async fn settled(scene: &Scene<'_>, wanted: &str) -> Result<(), Failure> {
    scene
        .until(|| async {
            let set = current(scene).await?.value;
            Ok(
                if SyncNames::parse(&set).ok() == SyncNames::parse(wanted).ok() {
                    Ok(())
                } else {
                    Err(format!("it is `{set}`, not `{wanted}`"))
                },
            )
        })
        .await
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
