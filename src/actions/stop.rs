//! Stop a server, and escalate by policy when it does not stop.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{ControlState, NodeName, Operation, StopMode};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct Stop;

#[async_trait]
impl Deed for Stop {
    fn signature() -> Signature {
        Signature {
            name: "stop",
            summary: "Stop a server and wait for it; escalate to rougher modes when it does not stop in its share of the time.",
            node: NodeRule::Required,
            inputs: vec![
                Field::optional("mode", Type::String, "`fast` unless given").one_of(&[
                    "fast",
                    "terminate",
                    "immediate",
                    "kill",
                ]),
                Field::optional(
                    "escalate",
                    Type::List,
                    "rougher modes to go on with, in order; none unless given",
                )
                .one_of(&["terminate", "immediate", "kill"]),
            ],
            outputs: vec![
                Field::required(
                    "clean",
                    Type::Boolean,
                    "its control data says that it was shut down",
                ),
                Field::required(
                    "mode",
                    Type::String,
                    "the mode that stopped it; `none` when it was down already",
                ),
            ],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_secs(90),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let node = scene.node()?;
        let host = scene.cluster.host(&node).await?;
        if host.postmaster.is_none() && host.orphans.is_empty() {
            let clean = host.control.is_some_and(|c| is_clean(c.state));
            let given = outputs([("clean", clean.into()), ("mode", "none".into())]);
            return Ok(Probe::Satisfied(given, "it is down already".to_owned()));
        }
        Ok(Probe::Needed("it runs".to_owned()))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let (first, _) = modes(scene);
        Ok(vec![Operation::Stop {
            node: scene.node()?,
            mode: first,
            deadline: scene.time_left(),
        }])
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let (first, rougher) = modes(scene);
        let mode = stop_with_escalation(scene, &node, first, &rougher).await?;
        Ok(outputs([("mode", name_of(mode).into())]))
    }

    async fn verify(&self, scene: &Scene<'_>, mut given: Map) -> Result<Map, Failure> {
        let node = scene.node()?;
        // Children that a postmaster does not wait for (those that only refuse a session) may outlive it by a moment.
        let host = scene
            .until(|| async {
                let host = scene.cluster.host(&node).await?;
                let pids: Vec<String> = host.orphans.iter().map(|p| p.pid.to_string()).collect();
                Ok(match host.postmaster {
                    Some(pid) => Err(format!("postmaster {pid} of {node} is alive")),
                    None if !pids.is_empty() => Err(format!(
                        "processes of {node} outlived it: {}",
                        pids.join(", ")
                    )),
                    None => Ok(host),
                })
            })
            .await?;
        let clean = host.control.is_some_and(|c| is_clean(c.state));
        given.insert("clean".to_owned(), clean.into());
        Ok(given)
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        let node = scene.node()?;
        if done.is_empty() {
            return Ok(Undone::Nothing);
        }
        if scene.cluster.server(&node).await.is_ok() {
            return Ok(Undone::Nothing);
        }
        end_given_up(scene, &node).await?;
        scene
            .perform(Operation::Start {
                node: node.clone(),
                deadline: scene.time_left(),
            })
            .await
            .map_err(|failure| {
                failure.with_help(format!(
                    "{node} is left stopped: look at its log, and start it"
                ))
            })?;
        Ok(Undone::Done(format!("{node} is started again")))
    }
}

/// How long a stop that was given up may still end by itself before it is made to: it may be all but over, and a clean
/// shutdown spares the start its crash recovery.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A stop that was given up may still be under way, held up by something that never ends (an archive command, a session
/// in the kernel). Nobody else was promoted, so an immediate stop loses nothing: crash recovery brings all of it back.
async fn end_given_up(scene: &Scene<'_>, node: &NodeName) -> Result<(), Failure> {
    let patience = Instant::now() + LAST_WORDS.min(scene.time_left() / 4);
    loop {
        let host = scene.cluster.host(node).await?;
        let stopping =
            host.postmaster.is_some() && host.postmaster_status.as_deref() == Some("stopping");
        if !stopping {
            return Ok(());
        }
        if Instant::now() >= patience {
            break;
        }
        scene.pause(Duration::from_millis(10)).await?;
    }
    let text = format!("{node} is still stopping; it is stopped by force, to be started again");
    scene
        .note("escalation", text, serde_json::Value::Null)
        .await;
    // Half of the time is for the start.
    let half = scene.time_left() / 2;
    let modes = [StopMode::Terminate, StopMode::Immediate, StopMode::Kill];
    stop_within(scene, node, &modes, half)
        .await
        .map(|_| ())
        .map_err(|failure| {
            failure.with_help(format!(
                "{node} is left stopping: end its processes on its host, then start it"
            ))
        })
}

fn is_clean(state: ControlState) -> bool {
    matches!(
        state,
        ControlState::ShutDown | ControlState::ShutDownInRecovery
    )
}

fn modes(scene: &Scene<'_>) -> (StopMode, Vec<StopMode>) {
    let first = scene
        .text("mode")
        .and_then(mode_of)
        .unwrap_or(StopMode::Fast);
    let rougher = scene
        .texts("escalate")
        .iter()
        .filter_map(|m| mode_of(m))
        .filter(|m| *m > first)
        .collect();
    (first, rougher)
}

fn mode_of(name: &str) -> Option<StopMode> {
    match name {
        "fast" => Some(StopMode::Fast),
        "terminate" => Some(StopMode::Terminate),
        "immediate" => Some(StopMode::Immediate),
        "kill" => Some(StopMode::Kill),
        _ => None,
    }
}

fn name_of(mode: StopMode) -> &'static str {
    match mode {
        StopMode::Fast => "fast",
        StopMode::Terminate => "terminate",
        StopMode::Immediate => "immediate",
        StopMode::Kill => "kill",
    }
}

