//! A cluster at a glance: the table, who else manages the nodes, what earlier runs left to do.

use super::{RunsError, World};
use crate::cluster::{Manager, NodeName, Row, RowStatus, Topology};
use crate::journal::Entry;
use serde_json::{Value as Json, json};

/// What a topology comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// One primary, all standbys attached, nothing to note.
    Ok,
    /// One primary, and something that is not as it should be.
    Degraded,
    /// No primary, or more than one.
    NoPrimary,
}

impl Health {
    /// What this topology comes to.
    pub fn of(topology: &Topology) -> Self {
        if topology.primary().is_none() {
            return Self::NoPrimary;
        }
        let well = |row: &Row| {
            row.status == RowStatus::Running
                && row.note.is_none()
                && (row.role.as_deref() == Some("primary") || row.attached)
        };
        if topology.rows.iter().all(well) {
            Self::Ok
        } else {
            Self::Degraded
        }
    }

    /// As JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::NoPrimary => "no_primary",
        }
    }
}

/// What one look found.
#[derive(Debug)]
pub struct Glance {
    /// The table.
    pub topology: Topology,
    /// Who else manages which node.
    pub managers: Vec<(NodeName, Manager)>,
    /// What earlier runs left to do.
    pub debts: Result<Vec<Entry>, RunsError>,
}

impl World {
    /// Looks at everything at once. Bounded by a few seconds whatever hosts and servers do.
    pub async fn glance(&self) -> Glance {
        let (topology, managers, debts) =
            tokio::join!(self.topology(), self.managers(), self.debts());
        Glance {
            topology,
            managers,
            debts,
        }
    }
}

impl Glance {
    /// As `status --json` prints it. What is left to do is null where the journal could not tell.
    pub fn to_json(&self) -> Json {
        let mut said = topology_json(&self.topology);
        let kept = self.managers.iter().map(|(node, manager)| {
            let (kind, sign) = (manager.kind, &manager.sign);
            json!({ "node": node, "kind": kind, "sign": sign, "paused": manager.paused })
        });
        said["managers"] = kept.collect();
        said["debts"] = match &self.debts {
            Ok(debts) => debts.iter().map(debt_json).collect(),
            Err(_) => Json::Null,
        };
        said
    }
}

fn debt_json(debt: &Entry) -> Json {
    json!({ "run": debt.run, "owed": debt.owed, "text": debt.text })
}

/// The topology and what it comes to.
pub fn topology_json(topology: &Topology) -> Json {
    json!({
        "cluster": topology.cluster,
        "health": Health::of(topology).as_str(),
        "rows": topology.rows,
    })
}
