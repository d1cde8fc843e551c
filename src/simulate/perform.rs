//! The simulated side of the port: what can be done.

use super::cluster::{REPLY, SimCluster, Way};
use super::conf::{CONNINFO, RESTORE, SYNC_NAMES, Value};
use super::effects::{Changes, saved_answer};
use super::fault::{Fault as Why, partly};
use super::ids::NodeId;
use super::inject::{Fault, What};
use super::node::Phase;
use super::world::World;
use crate::cluster::{
    Cluster, CustomEffect, ExecPlace, NodeName, Operation, Outcome, SlotName, StopMode, Trouble,
    TroubleKind, UpstreamRoute,
};
use async_trait::async_trait;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;

/// What a command that only looks at files and processes may take.
const SHORT: Duration = Duration::from_secs(10);
/// Beyond the deadline that a stop or a start is given.
const GRACE: Duration = Duration::from_secs(3);
/// What a checkpoint takes besides the way there and back.
const CHECKPOINT: Duration = Duration::from_millis(40);
const LONG: Duration = Duration::from_hours(1);
/// What the site's commands for forbidding and allowing a return may take.
const SITE: Duration = Duration::from_secs(30);

type Done = Result<Json, Outcome>;

#[async_trait]
impl Cluster for SimCluster {
    async fn perform(&self, operation: &Operation) -> Outcome {
        let now = self.now();
        let node = operation.node();
        let met = self
            .state()
            .injections
            .meets(now, node, What::Perform(operation));
        let injected = |kind, text: &str| Trouble {
            kind,
            node: node.cloned(),
            message: format!("{text} (injected)"),
            help: None,
        };
        match met {
            None => self.done(operation).await,
            Some(Fault::FailBefore) => {
                sleep(Duration::from_millis(1)).await;
                Outcome::Failed(injected(TroubleKind::Failed, "it failed"))
            }
            Some(Fault::FailAfter) => match self.done(operation).await {
                Outcome::Done(_) => Outcome::Failed(injected(
                    TroubleKind::Failed,
                    "it was done, and is said to have failed",
                )),
                other => other,
            },
            Some(Fault::LoseAnswer) => match self.done(operation).await {
                Outcome::Done(_) => {
                    settled(operation, injected(TroubleKind::Unknown, "the answer was lost"))
                }
                other => other,
            },
            Some(Fault::Hang) => {
                sleep(limit(operation)).await;
                settled(operation, injected(TroubleKind::Unknown, "no answer in time"))
            }
            Some(Fault::Before(disruption)) => {
                self.with(|w| w.disrupt(&disruption));
                self.done(operation).await
            }
            Some(Fault::After(disruption)) => {
                let outcome = self.done(operation).await;
                self.with(|w| w.disrupt(&disruption));
                match outcome {
                    Outcome::Done(_) if node.is_some() && disruption.node() == node => settled(
                        operation,
                        injected(TroubleKind::Unknown, "the connection was lost"),
                    ),
                    other => other,
                }
            }
        }
    }
}

/// What changes nothing is never in doubt: it can be asked again.
fn settled(operation: &Operation, trouble: Trouble) -> Outcome {
    if operation.effect() == CustomEffect::Read {
        return Outcome::Failed(Trouble {
            kind: TroubleKind::Timeout,
            ..trouble
        });
    }
    Outcome::Unknown(trouble)
}

/// The longest that the live side would wait for it.
fn limit(operation: &Operation) -> Duration {
    match operation {
        Operation::Stop { deadline, .. } | Operation::Start { deadline, .. } => *deadline + GRACE,
        Operation::Exec { deadline, .. } => *deadline,
        Operation::Checkpoint { .. } | Operation::Sql { .. } => LONG,
        Operation::Http { .. } => SITE,
        Operation::SaveSettings { .. }
        | Operation::ForgetSettings { .. }
        | Operation::EndReceiver { .. }
        | Operation::EndOrphans { .. }
        | Operation::ForbidReturn { .. }
        | Operation::AllowReturn { .. } => SHORT,
        _ => REPLY,
    }
}

