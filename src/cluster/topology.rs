//! The cluster at a glance.

use super::{Inventory, Lsn, NodeName, Timeline};
use serde::{Deserialize, Serialize};

/// The table that `status` shows; columns as `repmgr cluster show` has them, lag included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    /// The cluster.
    pub cluster: String,
    /// A row for each node, in the order of their ids.
    pub rows: Vec<Row>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: NodeName,
    /// `primary` or `standby`; none when it could not be told.
    pub role: Option<String>,
    /// How it is.
    pub status: RowStatus,
    /// What it receives from, or is set to follow; a node's name where it is one of ours.
    pub upstream: Option<String>,
    /// It really streams from there.
    pub attached: bool,
    /// Its location.
    pub location: String,
    /// Its priority.
    pub priority: i64,
    /// Its timeline, from `IDENTIFY_SYSTEM`.
    pub timeline: Option<Timeline>,
    /// Its position.
    pub at: Option<Lsn>,
    /// Bytes behind the primary; none when there is no primary or no position.
    pub lag: Option<i64>,
    /// What is wrong, where something is.
    pub note: Option<String>,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowStatus {
    /// It answers.
    Running,
    /// It answers that it does not accept sessions.
    Rejecting,
    /// Nothing answers.
    Unreachable,
}

impl Topology {
    /// The one running primary; none when there is none or more than one.
    pub fn primary(&self) -> Option<&Row> {
        let mut primaries = self
            .rows
            .iter()
            .filter(|r| r.role.as_deref() == Some("primary"));
        let first = primaries.next()?;
        primaries.next().is_none().then_some(first)
    }

    /// The row of a node.
    pub fn row(&self, name: &NodeName) -> Option<&Row> {
        self.rows.iter().find(|r| r.name == *name)
    }

    /// The primary before the outage, as the standbys tell: the running primary, else the one node that all reachable
    /// standbys are set to follow.
    pub fn presumed_primary(&self, inventory: &Inventory) -> Option<NodeName> {
        if let Some(row) = self.primary() {
            return Some(row.name.clone());
        }
        let mut upstreams: Vec<&str> = self
            .rows
            .iter()
            .filter(|r| r.role.as_deref() == Some("standby"))
            .filter_map(|r| r.upstream.as_deref())
            .filter(|u| {
                self.rows
                    .iter()
                    .any(|r| r.name.as_str() == *u && r.role.as_deref() != Some("standby"))
            })
            .collect();
        upstreams.sort_unstable();
        upstreams.dedup();
        match upstreams.as_slice() {
            [one] => inventory.nodes.keys().find(|n| n.as_str() == *one).cloned(),
            _ => None,
        }
    }
}
