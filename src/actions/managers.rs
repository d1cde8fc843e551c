//! Who else acts on the nodes, and what that means to a run.

use super::scene::Scene;
use crate::cluster::{Bearing, Manager, ManagerKind, NodeName};
use crate::engine::Failure;
use futures_util::future::join_all;
use std::time::Duration;

/// What a node may take to say who else manages it: as long as a dead host is waited for anyway.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who else is there.
pub(super) struct Found {
    /// Where a repmgrd acts that can be paused.
    pub(super) to_pause: Vec<NodeName>,
    /// What could not be told.
    pub(super) unknown: Vec<String>,
}

/// Looks on all nodes at once. Refuses where somebody acts on the nodes who cannot be paused from here.
pub(super) async fn look(scene: &Scene<'_>) -> Result<Found, Failure> {
    let nodes: Vec<&NodeName> = scene.inventory().nodes.keys().collect();
    let suspect = scene.node_input("suspect")?;
    let suspect = suspect.as_ref();
    let looks = nodes.iter().map(|node| async move {
        let own = suspect == Some(*node);
        let patience = scene.time("patience").filter(|_| own);
        let look = tokio::time::timeout(patience.unwrap_or(PATIENCE), look_at(scene, node));
        look.await.unwrap_or_default()
    });
    let mut found = Found {
        to_pause: Vec::new(),
        unknown: Vec::new(),
    };
    let mut refused: Vec<(String, &'static str)> = Vec::new();
    for (node, seen) in nodes.iter().zip(join_all(looks).await) {
        if seen.unseen {
            let text = format!("whether another manager acts on {node} could not be told");
            found.unknown.push(text);
        }
        for (manager, up) in &seen.managers {
            match manager.bearing(*up) {
                Bearing::Harmless => {}
                Bearing::Paused => found.to_pause.push((*node).clone()),
                Bearing::InTheWay(help) => {
                    refused.push((format!("{manager} manages {node}"), help));
                }
            }
        }
    }
    found.to_pause.dedup();
    if refused.is_empty() {
        return Ok(found);
    }
    let whats: Vec<&str> = refused.iter().map(|(what, _)| what.as_str()).collect();
    let mut helps: Vec<&str> = refused.iter().map(|(_, help)| *help).collect();
    helps.dedup();
    Err(Failure::refused(format!(
        "another manager would act on the same servers: {}",
        whats.join("; ")
    ))
    .with_help(helps.join("; ")))
}

/// What a node shows, and of each manager whether the server that it acts for may be up.
struct Seen {
    managers: Vec<(Manager, bool)>,
    unseen: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            managers: Vec::new(),
            unseen: true,
        }
    }
}

async fn look_at(scene: &Scene<'_>, node: &NodeName) -> Seen {
    let Ok(told) = scene.cluster.managers(node).await else {
        return Seen::default();
    };
    let mut managers = Vec::new();
    for manager in told.found {
        // Only a repmgrd whose pause nobody can read hangs on it: a server that refuses us, or is full, is not down.
        let up = manager.paused.is_some()
            || manager.kind != ManagerKind::Repmgrd
            || scene.cluster.server(node).await.is_ok()
            || !matches!(scene.cluster.host(node).await, Ok(host) if host.postmaster.is_none());
        managers.push((manager, up));
    }
    Seen {
        managers,
        unseen: told.unseen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_can_be_paused_is_and_who_acts_all_the_same_refuses() {
        use ManagerKind::{Kbha, Patroni, Repmgrd};
        for (kind, paused, up, expected) in [
            (Repmgrd, Some(false), true, "pause"),
            (Repmgrd, Some(false), false, "pause"),
            (Repmgrd, Some(true), true, "harmless"),
            (Repmgrd, None, true, "refuse"),
            (Repmgrd, None, false, "harmless"),
            (Kbha, None, false, "refuse"),
            (Patroni, Some(true), true, "harmless"),
            (Patroni, Some(false), true, "refuse"),
            (Patroni, None, false, "refuse"),
        ] {
            let manager = Manager {
                kind,
                sign: "process 1".to_owned(),
                paused,
            };
            let found = match manager.bearing(up) {
                Bearing::Harmless => "harmless",
                Bearing::Paused => "pause",
                Bearing::InTheWay(_) => "refuse",
            };
            assert_eq!(found, expected, "{manager} {up}");
        }
    }
}