impl SimCluster {
    async fn done(&self, operation: &Operation) -> Outcome {
        match self.carry_out(operation).await {
            Ok(value) => Outcome::Done(value),
            Err(outcome) => outcome,
        }
    }

    async fn carry_out(&self, operation: &Operation) -> Done {
        match operation {
            Operation::Promote { node } => {
                self.tell(node, "SELECT pg_promote(false)", |w, id| {
                    if w.promote(id) {
                        Ok(Json::Null)
                    } else {
                        Err(Why::conflict("recovery is not in progress [55000]"))
                    }
                })
                .await
            }
            Operation::CreateSlot { node, slot } => {
                self.tell(node, "SELECT pg_create_physical_replication_slot(…)", |w, id| {
                    w.create_slot(id, slot).map(|()| Json::Null)
                })
                .await
            }
            Operation::DropSlot { node, slot } => {
                self.tell(node, "SELECT pg_drop_replication_slot(…)", |w, id| {
                    w.drop_slot(id, slot).map(|()| Json::Null)
                })
                .await
            }
            Operation::Mark { node } => {
                self.tell(node, "SELECT pg_logical_emit_message(…)", |w, id| {
                    let lsn = w.mark(id)?;
                    Ok(json!({ "lsn": lsn.to_string() }))
                })
                .await
            }
            Operation::Reload { node } => self.reload(node).await,
            Operation::Freeze { node } => self.freeze(node).await,
            Operation::SetUpstream {
                node,
                upstream,
                slot,
                route,
            } => self.set_upstream(node, upstream, slot.as_ref(), *route).await,
            Operation::SetSynchronous { node, names, .. } => {
                let text = names.as_ref().map(ToString::to_string).unwrap_or_default();
                self.set_synchronous(node, text).await
            }
            Operation::RestoreSynchronous { node, text } => {
                self.set_synchronous(node, text.clone()).await
            }
            Operation::Checkpoint { node } => {
                let answer = self.tell(node, "CHECKPOINT", |w, id| {
                    w.checkpoint(id);
                    Ok(Json::Null)
                });
                let answer = answer.await;
                sleep(CHECKPOINT).await;
                answer
            }
            other => self.carry_out_on_host(other).await,
        }
    }

    async fn carry_out_on_host(&self, operation: &Operation) -> Done {
        match operation {
            Operation::SaveSettings { node, tag, owner } => {
                let file = self.saved_file(node, tag)?;
                let hash = self.run(node, |w, id| Ok(w.save(id, tag, owner))).await?;
                Ok(saved_answer(&file, &hash))
            }
            Operation::RestoreSettings {
                node,
                tag,
                archive_only,
                route,
            } => self.restore(node, tag, *archive_only, *route).await,
            Operation::ForgetSettings { node, tag } => self.forget(node, tag).await,
            Operation::EndReceiver { node, pid } => {
                self.run(node, |w, id| w.terminate_receiver(id, *pid)).await?;
                Ok(Json::Null)
            }
            Operation::EndOrphans { node, pids } => {
                self.run(node, |w, id| w.end_orphans(id, pids)).await?;
                Ok(Json::Null)
            }
            Operation::Stop {
                node,
                mode,
                deadline,
            } => self.stop(node, *mode, *deadline).await,
            Operation::Start { node, deadline } => self.start(node, *deadline).await,
            Operation::ForbidReturn { node } => self.return_allowed(node, false).await,
            Operation::AllowReturn { node } => self.return_allowed(node, true).await,
            // The site's own: never run here.
            other => {
                sleep(Duration::from_millis(1)).await;
                match self.outside.answer(other) {
                    Outcome::Done(value) => Ok(value),
                    Outcome::Unknown(trouble) => Err(settled(other, trouble)),
                    failed @ Outcome::Failed(_) => Err(failed),
                }
            }
        }
    }

