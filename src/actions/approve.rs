//! Ask a person, and go on only with an answer that still fits what it was given for.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::NodeName;
use crate::engine::{Decision, Evidence, Failure, Probe, QUESTION};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// How often is looked for the answer.
const LOOK: Duration = Duration::from_millis(100);

/// How long a node may take to say how it stands: one that does not is down for this purpose.
const ANSWERS: Duration = Duration::from_secs(3);

pub(super) struct Approve;

#[async_trait]
impl Deed for Approve {
    fn signature() -> Signature {
        Signature {
            name: "approve",
            summary: "Ask a person and wait: `pgbaton runs approve` or `deny`. The step's timeout is how long the question \
                      stands. An approval is void when a node answers, replicates or is primary otherwise than when it was \
                      asked for.",
            node: NodeRule::Refused,
            inputs: vec![Field::required(
                "question",
                Type::String,
                "what is asked, with the values that matter",
            )],
            outputs: vec![
                Field::required("by", Type::String, "who approved"),
                Field::required("reason", Type::String, "the reason given"),
            ],
            effect: Some(EffectClass::Read),
            roles: vec![],
            timeout: Duration::from_mins(30),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("a person decides".to_owned()))
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let question = scene.text("question").unwrap_or_default();
        let asked = match asked_before(scene) {
            Some(asked) => asked,
            None => ask(scene, question).await,
        };
        if !scene.step.effects.can_be_asked() {
            return Ok(answer(
                "nobody",
                "there is nobody to ask in a simulated run",
            ));
        }
        let decision = loop {
            if let Some(decision) = scene.step.effects.decision() {
                break decision;
            }
            if scene.time_left() <= LOOK {
                let long = scene.step.limit;
                return Err(Failure::new(
                    TroubleKind::Timeout,
                    format!("nobody answered within {long:?}; the question has expired"),
                ));
            }
            scene.pause(LOOK).await?;
        };
        let Decision { by, reason, .. } = &decision;
        if !decision.approved {
            return Err(Failure::refused(format!("denied by {by}: {reason}")));
        }
        let now = situation(scene).await;
        if let Some(change) = changed(&asked, &now) {
            return Err(Failure::new(
                TroubleKind::Conflict,
                format!("the approval by {by} is void: {change}"),
            )
            .with_help("start a new run, or let the step ask again with `retry: { if: error.kind == 'conflict' }`"));
        }
        Ok(answer(by, reason))
    }
}

fn answer(by: &str, reason: &str) -> Map {
    outputs([("by", by.into()), ("reason", reason.into())])
}

/// How each node stands, in words: what an approval rests on.
type Situation = BTreeMap<String, String>;

/// Notes the question with what it rests on.
async fn ask(scene: &Scene<'_>, question: &str) -> Situation {
    let now = situation(scene).await;
    let (run, step) = (&scene.step.run, &scene.step.path);
    let how = if scene.step.effects.can_be_asked() {
        format!(" · `pgbaton runs approve {run} '{step}' --reason …`, or `deny`")
    } else {
        String::new()
    };
    let data = serde_json::json!({
        "step": step,
        "attempt": scene.step.attempt,
        "question": question,
        "rests_on": now,
    });
    scene.note(QUESTION, format!("{question}{how}"), data).await;
    now
}

/// What this attempt asked before its runner died.
fn asked_before(scene: &Scene<'_>) -> Option<Situation> {
    let (step, attempt) = (
        serde_json::json!(scene.step.path),
        serde_json::json!(scene.step.attempt),
    );
    let asked = scene.step.effects.noted(QUESTION);
    let ours = |e: &&Evidence| {
        e.data.get("step") == Some(&step) && e.data.get("attempt") == Some(&attempt)
    };
    let rests_on = asked.iter().rfind(ours)?.data.get("rests_on")?.clone();
    serde_json::from_value(rests_on).ok()
}

async fn situation(scene: &Scene<'_>) -> Situation {
    let nodes: Vec<&NodeName> = scene.inventory().nodes.keys().collect();
    let views = join_all(nodes.iter().map(|node| async move {
        match timeout(ANSWERS, scene.cluster.server(node)).await {
            Ok(Ok(server)) if !server.in_recovery => "primary".to_owned(),
            Ok(Ok(server)) => match server.receiver.filter(|r| !r.host.is_empty()) {
                Some(receiver) => {
                    let from = scene.inventory().node_at(&receiver.host, receiver.port);
                    let address = format!("{}:{}", receiver.host, receiver.port);
                    let from = from.map_or(address, |node| node.name.to_string());
                    format!("standby that receives from {from}")
                }
                None => "standby that receives nothing".to_owned(),
            },
            Ok(Err(_)) | Err(_) => "no answer".to_owned(),
        }
    }));
    let views = views.await;
    nodes.iter().map(ToString::to_string).zip(views).collect()
}

fn changed(asked: &Situation, now: &Situation) -> Option<String> {
    let unknown = "not known".to_owned();
    asked.iter().find_map(|(node, then)| {
        let now = now.get(node).unwrap_or(&unknown);
        (now != then).then(|| format!("{node} was `{then}` when it was asked, and is `{now}` now"))
    })
}
