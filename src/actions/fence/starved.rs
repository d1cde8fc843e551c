//! The proof *starved*: too few standbys are left to acknowledge a commit of the old primary.

use super::super::receives::{Source, source};
use super::super::scene::Scene;
use super::owe;
use crate::cluster::{NodeName, Product, SyncNames, starves};
use crate::engine::Failure;
use crate::playbook::TroubleKind;
use futures_util::future::join_all;
use serde_json::json;

/// Enough of the standbys that its commits wait for are frozen: none can be acknowledged any more.
pub(super) async fn starved(scene: &Scene<'_>, node: &NodeName) -> Result<(), Failure> {
    let not = |why: String| Failure::new(TroubleKind::Unmet, why);
    if scene.inventory().product == Product::Kingbase {
        return Err(not(
            "kbha may rewrite synchronous_standby_names, and is not known to be paused".to_owned(),
        ));
    }
    let remembered = scene.cluster.remembered(node);
    let Some(setting) = remembered.synchronous_standby_names else {
        return Err(not(
            "its running synchronous_standby_names were not seen while it was alive".to_owned(),
        ));
    };
    let commit = remembered
        .synchronous_commit
        .map(|c| c.value)
        .unwrap_or_default();
    if !matches!(commit.as_str(), "on" | "remote_apply") {
        return Err(not(format!(
            "synchronous_commit was `{commit}`: commits did not wait for a standby's disk"
        )));
    }
    let Some(names) = SyncNames::parse(&setting.value).ok().flatten() else {
        return Err(not(
            "its commits waited for no standby (asynchronous replication)".to_owned(),
        ));
    };
    let mut receivers: Vec<String> = remembered
        .receivers
        .map(|r| r.value)
        .unwrap_or_default()
        .iter()
        .map(|r| r.to_lowercase())
        .collect();
    receivers.sort();
    if receivers.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(not(
            "two of its receivers had the same name, so that one could acknowledge for both"
                .to_owned(),
        ));
    }
    let others: Vec<&NodeName> = scene
        .inventory()
        .nodes
        .keys()
        .filter(|n| *n != node)
        .collect();
    let checks = join_all(others.iter().map(|other| is_frozen(scene, other))).await;
    let frozen: Vec<&str> = others
        .iter()
        .zip(checks)
        .filter(|(_, frozen)| *frozen)
        .map(|(n, _)| n.as_str())
        .collect();
    if !starves(&names, &frozen) {
        return Err(not(format!(
            "its commits waited for {names}; frozen are only: {}",
            if frozen.is_empty() {
                "none".to_owned()
            } else {
                frozen.join(", ")
            }
        )));
    }
    let text = format!(
        "{node} is starved: its commits wait for {names}, frozen are {}",
        frozen.join(", ")
    );
    let data = json!({ "node": node, "proof": "starved", "names": names, "frozen": frozen, "seen_ms_ago": setting.age_ms });
    scene.note("proof", text, data).await;
    scene
        .note(
            "limits",
            "not covered by this proof: sessions at synchronous_commit `local` or `off`, waits that a client cancelled, reads",
            json!(null),
        )
        .await;
    owe(scene, node).await;
    Ok(())
}

async fn is_frozen(scene: &Scene<'_>, node: &NodeName) -> bool {
    let (server, upstream) = tokio::join!(scene.cluster.server(node), scene.cluster.upstream(node));
    let (Ok(server), Ok(upstream)) = (server, upstream) else {
        return false;
    };
    let from = source(scene.inventory(), &server, upstream.as_ref());
    server.in_recovery && from == Source::Nobody
}
