//! Stop a standby from receiving, so that positions can be compared (rule 2).

use super::former;
use super::in_force::{by_restart, put_back, restart, restarts, start};
use super::receives::{Source, source};
use super::scene::{Deed, SOON, Scene, longer, outputs};
use crate::cluster::{Former, NodeName, Operation, Trouble, UpstreamRoute};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Role, Signature, TroubleKind, Type};
use async_trait::async_trait;
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct Freeze;

/// The name under which a frozen node keeps what it was told before.
pub(super) const TAG: &str = "freeze";

/// The topic of a restart that a freeze needs.
const RESTART: &str = "restart";

/// How long a walreceiver may outlive its setting before it is ended (it lives on while replay is busy or paused).
const RECEIVER_GRACE: Duration = Duration::from_secs(1);

#[async_trait]
impl Deed for Freeze {
    fn signature() -> Signature {
        Signature {
            name: "freeze",
            summary: "Stop a standby from receiving, for good until it is told to follow again.",
            node: NodeRule::Required,
            inputs: vec![Field::required(
                "from",
                Type::Node,
                "the old primary; its direct receivers are frozen, and those of a standby that does not answer",
            )],
            outputs: vec![
                Field::required(
                    "frozen",
                    Type::Boolean,
                    "it received from `from` and does no more",
                ),
                Field::optional(
                    "position",
                    Type::Lsn,
                    "the greater of received and replayed, after the receiver has gone",
                ),
                Field::required("drained", Type::Boolean, "everything received is replayed"),
            ],
            effect: Some(EffectClass::Idempotent),
            roles: vec![Role::Freeze],
            // A restart is in it where the setting needs one.
            timeout: Duration::from_mins(1),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let node = scene.node()?;
        let from = scene.required_node("from")?;
        if restarts_already(scene, &node) && !comes_up(scene, &node).await? {
            return Ok(Probe::Needed(
                "its restart did not get to its end".to_owned(),
            ));
        }
        let (server, upstream) =
            tokio::try_join!(scene.cluster.server(&node), scene.cluster.upstream(&node))?;
        if !server.in_recovery {
            return Err(Failure::hold(format!(
                "{node} is a primary; only standbys are frozen"
            )));
        }
        match source(scene.inventory(), &server, upstream.as_ref()) {
            Source::Nobody => Ok(Probe::Satisfied(
                state(&server, true),
                "it receives from nobody".to_owned(),
            )),
            Source::Node(upstream) if upstream == from => {
                Ok(Probe::Needed(format!("it is set to receive from {from}")))
            }
            Source::Node(upstream) if lost(scene, &upstream).await => Ok(Probe::Needed(format!(
                "it is set to receive from {upstream}, which does not answer"
            ))),
            Source::Node(upstream) => Ok(Probe::Satisfied(
                state(&server, false),
                format!("it receives from {upstream}, not from {from}"),
            )),
            Source::Perhaps(what) => Ok(Probe::Needed(format!("it {what}"))),
        }
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let node = scene.node()?;
        let mut operations = vec![
            Operation::SaveSettings {
                node: node.clone(),
                tag: TAG.to_owned(),
                owner: scene.step.run.to_string(),
            },
            Operation::Freeze {
                node: node.clone(),
                former: None,
            },
        ];
        if by_restart(scene, &node).await? {
            operations.extend(restarts(scene, &node));
        }
        Ok(operations)
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        if restarts_already(scene, &node) && !comes_up(scene, &node).await? {
            start(scene, &node).await?;
            return until_receiver_gone(scene, &node).await.map(|()| Map::new());
        }
        let set = async { Ok(scene.cluster.upstream(&node).await?) };
        let (set, by_restart) = tokio::try_join!(set, by_restart(scene, &node))?;
        // A node that somebody else's attempt left half frozen keeps the settings that were kept first.
        let former = if set.is_some() {
            keep(scene, &node, by_restart).await?
        } else {
            None
        };
        let freeze = Operation::Freeze {
            node: node.clone(),
            former,
        };
        scene.perform(freeze).await?;
        // PostgreSQL 12, KingbaseES V8R6. Nothing less is a freeze there: a receiver that is ended comes back.
        if by_restart {
            let text = format!("{node} takes its upstream only when it starts: it is restarted");
            let data = serde_json::json!({ "node": node });
            scene.note(RESTART, text, data).await;
            restart(scene, &node).await?;
        }
        until_receiver_gone(scene, &node).await?;
        Ok(Map::new())
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        if given.contains_key("frozen") {
            return Ok(given);
        }
        let node = scene.node()?;
        let (cleared, first) = tokio::join!(cleared(scene, &node), scene.server(&node));
        cleared?;
        let mut server = first?;
        // Draining is waited for briefly: `choose` finds the end of what is not replayed by other means.
        let drained_by = Instant::now() + (scene.time_left() / 2).min(Duration::from_secs(5));
        loop {
            if server.receiver.is_some() || server.receiver_pid.is_some() {
                return Err(Failure::new(
                    TroubleKind::Unmet,
                    format!("{node} receives again although it was frozen"),
                ));
            }
            if server.drained() || server.replay_paused || Instant::now() >= drained_by {
                return Ok(state(&server, true));
            }
            scene.pause(Duration::from_millis(3)).await?;
            server = scene.server(&node).await?;
        }
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        let node = scene.node()?;
        if done.is_empty() {
            return Ok(Undone::Nothing);
        }
        if let Some(former) = former::recorded(done) {
            return former::back(scene, &node, former).await.map(Undone::Done);
        }
        let stopped = done.iter().any(|d| {
            matches!(
                serde_json::from_value(d.forecast.operation.clone()),
                Ok(Operation::Stop { .. })
            )
        });
        match put_back(scene, &node, TAG).await? {
            UpstreamRoute::Sql if by_restart(scene, &node).await? => {
                restart(scene, &node).await?;
            }
            // Down because its restart did not get to its end.
            UpstreamRoute::File if stopped => start(scene, &node).await?,
            UpstreamRoute::Sql | UpstreamRoute::File => {}
        }
        Ok(Undone::Done(format!(
            "{node} receives from its old upstream again"
        )))
    }
}

/// Whether a standby's upstream is gone as well. Its children would be left behind with it, and one of them may be all that
/// is left to promote.
async fn lost(scene: &Scene<'_>, upstream: &NodeName) -> bool {
    matches!(
        scene.cluster.in_recovery(upstream).await,
        Err(Trouble {
            kind: TroubleKind::Unreachable | TroubleKind::Timeout,
            ..
        })
    )
}

/// Whether this run went about to restart it. If it is down then, nobody else wanted it so.
fn restarts_already(scene: &Scene<'_>, node: &NodeName) -> bool {
    let noted = scene.step.effects.noted(RESTART);
    noted.iter().any(|e| e.data["node"] == node.as_str())
}

/// Whether a server that is being restarted answers; false once it is down.
async fn comes_up(scene: &Scene<'_>, node: &NodeName) -> Result<bool, Failure> {
    scene
        .until(|| async {
            if scene.cluster.server(node).await.is_ok() {
                return Ok(Ok(true));
            }
            let host = scene.cluster.host(node).await?;
            Ok(match host.postmaster {
                None => Ok(false),
                Some(pid) => Err(format!("postmaster {pid} of {node} does not answer")),
            })
        })
        .await
}

/// Keeps the settings on the node. Where commands do not reach its host, what it follows is all that there is to keep, unless
/// it has an archive: a standby that cannot be frozen would hold up the promotion of any other.
async fn keep(
    scene: &Scene<'_>,
    node: &NodeName,
    by_restart: bool,
) -> Result<Option<Former>, Failure> {
    let save = Operation::SaveSettings {
        node: node.clone(),
        tag: TAG.to_owned(),
        owner: scene.step.run.to_string(),
    };
    let failure = match scene.perform(save).await {
        Ok(_) => return Ok(None),
        // A restart needs the host.
        Err(failure) if failure.kind == TroubleKind::Unreachable && !by_restart => failure,
        Err(failure) => return Err(failure),
    };
    let archive = scene.cluster.settings(node, &["restore_command"]).await?;
    if former::has_archive(&archive) {
        return Err(failure);
    }
    former::found(scene, node, failure).await.map(Some)
}

/// Reads the setting back. The session that is asked takes the new value in its own time after a reload, so it is asked
/// more than once; a value that stays comes from a place that overrides the file.
async fn cleared(scene: &Scene<'_>, node: &NodeName) -> Result<(), Failure> {
    let until = Instant::now() + (scene.time_left() / 2).min(Duration::from_secs(5));
    // A value that cannot be read as a conninfo is set, too.
    while !matches!(scene.cluster.upstream(node).await, Ok(None)) {
        if Instant::now() >= until {
            return Err(still_set(scene, node).await?);
        }
        scene.pause(Duration::from_millis(3)).await?;
    }
    Ok(())
}

async fn still_set(scene: &Scene<'_>, node: &NodeName) -> Result<Failure, Failure> {
    let settings = scene.cluster.settings(node, &["primary_conninfo"]).await?;
    let source = settings
        .get("primary_conninfo")
        .map_or("unknown", |setting| setting.source.as_str());
    let message = format!(
        "{node} still has a primary_conninfo after it was cleared; it comes from: {source}"
    );
    Ok(Failure::new(TroubleKind::Unmet, message).with_help(
        "a setting from the command line or an environment overrides ALTER SYSTEM; take it out there",
    ))
}

fn state(server: &crate::cluster::Server, frozen: bool) -> Map {
    outputs([
        ("frozen", frozen.into()),
        ("position", server.position().into()),
        ("drained", server.drained().into()),
    ])
}

/// Waits until the walreceiver has gone; ends it on its host when it stays although its setting has gone.
async fn until_receiver_gone(scene: &Scene<'_>, node: &NodeName) -> Result<(), Failure> {
    let began = Instant::now();
    let mut ended = false;
    let mut wait = Duration::from_millis(2);
    loop {
        let server = scene.server(node).await?;
        let Some(pid) = server
            .receiver_pid
            .or(server.receiver.as_ref().map(|r| r.pid))
        else {
            return Ok(());
        };
        if !ended && began.elapsed() >= RECEIVER_GRACE {
            scene
                .note(
                    "escalation",
                    format!("walreceiver {pid} of {node} stays; it is ended"),
                    serde_json::Value::Null,
                )
                .await;
            scene
                .perform(Operation::EndReceiver {
                    node: node.clone(),
                    pid,
                })
                .await?;
            ended = true;
        }
        if scene.time_left().is_zero() {
            return Err(Failure::new(
                TroubleKind::Timeout,
                format!("walreceiver {pid} of {node} does not go away"),
            ));
        }
        scene.pause(wait).await?;
        wait = longer(wait, began, SOON);
    }
}