    /// Sends an effect as a statement, once.
    async fn tell(
        &self,
        node: &NodeName,
        shown: &str,
        work: impl FnOnce(&mut World, NodeId) -> Result<Json, Why>,
    ) -> Done {
        self.statement(node, Way::Sql, REPLY, work)
            .await
            .map_err(|why| why.when_doing(node, &format!("`{shown}` failed")))
    }

    async fn run<T>(
        &self,
        node: &NodeName,
        work: impl FnOnce(&mut World, NodeId) -> Result<T, Why>,
    ) -> Result<T, Outcome> {
        self.command(node, work)
            .await
            .map_err(|why| why.when_doing(node, "failed on its host"))
    }

    async fn reload(&self, node: &NodeName) -> Done {
        self.tell(node, "SELECT pg_reload_conf()", |w, id| {
            w.reload(id);
            Ok(Json::Null)
        })
        .await
    }

    /// `ALTER SYSTEM` for each of these, then what follows.
    async fn alter(
        &self,
        node: &NodeName,
        changes: Vec<(String, Option<Value>)>,
        then_reload: bool,
    ) -> Done {
        let parts = changes.len() + usize::from(then_reload);
        for (index, (name, value)) in changes.into_iter().enumerate() {
            let shown = format!("ALTER SYSTEM SET {name} = …");
            let change: Changes = BTreeMap::from([(name, value)]);
            let told = self.tell(node, &shown, |w, id| {
                w.edit(id, &change);
                Ok(Json::Null)
            });
            told.await.map_err(|o| partly(index, parts, o))?;
        }
        if then_reload {
            let reloaded = self.reload(node).await;
            reloaded.map_err(|o| partly(parts - 1, parts, o))?;
        }
        Ok(Json::Null)
    }

    async fn freeze(&self, node: &NodeName) -> Done {
        let empty = |name: &str| (name.to_owned(), Some(Value::text("")));
        let mut changes = vec![empty(CONNINFO)];
        let id = self
            .id(node)
            .map_err(|why| why.when_doing(node, "failed"))?;
        if self.look(|w| w.reloads(id, RESTORE)) {
            changes.push(empty(RESTORE));
        }
        self.alter(node, changes, true).await
    }

    async fn set_synchronous(&self, node: &NodeName, text: String) -> Done {
        let change = (SYNC_NAMES.to_owned(), Some(Value::Text(text)));
        self.alter(node, vec![change], true).await
    }

    async fn set_upstream(
        &self,
        node: &NodeName,
        upstream: &NodeName,
        slot: Option<&SlotName>,
        route: UpstreamRoute,
    ) -> Done {
        let Some(about) = self.inventory.node(upstream) else {
            let why = "there is no such node in the site file";
            return Err(Outcome::Failed(Trouble::on(
                TroubleKind::Failed,
                upstream,
                why,
            )));
        };
        let address = (about.host.clone(), about.port);
        let values = World::upstream_values(node, address, slot);
        let changes = values.map(|(name, value)| (name.to_owned(), Some(value)));
        match route {
            UpstreamRoute::Sql => self.alter(node, changes.into(), false).await,
            UpstreamRoute::File => {
                self.run(node, |w, id| {
                    w.node_mut(id).signal = true;
                    Ok(())
                })
                .await?;
                let changes: Changes = changes.into();
                let edited = self.run(node, |w, id| {
                    w.edit(id, &changes);
                    Ok(Json::Null)
                });
                edited.await.map_err(|o| partly(1, 2, o))
            }
        }
    }

    fn saved_file(&self, node: &NodeName, tag: &str) -> Result<String, Outcome> {
        let good = (1..=120).contains(&tag.len())
            && tag
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if !good {
            let why = format!("`{tag}` cannot be the name of saved settings");
            return Err(Outcome::Failed(Trouble::on(TroubleKind::Failed, node, why)));
        }
        let data = self.inventory.node(node).map(|n| n.data.clone());
        let file = data.unwrap_or_default().join(format!("pgbaton.saved.{tag}"));
        Ok(file.display().to_string())
    }

