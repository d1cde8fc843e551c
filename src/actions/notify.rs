//! Tell somebody. A notification that cannot be delivered never stops a failover unless the playbook says so.

use super::exec::optional;
use super::http;
use super::scene::{Deed, Scene};
use crate::cluster::{CustomEffect, ExecPlace, HttpRequest, Operation};
use crate::engine::{Failure, Owed, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, Type};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) struct Notify;

#[async_trait]
impl Deed for Notify {
    fn signature() -> Signature {
        Signature {
            name: "notify",
            summary: "Tell people or programs: the message goes to the run's events, and to a program or URL when given.",
            node: NodeRule::Refused,
            inputs: vec![
                Field::required("message", Type::String, "what to say"),
                Field::optional(
                    "argv",
                    Type::List,
                    "a program on this host; it gets the message on its standard input",
                ),
                Field::optional(
                    "url",
                    Type::String,
                    "it gets a POST of {\"run\": …, \"message\": …}; may be a secret",
                )
                .secret_too(),
                Field::optional(
                    "debt",
                    Type::Boolean,
                    "it is left for a person to do, and is listed at the end of the run",
                ),
                Field::optional(
                    "slots_on",
                    Type::Node,
                    "with `debt`: it is about the slots that this node holds and nobody needs; `status` shows it until a run \
                     that lets the node follow has dropped them",
                ),
            ],
            outputs: vec![],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_secs(10),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("it is told".to_owned()))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let message = scene.text("message").unwrap_or_default().to_owned();
        let mut operations = Vec::new();
        let argv = scene.texts("argv");
        if !argv.is_empty() {
            operations.push(Operation::Exec {
                place: ExecPlace::Runner,
                argv,
                env: BTreeMap::from([(
                    "PGBATON_RUN".to_owned(),
                    scene.step.run.to_string().into(),
                )]),
                stdin: Some(message.clone().into()),
                effect: CustomEffect::Idempotent,
                deadline: scene.whole_time_left(),
            });
        }
        if let Some(url) = optional(&scene.step.inputs.with, "url")? {
            let body = serde_json::json!({ "run": scene.step.run, "message": message }).to_string();
            let request = HttpRequest {
                method: "POST".to_owned(),
                url,
                headers: BTreeMap::from([("content-type".to_owned(), "application/json".into())]),
                body: Some(body.into()),
            };
            operations.push(Operation::Http {
                request,
                effect: CustomEffect::Idempotent,
            });
        }
        Ok(operations)
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let topic = if scene.flag("debt") { "debt" } else { "notify" };
        let slots_on = scene.node_input("slots_on")?;
        let owed = slots_on.map(|on| Owed::Slot {
            on: on.to_string(),
            slot: None,
        });
        let data = owed.map_or(serde_json::Value::Null, |owed| owed.data());
        let message = scene.text("message").unwrap_or_default();
        scene.note(topic, message, data).await;
        for operation in self.plan(scene).await? {
            match operation {
                request @ Operation::Http { .. } => drop(http::send(scene, request).await?),
                program => drop(scene.perform(program).await?),
            }
        }
        Ok(Map::new())
    }
}
