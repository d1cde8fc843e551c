//! Let repmgr's own table say who is what, so that its commands and its daemons start from the truth.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{NodeName, Operation, RepmgrNode, RepmgrRow, Standing, repmgr_changes};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) struct UpdateRepmgr;

#[async_trait]
impl Deed for UpdateRepmgr {
    fn signature() -> Signature {
        Signature {
            name: "update_repmgr",
            summary: "Put repmgr's table of nodes right, on the primary and in one transaction: type, active and upstream of every node that answers. Needs `repmgr` in the site file.",
            node: NodeRule::Required,
            inputs: vec![],
            outputs: vec![Field::required(
                "updated",
                Type::Integer,
                "how many rows were changed",
            )],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_secs(15),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let found = look(scene).await?;
        Ok(if found.rows.is_empty() {
            Probe::Satisfied(result(0), "it is right already".to_owned())
        } else {
            Probe::Needed(format!("{} of its rows are not true", found.rows.len()))
        })
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let found = look(scene).await?;
        Ok(found.change(scene.node()?).into_iter().collect())
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let found = look(scene).await?;
        if let Some(operation) = found.change(scene.node()?) {
            scene.perform(operation).await?;
        }
        Ok(result(found.rows.len()))
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        let found = look(scene).await?;
        if found.rows.is_empty() {
            for debt in &found.debts {
                scene.note("debt", debt, serde_json::Value::Null).await;
            }
            return Ok(given);
        }
        let ids: Vec<String> = found.rows.iter().map(|row| row.id.to_string()).collect();
        Err(Failure::new(
            TroubleKind::Unmet,
            format!(
                "repmgr's table is still not true of the nodes {}: somebody else writes it, or the cluster has changed",
                ids.join(", ")
            ),
        ))
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        let mut restored = 0;
        // The last first: an earlier change of the same row was of what had been there before both.
        for operation in done
            .iter()
            .rev()
            .filter_map(|d| serde_json::from_value(d.forecast.operation.clone()).ok())
        {
            if let Operation::UpdateRepmgr { node, rows, before } = operation {
                restored += before.len();
                let back = Operation::UpdateRepmgr {
                    node,
                    rows: before,
                    before: rows,
                };
                scene.perform(back).await?;
            }
        }
        Ok(match restored {
            0 => Undone::Nothing,
            rows => Undone::Done(format!("{rows} rows of repmgr's table are as they were")),
        })
    }
}

fn result(updated: usize) -> Map {
    let updated = i64::try_from(updated).unwrap_or(i64::MAX);
    outputs([("updated", updated.into())])
}

/// What is to be changed, and what nobody could tell.
struct Found {
    table: Vec<RepmgrNode>,
    rows: Vec<RepmgrRow>,
    debts: Vec<String>,
}

impl Found {
    fn change(&self, node: NodeName) -> Option<Operation> {
        let is_changed = |row: &RepmgrRow| self.rows.iter().any(|new| new.id == row.id);
        let before = self.table.iter().map(|node| node.row.clone());
        (!self.rows.is_empty()).then(|| Operation::UpdateRepmgr {
            node,
            rows: self.rows.clone(),
            before: before.filter(is_changed).collect(),
        })
    }
}

async fn look(scene: &Scene<'_>) -> Result<Found, Failure> {
    let primary = scene.node()?;
    if scene.server(&primary).await?.in_recovery {
        return Err(Failure::new(
            TroubleKind::Conflict,
            format!("{primary} is a standby: repmgr's table is written on the primary"),
        ));
    }
    let table = scene.cluster.repmgr_nodes(&primary).await?;
    let names: Vec<&NodeName> = scene.inventory().nodes.keys().collect();
    let stands = join_all(names.iter().map(|name| standing(scene, name, &primary))).await;
    let mut standings = BTreeMap::new();
    let mut debts = Vec::new();
    for (name, standing) in names.into_iter().zip(stands) {
        let standing = standing?;
        if !table.iter().any(|node| node.name == name.as_str()) {
            debts.push(format!(
                "repmgr does not know {name}: register it (`repmgr standby register`), or take `repmgr` out of the site file"
            ));
        } else if standing == Standing::Silent {
            debts.push(format!(
                "{name} does not answer, so that repmgr's row about it tells only what was known: `pgbaton run follow` puts \
                 it right when {name} is back"
            ));
        }
        standings.insert(name.clone(), standing);
    }
    Ok(Found {
        rows: repmgr_changes(&table, &standings),
        table,
        debts,
    })
}

async fn standing(
    scene: &Scene<'_>,
    name: &NodeName,
    primary: &NodeName,
) -> Result<Standing, Failure> {
    if name == primary {
        return Ok(Standing::Primary);
    }
    let Ok(server) = scene.cluster.server(name).await else {
        return Ok(Standing::Silent);
    };
    if !server.in_recovery {
        return Err(Failure::new(
            TroubleKind::Conflict,
            format!(
                "{name} is a primary too: repmgr's table cannot say that, and is left as it is"
            ),
        ));
    }
    let at = match server.receiver {
        Some(receiver) => Some((receiver.host, receiver.port)),
        None => scene.cluster.upstream(name).await.ok().flatten(),
    };
    let upstream = at.and_then(|(host, port)| scene.inventory().node_at(&host, port));
    Ok(Standing::Standby(upstream.map(|node| node.name.clone())))
}