    async fn restore(
        &self,
        node: &NodeName,
        tag: &str,
        archive_only: bool,
        route: UpstreamRoute,
    ) -> Done {
        self.saved_file(node, tag)?;
        let kept = self.run(node, |w, id| w.kept(id, tag, archive_only)).await?;
        let Some(changes) = kept else {
            return Ok(json!({ "restored": false }));
        };
        match route {
            UpstreamRoute::Sql => {
                self.alter(node, changes.into_iter().collect(), true).await?;
            }
            UpstreamRoute::File => {
                self.run(node, |w, id| {
                    w.edit(id, &changes);
                    Ok(())
                })
                .await?;
            }
        }
        match self.forget(node, tag).await {
            Ok(_) => Ok(json!({ "restored": true })),
            Err(outcome) => Err(partly(1, 2, outcome)),
        }
    }

    async fn forget(&self, node: &NodeName, tag: &str) -> Done {
        self.run(node, |w, id| {
            w.node_mut(id).saved.remove(tag);
            Ok(Json::Null)
        })
        .await
    }

    async fn stop(&self, node: &NodeName, mode: StopMode, deadline: Duration) -> Done {
        let failed = |why: Why| why.when_doing(node, "failed on its host");
        let told = self.run(node, |w, id| {
            let was = w.node(id).life();
            // A kill ends every process of the data directory, whoever started it.
            if was.is_some() || mode == StopMode::Kill {
                w.stop(id, mode);
            }
            Ok((id, was))
        });
        let (id, was) = told.await?;
        let Some(life) = was else {
            return Ok(json!({ "was": "stopped" }));
        };
        let gone = self.wait_on_host(node, id, deadline, |w| {
            (w.node(id).life() != Some(life)).then_some(())
        });
        match gone.await.map_err(failed)? {
            Some(()) => Ok(json!({ "was": "running" })),
            None => Err(failed(Why::Pending(format!(
                "the server still runs {} s after it was told to stop, and goes on stopping",
                deadline.as_secs().max(1)
            )))),
        }
    }

    async fn start(&self, node: &NodeName, deadline: Duration) -> Done {
        let failed = |why: Why| why.when_doing(node, "failed on its host");
        let told = self.run(node, |w, id| {
            let running = w.node(id).process.is_some();
            if !running {
                w.start(id).map_err(Why::failed)?;
            }
            Ok((id, running))
        });
        let (id, running) = told.await?;
        let ready = self.wait_on_host(node, id, deadline, |w| {
            let phase = w.node(id).process.as_ref().map(|p| p.phase);
            match phase {
                None => Some(Err(Why::failed("the server that was starting has gone"))),
                Some(Phase::Ready) => Some(Ok(())),
                Some(Phase::Stopping(_) | Phase::Draining) => {
                    Some(Err(Why::conflict("the server is shutting down")))
                }
                Some(Phase::Starting) => None,
            }
        });
        match ready.await.map_err(failed)? {
            Some(Ok(())) => Ok(json!({ "was": if running { "running" } else { "stopped" } })),
            Some(Err(why)) => Err(failed(why)),
            None => Err(failed(Why::Pending(format!(
                "the server was started and does not accept connections after {} s; it goes on starting",
                deadline.as_secs().max(1)
            )))),
        }
    }

    /// `standby.signal`, and the site's own command.
    async fn return_allowed(&self, node: &NodeName, allowed: bool) -> Done {
        self.run(node, |w, id| {
            w.node_mut(id).signal = !allowed;
            Ok(())
        })
        .await?;
        let about = self.inventory.node(node);
        let command = about.and_then(|n| {
            if allowed {
                n.allow_return.clone()
            } else {
                n.forbid_return.clone()
            }
        });
        let Some(argv) = command else {
            return Ok(Json::Null);
        };
        let site = Operation::Exec {
            place: ExecPlace::Node(node.clone()),
            argv,
            env: BTreeMap::new(),
            stdin: None,
            effect: CustomEffect::Idempotent,
            deadline: SITE,
        };
        match self.outside.answer(&site) {
            Outcome::Done(_) => Ok(Json::Null),
            other => Err(partly(1, 2, other)),
        }
    }
}
