//! A statement of the site's, with parameters.

use super::exec::{effect_of, text_of};
use super::scene::{Deed, Scene, outputs};
use crate::cluster::{CustomEffect, Operation};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{Field, Map, NodeRule, Signature, TroubleKind, Type, Value};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct Sql;

#[async_trait]
impl Deed for Sql {
    fn signature() -> Signature {
        Signature {
            name: "sql",
            summary: "Execute one statement on a node. A probe is satisfied when the one column of its first row is true.",
            node: NodeRule::Required,
            inputs: vec![
                Field::required(
                    "statement",
                    Type::String,
                    "one statement, with $1, $2, … for the parameters",
                ),
                Field::optional("parameters", Type::List, "values for them"),
                Field::optional(
                    "dbname",
                    Type::String,
                    "the database, where it is not pgbaton's own",
                ),
            ],
            outputs: vec![
                Field::required(
                    "rows",
                    Type::List,
                    "the rows, each a map by column; at most 1000",
                ),
                Field::required("count", Type::Integer, "rows returned or changed"),
            ],
            effect: None,
            roles: vec![],
            timeout: Duration::from_secs(30),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let Some(probe) = &scene.step.inputs.probe else {
            return Ok(Probe::Blind("it has no probe".to_owned()));
        };
        let returned = scene
            .perform(operation(scene, probe, CustomEffect::Read)?)
            .await?;
        if is_true(&returned) {
            return Ok(Probe::Satisfied(
                given(&returned),
                "its probe returned true".to_owned(),
            ));
        }
        Ok(Probe::Needed("its probe did not return true".to_owned()))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        Ok(vec![operation(
            scene,
            &scene.step.inputs.with,
            effect_of(scene.step.inputs.effect),
        )?])
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let operation = operation(
            scene,
            &scene.step.inputs.with,
            effect_of(scene.step.inputs.effect),
        )?;
        Ok(given(&scene.perform(operation).await?))
    }

    async fn verify(&self, scene: &Scene<'_>, outputs: Map) -> Result<Map, Failure> {
        let Some(probe) = &scene.step.inputs.probe else {
            return Ok(outputs);
        };
        let returned = scene
            .perform(operation(scene, probe, CustomEffect::Read)?)
            .await?;
        if is_true(&returned) {
            return Ok(outputs);
        }
        Err(Failure::new(
            TroubleKind::Unmet,
            "the statement succeeded, and its probe still does not return true",
        ))
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        match &scene.step.inputs.undo {
            Some(undo) if !done.is_empty() => {
                scene
                    .perform(operation(scene, undo, CustomEffect::Idempotent)?)
                    .await?;
                Ok(Undone::Done("its undo was executed".to_owned()))
            }
            None if !done.is_empty() => Ok(Undone::Failed(
                "it has no `undo`; what the statement did is left as it is".to_owned(),
            )),
            _ => Ok(Undone::Nothing),
        }
    }
}

fn operation(scene: &Scene<'_>, with: &Map, effect: CustomEffect) -> Result<Operation, Failure> {
    let text = |name: &str| with.get(name).and_then(|v| v.as_str().map(str::to_owned));
    let statement = text("statement")
        .ok_or_else(|| Failure::new(TroubleKind::Failed, "`statement` is not given"))?;
    let parameters = match with.get("parameters") {
        Some(Value::List(items)) => items
            .iter()
            .map(|item| {
                if *item == Value::Null {
                    Ok(None)
                } else {
                    text_of(item).map(Some)
                }
            })
            .collect::<Result<Vec<_>, _>>()?,
        _ => Vec::new(),
    };
    Ok(Operation::Sql {
        node: scene.node()?,
        statement,
        parameters,
        dbname: text("dbname"),
        effect,
    })
}

fn rows(returned: &serde_json::Value) -> &[serde_json::Value] {
    returned
        .get("rows")
        .and_then(serde_json::Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The one column of the first row; as text `t` or `true`, as the server prints booleans. A row of several columns is
/// never true: which of them is meant cannot be told from a map.
fn is_true(returned: &serde_json::Value) -> bool {
    let row = rows(returned).first().and_then(|row| row.as_object());
    let first = row
        .filter(|row| row.len() == 1)
        .and_then(|row| row.values().next());
    match first {
        Some(serde_json::Value::Bool(answer)) => *answer,
        Some(serde_json::Value::String(text)) => matches!(text.as_str(), "t" | "true"),
        _ => false,
    }
}

fn given(returned: &serde_json::Value) -> Map {
    let count = returned
        .get("count")
        .and_then(serde_json::Value::as_i64)
        .unwrap_or(0);
    let rows = Value::List(rows(returned).iter().map(Value::from_json).collect());
    outputs([("rows", rows), ("count", count.into())])
}