/// Stops the server; each mode gets its share of the time that is left, less half a second for looking.
pub(super) async fn stop_with_escalation(
    scene: &Scene<'_>,
    node: &NodeName,
    first: StopMode,
    rougher: &[StopMode],
) -> Result<StopMode, Failure> {
    let mut modes = vec![first];
    modes.extend_from_slice(rougher);
    let within = scene.time_left().saturating_sub(Duration::from_millis(500));
    stop_within(scene, node, &modes, within).await
}

fn by_service(scene: &Scene<'_>, node: &NodeName) -> bool {
    let about = scene.inventory().node(node);
    about.is_some_and(|about| about.service.is_some())
}

/// Stops the server: the first two thirds of the time are for a mode when others follow, the last has all that remains.
pub(super) async fn stop_within(
    scene: &Scene<'_>,
    node: &NodeName,
    modes: &[StopMode],
    within: Duration,
) -> Result<StopMode, Failure> {
    let end = Instant::now() + within;
    let mut last = None;
    for (index, mode) in modes.iter().enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        let deadline = if index + 1 < modes.len() {
            left * 2 / 3
        } else {
            left
        };
        if let Some(failure) = last.take() {
            let failure: Failure = failure;
            let text = format!(
                "{node} did not stop: {}; now {}",
                failure.message,
                name_of(*mode)
            );
            scene
                .note("escalation", text, serde_json::json!({ "mode": mode }))
                .await;
        }
        match scene
            .perform(Operation::Stop {
                node: node.clone(),
                mode: *mode,
                deadline,
            })
            .await
        {
            Ok(_) => return Ok(*mode),
            Err(failure) if scene.step.cancel.is_cancelled() => return Err(failure),
            // What may not stop it may not start it either.
            Err(failure)
                if *mode == StopMode::Fast
                    && failure.kind == TroubleKind::Failed
                    && by_service(scene, node) =>
            {
                return Err(failure);
            }
            Err(failure) => last = Some(failure),
        }
    }
    Err(last.unwrap_or_else(|| Failure::new(TroubleKind::Failed, format!("{node} did not stop"))))
}
