//! What a standby followed before a step changed it, where that cannot be kept on its host: commands do not reach it, and its
//! server answers. The node that it follows is no secret; it goes into the intent of the change, and an undo points the standby
//! back there through its server.

use super::scene::Scene;
use crate::cluster::{Former, NodeName, Operation, Setting, SlotName, UpstreamRoute};
use crate::engine::{Done, Failure};
use std::collections::BTreeMap;

/// What it follows now. Where that is somebody whom the site file does not name, what kept us from keeping the settings stands.
pub(super) async fn found(
    scene: &Scene<'_>,
    node: &NodeName,
    failure: Failure,
) -> Result<Former, Failure> {
    let set = scene.cluster.upstream(node).await?;
    let upstream = match set {
        None => None,
        Some((host, port)) => match scene.inventory().node_at(&host, port) {
            Some(about) => Some(about.name.clone()),
            None => return Err(failure),
        },
    };
    let asked = ["primary_slot_name", "restore_command"];
    let settings = scene.cluster.settings(node, &asked).await?;
    // Whoever followed nobody is frozen when this is taken back, and that takes the archive away, too.
    if upstream.is_none() && has_archive(&settings) {
        return Err(failure);
    }
    let slot = settings.get("primary_slot_name");
    let slot = slot.and_then(|setting| SlotName::parse(&setting.value).ok());
    let text = format!(
        "the settings of {node} are not kept on its host, which is out of reach; should this be taken back, it follows {} \
         again, as the site file writes it",
        upstream.as_ref().map_or("nobody", NodeName::as_str)
    );
    let data = serde_json::json!({ "node": node, "former": upstream, "why": failure.message });
    scene.note("limits", text, data).await;
    Ok(Former { upstream, slot })
}

/// It takes WAL from an archive. The command is a secret: its value is never seen, only that there is one.
pub(super) fn has_archive(settings: &BTreeMap<String, Setting>) -> bool {
    settings.get("restore_command").is_some_and(|s| s.set)
}

/// What the first attempt wrote down before it changed anything; none where the settings were kept.
pub(super) fn recorded(done: &[Done]) -> Option<Former> {
    done.iter().find_map(
        |done| match serde_json::from_value(done.forecast.operation.clone()) {
            Ok(Operation::SetUpstream { former, .. } | Operation::Freeze { former, .. }) => former,
            _ => None,
        },
    )
}

/// Points the node back; says what was done.
pub(super) async fn back(
    scene: &Scene<'_>,
    node: &NodeName,
    former: Former,
) -> Result<String, Failure> {
    let node = node.clone();
    let Some(upstream) = former.upstream else {
        let text = format!("{node} receives from nobody again");
        let freeze = Operation::Freeze { node, former: None };
        return scene.perform(freeze).await.map(|_| text);
    };
    let text = format!("{node} is pointed back at {upstream}");
    let dbname = super::set_upstream::copies_from(scene, &node).await;
    scene
        .perform(Operation::SetUpstream {
            node: node.clone(),
            upstream,
            slot: former.slot,
            route: UpstreamRoute::Sql,
            dbname,
            former: None,
        })
        .await?;
    scene.perform(Operation::Reload { node }).await?;
    Ok(text)
}
