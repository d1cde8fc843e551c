//! An HTTP request of the site's.

use super::exec::{effect_of, given_of, optional};
use super::scene::{Deed, Scene, outputs};
use crate::cluster::{CustomEffect, HttpRequest, Operation};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{Field, Map, NodeRule, Signature, TroubleKind, Type, Value};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) struct Http;

#[async_trait]
impl Deed for Http {
    fn signature() -> Signature {
        Signature {
            name: "http",
            summary: "Send an HTTP request. A status of 200 to 299 is success.",
            node: NodeRule::Refused,
            inputs: vec![
                Field::optional("method", Type::String, "GET unless given")
                    .one_of(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
                Field::required("url", Type::String, "absolute; may be a secret").secret_too(),
                Field::optional("headers", Type::Map, "by name; an entry may be a secret")
                    .secret_too(),
                Field::optional("body", Type::String, "the body; may be a secret").secret_too(),
            ],
            outputs: vec![
                Field::required("status_code", Type::Integer, "the status of the answer"),
                Field::required(
                    "body",
                    Type::String,
                    "the body; its beginning when it is long",
                ),
            ],
            effect: None,
            roles: vec![],
            timeout: Duration::from_secs(10),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let Some(probe) = &scene.step.inputs.probe else {
            return Ok(Probe::Blind("it has no probe".to_owned()));
        };
        match send(scene, operation(probe, CustomEffect::Read)?).await {
            Ok(returned) => Ok(Probe::Satisfied(
                given(&returned),
                "its probe got a 2xx".to_owned(),
            )),
            Err(failure) if failure.kind == TroubleKind::Failed => {
                Ok(Probe::Needed(failure.message))
            }
            Err(failure) => Err(failure),
        }
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        Ok(vec![operation(
            &scene.step.inputs.with,
            effect_of(scene.step.inputs.effect),
        )?])
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let operation = operation(&scene.step.inputs.with, effect_of(scene.step.inputs.effect))?;
        Ok(given(&send(scene, operation).await?))
    }

    async fn verify(&self, scene: &Scene<'_>, outputs: Map) -> Result<Map, Failure> {
        let Some(probe) = &scene.step.inputs.probe else {
            return Ok(outputs);
        };
        match send(scene, operation(probe, CustomEffect::Read)?).await {
            Ok(_) => Ok(outputs),
            Err(failure) => Err(Failure::new(
                TroubleKind::Unmet,
                format!(
                    "the request succeeded, and its probe still says no: {}",
                    failure.message
                ),
            )),
        }
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        match &scene.step.inputs.undo {
            Some(undo) if !done.is_empty() => {
                send(scene, operation(undo, CustomEffect::Idempotent)?).await?;
                Ok(Undone::Done("its undo got a 2xx".to_owned()))
            }
            None if !done.is_empty() => Ok(Undone::Failed(
                "it has no `undo`; what the request did is left as it is".to_owned(),
            )),
            _ => Ok(Undone::Nothing),
        }
    }
}

fn operation(with: &Map, effect: CustomEffect) -> Result<Operation, Failure> {
    let url = optional(with, "url")?
        .ok_or_else(|| Failure::new(TroubleKind::Failed, "`url` is not given"))?;
    let mut headers = BTreeMap::new();
    if let Some(Value::Map(map)) = with.get("headers") {
        for (name, value) in map {
            headers.insert(name.clone(), given_of(value)?);
        }
    }
    let method = with.get("method").and_then(Value::as_str).unwrap_or("GET");
    Ok(Operation::Http {
        request: HttpRequest {
            method: method.to_owned(),
            url,
            headers,
            body: optional(with, "body")?,
        },
        effect,
    })
}

/// Sends a request; any status but 200 to 299 is a failure.
pub(super) async fn send(
    scene: &Scene<'_>,
    request: Operation,
) -> Result<serde_json::Value, Failure> {
    let returned = scene.perform(request).await?;
    let status = returned
        .get("status")
        .and_then(serde_json::Value::as_i64)
        .unwrap_or(0);
    if (200..300).contains(&status) {
        return Ok(returned);
    }
    Err(Failure::new(
        TroubleKind::Failed,
        format!("the server answered with status {status}"),
    ))
}

fn given(returned: &serde_json::Value) -> Map {
    let status = returned
        .get("status")
        .and_then(serde_json::Value::as_i64)
        .unwrap_or(0);
    let body = returned
        .get("body")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    outputs([("status_code", status.into()), ("body", body.into())])
}
