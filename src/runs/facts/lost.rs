//! What nodes that do not answer were: with a primary and a standby of standbys gone, only their files tell which was which.

use super::{PATIENCE, name_at};
use crate::cluster::{ControlState, Host, NodeName, Observe, Topology, Was};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};

/// What one silent node's host said: what its server was, and what it is set to follow.
type Told = (NodeName, Option<Was>, Option<(String, u16)>);

/// Looks at the hosts of silent nodes, where who the primary was hangs on it, and no longer than until that is clear.
pub(super) async fn clear_up(cluster: &dyn Observe, topology: &mut Topology) {
    let silent: Vec<NodeName> = names(topology);
    let limit = Instant::now() + PATIENCE;
    let mut looks: FuturesUnordered<_> = silent.iter().map(|node| look(cluster, node)).collect();
    while !names(topology).is_empty() {
        let Ok(Some((node, was, upstream))) = timeout_at(limit, looks.next()).await else {
            break;
        };
        let upstream = upstream.map(|(host, port)| name_at(cluster.inventory(), &host, port));
        if let Some(row) = topology.rows.iter_mut().find(|row| row.name == node) {
            row.was = was;
            // What a former primary was set to follow long ago says nothing.
            row.upstream = upstream.filter(|_| was == Some(Was::Standby));
        }
    }
    remember(cluster, topology);
}

fn names(topology: &Topology) -> Vec<NodeName> {
    topology
        .unclear()
        .iter()
        .map(|row| row.name.clone())
        .collect()
}

async fn look(cluster: &dyn Observe, node: &NodeName) -> Told {
    let (host, upstream) = tokio::join!(cluster.host(node), cluster.upstream(node));
    let was = host.ok().as_ref().and_then(was);
    (node.clone(), was, upstream.ok().flatten())
}

/// As the control data have it; `standby.signal` may have been placed since, to keep a primary from coming back as one.
fn was(host: &Host) -> Option<Was> {
    match host.control.as_ref()?.state {
        ControlState::ArchiveRecovery | ControlState::ShutDownInRecovery => Some(Was::Standby),
        ControlState::InProduction
        | ControlState::ShutDown
        | ControlState::ShuttingDown
        | ControlState::CrashRecovery => Some(Was::Primary),
        ControlState::StartingUp => None,
    }
}

/// Where the files did not tell: the node that this process saw as a primary last.
fn remember(cluster: &dyn Observe, topology: &mut Topology) {
    if names(topology).is_empty() {
        return;
    }
    let seen = topology.rows.iter_mut().filter_map(|row| {
        let age = cluster.remembered(&row.name).position?.age_ms;
        Some((age, row))
    });
    if let Some((_, row)) = seen.min_by_key(|(age, _)| *age)
        && row.role.is_none()
        && row.was.is_none()
    {
        row.was = Some(Was::Primary);
    }
}
