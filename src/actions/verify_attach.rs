//! Evidence that a standby is attached, from both sides (rule 5).

use super::scene::{Deed, IN_TIME, Scene, longer, outputs};
use super::verify_primary::mark_of;
use crate::cluster::{Admission, Lsn, NodeName, Operation, Server, Timeline};
use crate::engine::{Failure, Probe};
use crate::playbook::{
    EffectClass, Field, Map, NodeRule, Role, Signature, TroubleKind, Type, Value,
};
use async_trait::async_trait;
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct VerifyAttach;

/// How deep a cascade may be before it is taken for a circle.
const MAX_CASCADE: usize = 16;

#[async_trait]
impl Deed for VerifyAttach {
    fn signature() -> Signature {
        Signature {
            name: "verify_attach",
            summary: "Prove from both sides that a standby streams from its upstream and holds a mark written after the follow.",
            node: NodeRule::Required,
            inputs: vec![
                Field::required("upstream", Type::Node, "what it is to stream from"),
                Field::optional(
                    "nudge",
                    Type::Duration,
                    "reload again when nothing has connected for so long; 1s",
                ),
            ],
            outputs: vec![
                Field::required(
                    "lag",
                    Type::Bytes,
                    "how far its disk is behind the upstream",
                ),
                Field::required("timeline", Type::Integer, "the timeline that it receives"),
                Field::required("flushed", Type::Lsn, "what it has on disk"),
                Field::required(
                    "primary",
                    Type::Node,
                    "the primary that feeds it, directly or through others",
                ),
            ],
            effect: Some(EffectClass::Idempotent),
            roles: vec![Role::Verification],
            timeout: Duration::from_mins(1),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("a mark is written and waited for".to_owned()))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let primary = primary_above(scene, scene.required_node("upstream")?).await?;
        Ok(vec![Operation::Mark { node: primary }])
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let upstream = scene.required_node("upstream")?;
        let primary = primary_above(scene, upstream.clone()).await?;
        let mark = Operation::Mark {
            node: primary.clone(),
        };
        let mark = mark_of(&scene.perform(mark).await?)?;
        let timeline = scene.cluster.identify(&upstream).await?.timeline;
        let patience = match scene.step.inputs.get("nudge") {
            Value::Duration(patience) => *patience,
            _ => Duration::from_secs(1),
        };
        let began = Instant::now();
        let mut looked = began;
        let mut wait = Duration::from_millis(2);
        let mut denied = None;
        loop {
            let why = match look(scene, &node, &upstream, timeline, mark).await? {
                Ok(mut found) => {
                    found.insert("primary".to_owned(), primary.as_str().into());
                    return Ok(found);
                }
                Err(why) => why,
            };
            if scene.time_left().is_zero() {
                let held = held_by_another(scene, &node, &upstream).await;
                let denied = denied.unwrap_or_default();
                return Err(Failure::new(
                    TroubleKind::Timeout,
                    format!("{node} is not attached to {upstream}: {why}{held}{denied}"),
                )
                .with_help(format!(
                    "look at the log of {node}: it says why it does not stream"
                )));
            }
            // A reload that meets a failing attempt of the receiver leaves it asleep for wal_retrieve_retry_interval.
            if looked.elapsed() >= patience {
                looked = Instant::now();
                if receiver_absent(scene, &node).await {
                    nudge(scene, &node).await?;
                    if denied.is_none() {
                        denied = Some(refusal(scene, &node, &upstream).await);
                    }
                }
            }
            scene.pause(wait).await?;
            wait = longer(wait, began, IN_TIME);
        }
    }
}

/// Why a node with a good setting may get no sender, where it is that.
async fn held_by_another(scene: &Scene<'_>, node: &NodeName, upstream: &NodeName) -> String {
    let name = scene.inventory().slot_of(node);
    let (senders, slots) = tokio::join!(
        scene.cluster.senders(upstream),
        scene.cluster.slots(upstream)
    );
    let (Ok(senders), Ok((slots, _))) = (senders, slots) else {
        return String::new();
    };
    let own = |pid| {
        senders
            .iter()
            .any(|s| s.pid == pid && s.application == node.as_str())
    };
    slots
        .iter()
        .find(|slot| slot.name == name)
        .and_then(|slot| slot.active_pid)
        .filter(|pid| !own(*pid))
        .map(|pid| format!("; slot {name} is held by process {pid}, which is another's"))
        .unwrap_or_default()
}

