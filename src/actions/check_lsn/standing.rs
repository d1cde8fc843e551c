//! Where a node stands that is to follow, running or not.

use super::super::scene::Scene;
use crate::cluster::{
    ControlData, ControlState, Identity, Lsn, NodeName, Server, SystemId, Timeline,
};
use crate::engine::Failure;
use std::time::Duration;
use tokio::time::Instant;

/// Where a node stands, running or not.
pub(super) struct Standing {
    pub(super) system: SystemId,
    pub(super) timeline: Timeline,
    pub(super) at: Lsn,
    pub(super) running: bool,
    /// `at` is somewhere within the last record: whatever a history says of it holds for its end too.
    pub(super) within_last: bool,
    /// A rewind of its data began and did not end: nothing of this means anything.
    pub(super) half_rewound: bool,
}

impl Standing {
    /// The same with the end of the last record, for people; it changes no verdict, so that it may stay unknown.
    pub(super) async fn exact(mut self, scene: &Scene<'_>, node: &NodeName) -> Self {
        if self.within_last
            && let Ok(end) = wal_end(scene, node, self.timeline, Lsn(self.at.0 - 1)).await
        {
            self.at = end;
        }
        self
    }
}

/// Where the node stands, so that all that it would replay is counted: what it has replayed where it has replayed all
/// (rule 2), otherwise the end of the last whole record in its own WAL. Control data name a checkpoint, which is anywhere
/// before that end; of a clean shutdown it is the beginning of the last record.
pub(super) async fn standing(scene: &Scene<'_>, node: &NodeName) -> Result<Standing, Failure> {
    let (server, identity) = tokio::join!(scene.cluster.server(node), scene.cluster.identify(node));
    match (server, identity) {
        (Ok(server), Ok(identity)) => Ok(Standing {
            system: identity.system,
            timeline: identity.timeline,
            at: running_end(scene, node, server, &identity).await?,
            running: true,
            within_last: false,
            half_rewound: false,
        }),
        (Err(trouble), _) | (_, Err(trouble)) => {
            let host = scene
                .cluster
                .host(node)
                .await
                .map_err(|_| Failure::from(trouble.clone()))?;
            let newest = host.timeline();
            match host.control {
                Some(control) if host.postmaster.is_none() && host.half_rewound => Ok(Standing {
                    system: control.system,
                    timeline: control.timeline,
                    at: control.checkpoint,
                    running: false,
                    within_last: false,
                    half_rewound: true,
                }),
                Some(control) if host.postmaster.is_none() => {
                    stopped(scene, node, &control, newest).await
                }
                _ => Err(trouble.into()),
            }
        }
    }
}

/// Where a node stands that does not run.
async fn stopped(
    scene: &Scene<'_>,
    node: &NodeName,
    control: &ControlData,
    newest: Option<Timeline>,
) -> Result<Standing, Failure> {
    let stands = |timeline, at, within_last| Standing {
        system: control.system,
        timeline,
        at,
        running: false,
        within_last,
        half_rewound: false,
    };
    // A primary's clean shutdown ends with its checkpoint's record. Timelines fork between records, so a fork beyond the
    // beginning of the last one is not before its end: nothing needs to be read.
    if control.state == ControlState::ShutDown {
        return Ok(stands(
            control.timeline,
            Lsn(control.checkpoint.0 + 1),
            true,
        ));
    }
    // A standby that has gone on to a timeline without a checkpoint there: control data still name the one before.
    if let Some(newest) = newest.filter(|newest| *newest != control.timeline)
        && let Ok(end) = scene.cluster.wal_end(node, newest, control.redo).await
    {
        return Ok(stands(newest, end, false));
    }
    let end = wal_end(scene, node, control.timeline, control.redo).await?;
    Ok(stands(control.timeline, end, false))
}

/// How long a standby that is about to have replayed all is waited for.
pub(super) const DRAIN: Duration = Duration::from_secs(1);

/// Where a running node stands.
async fn running_end(
    scene: &Scene<'_>,
    node: &NodeName,
    mut server: Server,
    identity: &Identity,
) -> Result<Lsn, Failure> {
    if !server.in_recovery {
        return Ok(server.written.unwrap_or(identity.at));
    }
    let patience = Instant::now() + DRAIN.min(scene.time_left() / 4);
    while !server.drained() && !server.replay_paused && Instant::now() < patience {
        scene.pause(Duration::from_millis(3)).await?;
        server = scene.server(node).await?;
    }
    let replayed = server.replayed.unwrap_or(identity.at);
    if server.drained() {
        return Ok(replayed);
    }
    // While it receives, what it received is an upper bound; afterwards that may be the beginning of a segment.
    if server.receiver.is_some() {
        return Ok(server.position().unwrap_or(identity.at));
    }
    let end = wal_end(scene, node, identity.timeline, replayed).await?;
    Ok(end.max(replayed))
}

async fn wal_end(
    scene: &Scene<'_>,
    node: &NodeName,
    timeline: Timeline,
    from: Lsn,
) -> Result<Lsn, Failure> {
    scene
        .cluster
        .wal_end(node, timeline, from)
        .await
        .map_err(|trouble| {
            let message = format!(
                "where {node} stands is unknown, so that it may be ahead of the fork: {trouble}"
            );
            let kind = trouble.kind;
            Failure {
                kind,
                ..Failure::refused(message)
            }
            .with_help(
                "nothing was changed; its WAL is read with pg_waldump on its host: see that this works",
            )
        })
}
