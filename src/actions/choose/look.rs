//! What each standby holds, and whether all of them lie on one history (rule 2).

use super::super::check_standby::found_unfit;
use super::super::receives::{Source, source};
use super::super::scene::Scene;
use super::nobody;
use crate::cluster::{Ancestry, Lsn, NodeName, PromotePolicy, Timeline};
use crate::engine::Failure;
use crate::playbook::TroubleKind;
use std::time::Duration;
use tokio::time::Instant;

/// A standby that counts.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is found by itself, none excludes another"
)]
pub(super) struct Entry {
    pub(super) node: NodeName,
    pub(super) timeline: Timeline,
    pub(super) at: Lsn,
    pub(super) backlog: i64,
    /// Its startup process is at something that nobody paused: it may not hear of a promotion before that ends.
    pub(super) held_up: bool,
    pub(super) priority: i64,
    pub(super) near: bool,
    pub(super) allowed: bool,
    /// Why it would make no primary, where something of the kind was found.
    pub(super) unfit: Option<String>,
    /// It has a walreceiver, from wherever.
    pub(super) receives: bool,
    /// Whom it follows, where that is not the old primary; none when it is frozen and needs a new upstream.
    pub(super) upstream: Option<NodeName>,
}

impl Entry {
    /// It may be promoted, by the site file and by what was found of it.
    pub(super) fn eligible(&self) -> bool {
        self.allowed && self.unfit.is_none()
    }

    /// It is frozen: it received from the old primary, or from nobody.
    pub(super) fn frozen(&self) -> bool {
        self.upstream.is_none()
    }
}

/// What one standby holds. An error says why it does not count.
pub(super) async fn look(
    scene: &Scene<'_>,
    node: &NodeName,
    old: &NodeName,
) -> Result<Entry, Failure> {
    let inventory = scene.inventory();
    let (identity, upstream, server) = tokio::join!(
        scene.cluster.identify(node),
        scene.cluster.upstream(node),
        scene.server(node)
    );
    let (identity, upstream, mut server) = (identity?, upstream?, server?);
    if !server.in_recovery {
        return Err(Failure::hold(format!(
            "{node} is a primary already (timeline {})",
            identity.timeline
        ))
        .with_help(
            "look at `pgbaton status`; if that promotion was meant, let the others follow it",
        ));
    }
    let source = source(inventory, &server, upstream.as_ref());
    if let Source::Perhaps(what) = &source {
        return Err(Failure::new(
            TroubleKind::Unmet,
            format!("it is not frozen: it {what}"),
        ));
    }
    let upstream = match source {
        Source::Node(upstream) if upstream == *old => {
            return Err(Failure::new(
                TroubleKind::Unmet,
                format!("it is not frozen: it receives from {old}, or is set to"),
            ));
        }
        Source::Node(upstream) => Some(upstream),
        Source::Nobody | Source::Perhaps(_) => None,
    };
    let patience = Instant::now() + (scene.time_left() / 2).min(Duration::from_secs(5));
    while !server.drained() && !server.replay_paused && Instant::now() < patience {
        scene.pause(Duration::from_millis(5)).await?;
        server = scene.server(node).await?;
    }
    let replayed = server.replayed.unwrap_or_default();
    let at = if server.drained() {
        server.position().unwrap_or(identity.at)
    } else {
        // Not drained (paused, delayed): what it holds is read from its files.
        scene
            .cluster
            .wal_end(node, identity.timeline, replayed)
            .await?
            .max(replayed)
    };
    let about = inventory.node(node);
    Ok(Entry {
        node: node.clone(),
        timeline: identity.timeline,
        at,
        backlog: at.bytes_since(replayed),
        held_up: !server.drained() && !server.replay_paused,
        priority: about.map_or(0, |n| n.priority),
        near: about.map(|n| &n.location) == inventory.node(old).map(|n| &n.location),
        unfit: found_unfit(scene, node),
        allowed: about.is_some_and(|n| n.promote == PromotePolicy::Allowed),
        receives: server.receiver_pid.is_some() || server.receiver.is_some(),
        upstream,
    })
}

/// All that count must lie on one history.
pub(super) async fn one_history(scene: &Scene<'_>, entries: &[Entry]) -> Result<Timeline, Failure> {
    let newest = entries
        .iter()
        .max_by_key(|e| e.timeline)
        .ok_or_else(|| nobody(&[]))?;
    let older: Vec<&Entry> = entries
        .iter()
        .filter(|e| e.timeline != newest.timeline)
        .collect();
    if older.is_empty() {
        return Ok(newest.timeline);
    }
    let history = scene.cluster.history(&newest.node, newest.timeline).await?;
    for entry in older {
        if history.relate(entry.timeline, entry.at) != Ancestry::On {
            return Err(Failure::hold(format!(
                "{} (timeline {}) and {} (timeline {}) do not lie on one history: another promotion happened",
                entry.node, entry.timeline, newest.node, newest.timeline
            ))
            .with_help("find out which of them has the data that counts, and rebuild the other"));
        }
    }
    Ok(newest.timeline)
}