/// What a login of the node at its upstream is told, where it is refused.
async fn refusal(scene: &Scene<'_>, node: &NodeName, upstream: &NodeName) -> String {
    let limit = scene.time_left() / 2;
    let asked = scene.cluster.admission(node, upstream);
    match tokio::time::timeout(limit, asked).await {
        Ok(Ok(Admission::Refused(why))) => format!("; a login of {node} there is refused: {why}"),
        _ => String::new(),
    }
}

async fn nudge(scene: &Scene<'_>, node: &NodeName) -> Result<(), Failure> {
    scene
        .note(
            "nudge",
            format!("{node} has no walreceiver; it is reloaded again"),
            serde_json::json!(null),
        )
        .await;
    let reload = Operation::Reload { node: node.clone() };
    scene.perform(reload).await.map(drop)
}

async fn receiver_absent(scene: &Scene<'_>, node: &NodeName) -> bool {
    matches!(
        scene.cluster.server(node).await,
        Ok(Server {
            receiver_pid: None,
            ..
        })
    )
}

/// One look at both sides; the inner error says what is missing.
async fn look(
    scene: &Scene<'_>,
    node: &NodeName,
    upstream: &NodeName,
    timeline: Timeline,
    mark: Lsn,
) -> Result<Result<Map, String>, Failure> {
    // The question that most looks end with comes first, alone.
    let senders = scene.cluster.senders(upstream).await?;
    let mine: Vec<_> = senders
        .iter()
        .filter(|s| s.application == node.as_str())
        .collect();
    let sender = match mine.as_slice() {
        [one] => *one,
        [] => return Ok(Err(format!("{upstream} has no sender for {node}"))),
        many => {
            return Ok(Err(format!(
                "{upstream} has {} senders of the name {node}",
                many.len()
            )));
        }
    };
    if sender.state != "streaming" {
        return Ok(Err(format!(
            "the sender for {node} is in state `{}`",
            sender.state
        )));
    }
    let flushed = sender.flushed.unwrap_or_default();
    if flushed < mark {
        return Ok(Err(format!(
            "{node} has {flushed} on disk, the mark is at {mark}"
        )));
    }
    let (slots, server) = tokio::join!(scene.cluster.slots(upstream), scene.cluster.server(node));
    let (slots, _) = slots?;
    let Ok(server) = server else {
        return Ok(Err(format!("{node} does not answer")));
    };
    let Some(receiver) = server.receiver else {
        return Ok(Err(format!("{node} has no walreceiver")));
    };
    let from = scene
        .inventory()
        .node_at(&receiver.host, receiver.port)
        .map(|n| n.name.clone());
    if from.as_ref() != Some(upstream) {
        return Ok(Err(format!(
            "{node} receives from {}:{}",
            receiver.host, receiver.port
        )));
    }
    if receiver.timeline != Some(timeline) {
        let has = receiver
            .timeline
            .map_or("none".to_owned(), |t| t.to_string());
        return Ok(Err(format!(
            "{node} receives timeline {has}, {upstream} is on {timeline}"
        )));
    }
    // Whatever slot it uses, not only one of our name: it keeps the WAL only for the process that holds it.
    let Some(used) = &receiver.slot else {
        return Ok(Err(format!("{node} streams without a slot")));
    };
    let held = slots
        .iter()
        .any(|slot| slot.name == *used && slot.active_pid == Some(sender.pid));
    if !held {
        return Ok(Err(format!(
            "slot {used} on {upstream} is not held by {node}"
        )));
    }
    let lag = sender
        .sent
        .map_or(0, |sent| sent.bytes_since(flushed).max(0));
    Ok(Ok(outputs([
        ("lag", lag.into()),
        ("timeline", i64::from(timeline.0).into()),
        ("flushed", flushed.into()),
    ])))
}

/// The primary that feeds a cascade: the upstream itself, or what it streams from in the end.
pub(super) async fn primary_above(
    scene: &Scene<'_>,
    upstream: NodeName,
) -> Result<NodeName, Failure> {
    let mut here = upstream;
    for _ in 0..MAX_CASCADE {
        if !scene.cluster.in_recovery(&here).await? {
            return Ok(here);
        }
        let above = scene.cluster.upstream(&here).await?;
        here = above
            .and_then(|(host, port)| scene.inventory().node_at(&host, port))
            .map(|n| n.name.clone())
            .ok_or_else(|| {
                Failure::new(
                    TroubleKind::Unmet,
                    format!("{here} is a standby and follows no node of this cluster"),
                )
            })?;
    }
    Err(Failure::new(
        TroubleKind::Conflict,
        format!("the upstreams above {here} form a circle"),
    ))
}
