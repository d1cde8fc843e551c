//! Point a node at its upstream; reload where the server can, say so where it needs a restart.

use super::former;
use super::in_force::{by_restart, put_back, restart, route, stopped};
use super::scene::{Deed, Scene, outputs};
use crate::cluster::{Former, NodeName, Operation, SlotName, UpstreamRoute};
use crate::engine::{Done, Failure, Probe, Undone};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type, Value};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct SetUpstream;

/// The name under which a node keeps the settings that this step replaces.
pub(super) const TAG: &str = "upstream";

#[async_trait]
impl Deed for SetUpstream {
    fn signature() -> Signature {
        Signature {
            name: "set_upstream",
            summary: "Point a node at an upstream and its slot there. Reloads where a reload does.",
            node: NodeRule::Required,
            inputs: vec![
                Field::required("upstream", Type::Node, "what it is to follow"),
                Field::optional("slot", Type::String, "the slot it uses there"),
                Field::optional(
                    "apply",
                    Type::String,
                    "`auto`: reload where the setting allows it; `restart`: always restart",
                )
                .one_of(&["auto", "restart"]),
            ],
            outputs: vec![
                Field::required(
                    "restart_required",
                    Type::Boolean,
                    "the server must be restarted for it",
                ),
                Field::required("running", Type::Boolean, "the server was running"),
            ],
            effect: Some(EffectClass::Idempotent),
            roles: vec![],
            timeout: Duration::from_secs(30),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let node = scene.node()?;
        let upstream = scene.required_node("upstream")?;
        let about = scene
            .inventory()
            .node(&upstream)
            .ok_or_else(|| Failure::new(TroubleKind::Failed, format!("no node {upstream}")))?;
        let (wanted_host, wanted_port) = (about.host.clone(), about.port);
        // Where the server is down, its files are not asked for what does not matter then: that starts a program.
        let set = async { Ok(scene.cluster.upstream(&node).await) };
        let (server, set) = match tokio::try_join!(scene.cluster.server(&node), set) {
            Ok(both) => both,
            Err(trouble) => {
                stopped(scene, &node, trouble).await?;
                return Ok(Probe::Needed("its server does not run".to_owned()));
            }
        };
        if !server.in_recovery {
            return Err(Failure::refused(format!(
                "{node} is a primary: it cannot be pointed at {upstream} while it runs"
            )));
        }
        let set = set?;
        if set.as_ref() != Some(&(wanted_host, wanted_port)) {
            return Ok(Probe::Needed(format!("it is not set to follow {upstream}")));
        }
        let names = ["primary_conninfo", "primary_slot_name"];
        let settings = scene.cluster.settings(&node, &names).await?;
        let pending = settings.values().any(|s| s.pending_restart);
        let slot_set = settings
            .get("primary_slot_name")
            .map(|s| s.value.as_str())
            .unwrap_or_default();
        let right = slot_set == slot(scene)?.as_ref().map_or("", SlotName::as_str);
        let streams = server.receiver.is_some_and(|r| {
            scene
                .inventory()
                .node_at(&r.host, r.port)
                .is_some_and(|n| n.name == upstream)
        });
        if right && !pending && streams {
            return Ok(Probe::Satisfied(
                result(false, true),
                format!("it follows {upstream} already"),
            ));
        }
        Ok(Probe::Needed(format!("it does not follow {upstream}")))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        let node = scene.node()?;
        let route = route(scene, &node).await?;
        let mut operations = vec![
            Operation::SaveSettings {
                node: node.clone(),
                tag: TAG.to_owned(),
                owner: scene.step.run.to_string(),
            },
            change(scene, route, None, copies_from(scene, &node).await)?,
        ];
        if route == UpstreamRoute::Sql && !needs_restart(scene, &node).await? {
            operations.push(Operation::Reload { node });
        }
        Ok(operations)
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let route = route(scene, &node).await?;
        let save = Operation::SaveSettings {
            node: node.clone(),
            tag: TAG.to_owned(),
            owner: scene.step.run.to_string(),
        };
        let (saved, restart, dbname) = tokio::join!(
            scene.perform(save),
            async {
                match route {
                    UpstreamRoute::Sql => needs_restart(scene, &node).await,
                    UpstreamRoute::File => Ok(false),
                }
            },
            copies_from(scene, &node)
        );
        let restart = restart?;
        let former = match saved {
            Ok(_) => None,
            // Commands do not reach its host, and a reload needs none.
            Err(failure)
                if failure.kind == TroubleKind::Unreachable
                    && route == UpstreamRoute::Sql
                    && !restart =>
            {
                Some(former::found(scene, &node, failure).await?)
            }
            Err(failure) => return Err(failure),
        };
        scene.perform(change(scene, route, former, dbname)?).await?;
        if route == UpstreamRoute::Sql && !restart {
            scene
                .perform(Operation::Reload { node: node.clone() })
                .await?;
        }
        // A server that is down is started by the step that follows; it needs no stop, but it needs that start.
        Ok(result(
            restart || route == UpstreamRoute::File,
            route == UpstreamRoute::Sql,
        ))
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        let node = scene.node()?;
        let upstream = scene.required_node("upstream")?;
        if given.get("restart_required") == Some(&Value::Boolean(true)) {
            return Ok(given);
        }
        let about = scene
            .inventory()
            .node(&upstream)
            .map(|n| (n.host.clone(), n.port));
        scene
            .until(|| async {
                let set = scene.cluster.upstream(&node).await?;
                Ok(if set == about {
                    Ok(())
                } else {
                    Err(format!("{node} is not set to follow {upstream}"))
                })
            })
            .await?;
        Ok(given)
    }

    async fn undo(&self, scene: &Scene<'_>, done: &[Done]) -> Result<Undone, Failure> {
        let node = scene.node()?;
        let changed = done.iter().any(|d| {
            matches!(
                serde_json::from_value(d.forecast.operation.clone()),
                Ok(Operation::SetUpstream { .. })
            )
        });
        if !changed {
            return Ok(Undone::Nothing);
        }
        if let Some(former) = former::recorded(done) {
            return former::back(scene, &node, former).await.map(Undone::Done);
        }
        let route = put_back(scene, &node, TAG).await?;
        if route == UpstreamRoute::Sql && needs_restart(scene, &node).await? {
            restart(scene, &node).await?;
        }
        Ok(Undone::Done(format!(
            "{node} has its former upstream settings again"
        )))
    }
}

fn result(restart: bool, running: bool) -> Map {
    outputs([
        ("restart_required", restart.into()),
        ("running", running.into()),
    ])
}

fn change(
    scene: &Scene<'_>,
    route: UpstreamRoute,
    former: Option<Former>,
    dbname: Option<String>,
) -> Result<Operation, Failure> {
    Ok(Operation::SetUpstream {
        node: scene.node()?,
        upstream: scene.required_node("upstream")?,
        slot: slot(scene)?,
        route,
        dbname,
        former,
    })
}

/// The database over which it copies logical slots, where it does (17 and later): without one it could not. Of a server
/// that is down its future upstream tells, for such settings are the same on all nodes.
pub(super) async fn copies_from(scene: &Scene<'_>, node: &NodeName) -> Option<String> {
    const COPIES: &str = "sync_replication_slots";
    let settings = if let Ok(settings) = scene.cluster.settings(node, &[COPIES]).await {
        settings
    } else {
        let upstream = scene.required_node("upstream").ok()?;
        scene.cluster.settings(&upstream, &[COPIES]).await.ok()?
    };
    let copies = settings.get(COPIES).is_some_and(|s| s.value == "on");
    copies.then(|| scene.inventory().sql.dbname.clone())
}

/// The slot that it is to use.
pub(super) fn slot(scene: &Scene<'_>) -> Result<Option<SlotName>, Failure> {
    scene
        .text("slot")
        .map(SlotName::parse)
        .transpose()
        .map_err(|error| Failure::new(TroubleKind::Failed, error.to_string()))
}

/// Where the server cannot do without, or where it was asked for.
async fn needs_restart(scene: &Scene<'_>, node: &NodeName) -> Result<bool, Failure> {
    Ok(scene.text("apply") == Some("restart") || by_restart(scene, node).await?)
}
