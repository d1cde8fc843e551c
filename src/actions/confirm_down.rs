//! Is the primary really down? The monitor is the first suspect (rule 9).

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{Host, NodeName, Reach, Server};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct ConfirmDown;

#[async_trait]
impl Deed for ConfirmDown {
    fn signature() -> Signature {
        Signature {
            name: "confirm_down",
            summary: "Make sure that nobody can reach the primary: from here, from every standby, by no living stream.",
            node: NodeRule::Required,
            inputs: vec![Field::optional(
                "patience",
                Type::Duration,
                "how long a new connection, or the host, may stay without an answer before that counts as silence; 2s",
            )],
            outputs: vec![
                Field::required(
                    "host_reachable",
                    Type::Boolean,
                    "commands reach the old primary's host",
                ),
                Field::required("observers", Type::List, "the standbys that were asked"),
                Field::required(
                    "shut_down",
                    Type::Boolean,
                    "its control data says that it was shut down cleanly",
                ),
            ],
            effect: Some(EffectClass::Read),
            roles: vec![],
            timeout: Duration::from_secs(10),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("to be asked anew in every run".to_owned()))
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let primary = scene.node()?;
        let patience = scene.time("patience").unwrap_or(Duration::from_secs(2));
        let suspicion = Instant::now();
        let others: Vec<&NodeName> = scene
            .inventory()
            .nodes
            .keys()
            .filter(|n| **n != primary)
            .collect();
        // Everybody is asked at once, and the host besides: nothing here waits for anything else.
        let (from_here, host, views) = tokio::join!(
            scene.cluster.reach(None, &primary, patience),
            tokio::time::timeout(patience, scene.cluster.host(&primary)),
            join_all(
                others
                    .iter()
                    .map(|node| view(scene, node, &primary, patience))
            ),
        );
        let host = host.ok().and_then(Result::ok);
        refuse_unless_silent("from here", &primary, from_here?)?;
        // A postmaster that runs, and is not frozen.
        let running = host
            .as_ref()
            .filter(|host| !host.frozen)
            .and_then(|host| host.postmaster);
        let mut observers = Vec::new();
        for (node, found) in others.iter().zip(views) {
            let Some((server, answered, reach)) = found else {
                continue;
            };
            if !server.in_recovery {
                return Err(Failure::hold(format!("{node} is a primary already, while {primary} is to be replaced"))
                    .with_help("look at `pgbaton status`; if that promotion was meant, let the others follow it"));
            }
            if let Some(reach) = reach {
                refuse_unless_silent(&format!("from {node}"), &primary, reach)?;
            }
            let asked = Asked {
                suspicion,
                answered,
                patience,
            };
            let streams = listen(scene, node, &primary, server, asked).await?;
            if streams && let Some(pid) = running {
                return Err(Failure::refused(format!(
                    "{node} has a stream from {primary}, silent though it is, and on its host the postmaster {pid} runs: it may be \
                     alive under another address"
                ))
                .with_help(format!(
                    "compare the address of {primary} in the site file with what the standbys use; to replace a server that \
                     hangs, stop it first"
                )));
            }
            // Whoever could not even try a connection has seen nothing.
            if reach.is_some() {
                observers.push(node.as_str());
            }
        }
        if observers.is_empty() {
            return Err(Failure::refused(format!(
                "no standby could try a connection of its own, so nobody but this host says that {primary} is down"
            ))
            .with_help(
                "the network of this host is the first suspect; look at the servers from another place, and see that commands \
                 reach the standbys' hosts (`ssh` in the site file): a connection is tried from there",
            ));
        }
        let shut_down = matches!(&host, Some(Host { postmaster: None, control: Some(control), .. })
            if control.state == crate::cluster::ControlState::ShutDown);
        Ok(outputs([
            ("host_reachable", host.is_some().into()),
            ("observers", observers.into()),
            ("shut_down", shut_down.into()),
        ]))
    }
}

/// What one standby says: its own state, and whether a new connection of its own gets through. `None` when the standby
/// itself cannot be reached.
async fn view(
    scene: &Scene<'_>,
    node: &NodeName,
    primary: &NodeName,
    patience: Duration,
) -> Option<(Server, Instant, Option<Reach>)> {
    let server = async {
        let server = bounded(patience, scene.cluster.server(node)).await;
        (server, Instant::now())
    };
    let ((server, answered), reach) =
        tokio::join!(server, scene.cluster.reach(Some(node), primary, patience));
    Some((server?, answered, reach.ok()))
}

/// When a standby was asked for what it hears.
struct Asked {
    /// The suspicion began.
    suspicion: Instant,
    /// It answered; how long its upstream has been silent is as of now.
    answered: Instant,
    /// For how long after the suspicion it may still hear something.
    patience: Duration,
}

async fn bounded<T, E>(limit: Duration, ask: impl Future<Output = Result<T, E>>) -> Option<T> {
    tokio::time::timeout(limit + Duration::from_secs(1), ask)
        .await
        .ok()?
        .ok()
}

fn refuse_unless_silent(whence: &str, primary: &NodeName, reach: Reach) -> Result<(), Failure> {
    match reach {
        Reach::Silent => Ok(()),
        Reach::Accepts => Err(Failure::refused(format!("{primary} is alive: it accepts connections {whence}"))
            .with_help("to hand over from a living primary, run `switchover`")),
        Reach::Rejects => Err(Failure::refused(format!(
            "{primary} is not dead: it answers {whence}, and refuses the session (starting, stopping, recovering, or full)"
        ))
        .with_help("wait for it to settle; a server that recovers from a crash is back when it is done")),
    }
}

/// A message that arrived after the suspicion began disproves it, and so does a stream from an address that nobody knows. The
/// silence of an old stream proves nothing (a receiver of a frozen primary says `streaming` for `wal_receiver_timeout`), but
/// where connections are refused at once it has had no time to speak: it gets `patience`. A receiver that has gone, as it
/// does when the primary's processes end, is not waited for. True: a stream is there, and says nothing.
async fn listen(
    scene: &Scene<'_>,
    node: &NodeName,
    primary: &NodeName,
    mut server: Server,
    mut asked: Asked,
) -> Result<bool, Failure> {
    loop {
        let Some(receiver) = server.receiver.as_ref().filter(|r| r.status == "streaming") else {
            return Ok(false);
        };
        let (host, port) = (&receiver.host, receiver.port);
        let source = scene.inventory().node_at(host, port).map(|n| &n.name);
        if source.is_some_and(|source| source != primary) {
            return Ok(false);
        }
        let since = asked.answered.saturating_duration_since(asked.suspicion);
        let elapsed = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        if receiver.silent_ms.is_some_and(|silent| silent < elapsed) {
            let whom = match source {
                Some(source) => format!("still streams from {source}"),
                None => {
                    format!("streams from {host}:{port}, which may be {primary} under another name")
                }
            };
            return Err(Failure {
                kind: TroubleKind::Denied,
                ..Failure::refused(format!("{node} {whom}: a message arrived just now"))
            }
            .with_help("the way from this host to the primary is broken, the primary is not"));
        }
        if asked.suspicion.elapsed() >= asked.patience {
            return Ok(true);
        }
        scene.pause(Duration::from_millis(20)).await?;
        server = match scene.cluster.server(node).await {
            Ok(server) => server,
            Err(_) => return Ok(false),
        };
        asked.answered = Instant::now();
    }
}
