//! How changed settings of the upstream come into force: by a reload, by a restart, or by the next start.

use super::scene::Scene;
use super::stop::stop_within;
use crate::cluster::{NodeName, Operation, StopMode, Trouble, UpstreamRoute};
use crate::engine::Failure;

/// Whether a running server takes them only when it starts. The settings' own context tells, not the version: KingbaseES
/// V9 calls itself 12.
pub(super) async fn by_restart(scene: &Scene<'_>, node: &NodeName) -> Result<bool, Failure> {
    let settings = scene
        .cluster
        .settings(node, &["primary_conninfo", "primary_slot_name"])
        .await?;
    Ok(settings
        .values()
        .any(|setting| setting.context == "postmaster"))
}

/// Restarts a standby, which loses nothing by a rough stop: what it received is on its disk. Half of the time that is
/// left is for the start.
pub(super) async fn restart(scene: &Scene<'_>, node: &NodeName) -> Result<(), Failure> {
    let modes = [
        StopMode::Fast,
        StopMode::Terminate,
        StopMode::Immediate,
        StopMode::Kill,
    ];
    stop_within(scene, node, &modes, scene.time_left() / 2).await?;
    start(scene, node).await.map_err(|failure| {
        failure.with_help(format!(
            "{node} is left stopped: look at its log, and start it"
        ))
    })
}

/// Starts a server that is down.
pub(super) async fn start(scene: &Scene<'_>, node: &NodeName) -> Result<(), Failure> {
    scene
        .perform(Operation::Start {
            node: node.clone(),
            deadline: scene.time_left(),
        })
        .await
        .map(|_| ())
}

/// What a restart is expected to perform.
pub(super) fn restarts(scene: &Scene<'_>, node: &NodeName) -> [Operation; 2] {
    [
        Operation::Stop {
            node: node.clone(),
            mode: StopMode::Fast,
            deadline: scene.time_left() / 2,
        },
        Operation::Start {
            node: node.clone(),
            deadline: scene.time_left() / 2,
        },
    ]
}

/// Through the server where it runs, through its files where its host says that it does not.
pub(super) async fn route(scene: &Scene<'_>, node: &NodeName) -> Result<UpstreamRoute, Failure> {
    match scene.cluster.server(node).await {
        Ok(_) => Ok(UpstreamRoute::Sql),
        Err(trouble) => stopped(scene, node, trouble)
            .await
            .map(|()| UpstreamRoute::File),
    }
}

/// A server that does not answer is down only when its host says so; otherwise the trouble stands.
pub(super) async fn stopped(
    scene: &Scene<'_>,
    node: &NodeName,
    trouble: Trouble,
) -> Result<(), Failure> {
    match scene.cluster.host(node).await {
        Ok(host) if host.postmaster.is_none() => Ok(()),
        _ => Err(trouble.into()),
    }
}

/// Puts back what a node was told before `tag` was kept; by which way tells what is left for it to come into force.
pub(super) async fn put_back(
    scene: &Scene<'_>,
    node: &NodeName,
    tag: &str,
) -> Result<UpstreamRoute, Failure> {
    let route = route(scene, node).await?;
    scene
        .perform(Operation::RestoreSettings {
            node: node.clone(),
            tag: tag.to_owned(),
            archive_only: false,
            route,
        })
        .await?;
    Ok(route)
}
