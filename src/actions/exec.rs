//! A program of the site's, on a node or where pgbaton runs.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{CustomEffect, ExecPlace, Given, Operation};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type, Value};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) struct Exec;

#[async_trait]
impl Deed for Exec {
    fn signature() -> Signature {
        Signature {
            name: "exec",
            summary: "Run a program: on the node's host when the step names a node, else where pgbaton runs. Exit 0 is success.",
            node: NodeRule::Optional,
            inputs: vec![
                Field::required(
                    "argv",
                    Type::List,
                    "program and arguments; never a shell line",
                ),
                Field::optional("env", Type::Map, "environment; an entry may be a secret")
                    .secret_too(),
                Field::optional("stdin", Type::String, "what it is fed; may be a secret")
                    .secret_too(),
            ],
            outputs: vec![
                Field::required("exit_status", Type::Integer, "its exit status"),
                Field::required(
                    "stdout",
                    Type::String,
                    "what it printed, less the last newline; the tail when it is long",
                ),
            ],
            effect: None,
            roles: vec![],
            timeout: Duration::from_mins(1),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let Some(probe) = &scene.step.inputs.probe else {
            return Ok(Probe::Blind("it has no probe".to_owned()));
        };
        let operation = operation(scene, probe, CustomEffect::Read)?;
        match scene.perform(operation).await {
            Ok(returned) => Ok(Probe::Satisfied(
                given(&returned),
                "its probe exited with 0".to_owned(),
            )),
            Err(failure) if failure.kind == TroubleKind::Failed => {
                Ok(Probe::Needed("its probe says so".to_owned()))
            }
            Err(failure) => Err(failure),
        }
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        Ok(vec![operation(
            scene,
            &scene.step.inputs.with,
            effect(scene),
        )?])
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let operation = operation(scene, &scene.step.inputs.with, effect(scene))?;
        Ok(given(&scene.perform(operation).await?))
    }

    async fn verify(&self, scene: &Scene<'_>, outputs: Map) -> Result<Map, Failure> {
        let Some(probe) = &scene.step.inputs.probe else {
            return Ok(outputs);
        };
        let operation = operation(scene, probe, CustomEffect::Read)?;
        match scene.perform(operation).await {
            Ok(_) => Ok(outputs),
            Err(failure) => Err(Failure::new(
                TroubleKind::Unmet,
                format!(
                    "the program succeeded, and its probe still says no: {}",
                    failure.message
                ),
            )),
        }
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        match &scene.step.inputs.undo {
            Some(undo) if !done.is_empty() => {
                scene
                    .perform(operation(scene, undo, CustomEffect::Idempotent)?)
                    .await?;
                Ok(Undone::Done("its undo exited with 0".to_owned()))
            }
            None if !done.is_empty() && effect(scene) != CustomEffect::Read => Ok(Undone::Failed(
                "it has no `undo`; what the program did is left as it is".to_owned(),
            )),
            _ => Ok(Undone::Nothing),
        }
    }
}

fn effect(scene: &Scene<'_>) -> CustomEffect {
    effect_of(scene.step.inputs.effect)
}

/// What a step says of itself, for the cluster.
pub(super) fn effect_of(class: Option<EffectClass>) -> CustomEffect {
    match class {
        Some(EffectClass::Read) => CustomEffect::Read,
        Some(EffectClass::Idempotent) => CustomEffect::Idempotent,
        _ => CustomEffect::Once,
    }
}

fn operation(scene: &Scene<'_>, with: &Map, effect: CustomEffect) -> Result<Operation, Failure> {
    let argv = match with.get("argv") {
        Some(Value::List(items)) => items.iter().map(text_of).collect::<Result<Vec<_>, _>>()?,
        _ => Vec::new(),
    };
    if argv.is_empty() {
        return Err(Failure::new(
            TroubleKind::Failed,
            "`argv` is empty: there is nothing to run",
        ));
    }
    let mut env = BTreeMap::new();
    if let Some(Value::Map(map)) = with.get("env") {
        for (name, value) in map {
            env.insert(name.clone(), given_of(value)?);
        }
    }
    let place = match &scene.step.inputs.node {
        Some(_) => ExecPlace::Node(scene.node()?),
        None => ExecPlace::Runner,
    };
    let stdin = optional(with, "stdin")?;
    Ok(Operation::Exec {
        place,
        argv,
        env,
        stdin,
        effect,
        deadline: scene.whole_time_left(),
    })
}

/// An input that may be left out, and may be a secret.
pub(super) fn optional(with: &Map, name: &str) -> Result<Option<Given>, Failure> {
    match with.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => given_of(value).map(Some),
    }
}

/// A plain value as text, or a secret as its reference.
pub(super) fn given_of(value: &Value) -> Result<Given, Failure> {
    match value {
        Value::Secret(source) => Ok(Given::Secret(source.clone())),
        other => text_of(other).map(Given::Plain),
    }
}

/// A plain value as text.
pub(super) fn text_of(value: &Value) -> Result<String, Failure> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Null | Value::List(_) | Value::Map(_) | Value::Secret(_) | Value::Unknown => {
            Err(Failure::new(
                TroubleKind::Failed,
                format!("{} cannot be used as text here", value.kind()),
            ))
        }
        other => match other.to_json() {
            serde_json::Value::String(text) => Ok(text),
            json => Ok(json.to_string()),
        },
    }
}

fn given(returned: &serde_json::Value) -> Map {
    let status = returned
        .get("status")
        .and_then(serde_json::Value::as_i64)
        .unwrap_or(0);
    let stdout = returned
        .get("stdout")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    outputs([
        ("exit_status", status.into()),
        ("stdout", stdout.trim_end_matches('\n').into()),
    ])
}
