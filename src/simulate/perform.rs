//! The simulated side of the port: what can be done.

use super::cluster::{REPLY, SimCluster, Way};
use super::effects::saved_answer;
use super::fault::Fault as Why;
use super::ids::NodeId;
use super::inject::{Fault, What};
use super::world::World;
use crate::cluster::{
    Cluster, CustomEffect, NodeName, Operation, Outcome, Ticket, Trouble, TroubleKind,
};
use async_trait::async_trait;
use serde_json::{Value as Json, json};
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
pub(super) const SITE: Duration = Duration::from_secs(30);

pub(super) type Done = Result<Json, Outcome>;

#[async_trait]
impl Cluster for SimCluster {
    async fn perform(&self, operation: &Operation, _ticket: Option<&Ticket>) -> Outcome {
        self.doubt(operation);
        let outcome = self.meet(operation).await;
        self.doubt(operation);
        outcome
    }
}

impl SimCluster {
    /// As the live side does: before and after, for a look meanwhile may have seen what was.
    fn doubt(&self, operation: &Operation) {
        let Some(node) = operation.changes_waits() else {
            return;
        };
        self.with(|w| {
            if let Some(id) = w.find(node) {
                w.doubt(id);
            }
        });
    }

    async fn meet(&self, operation: &Operation) -> Outcome {
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
                Outcome::Done(_) => settled(
                    operation,
                    injected(TroubleKind::Unknown, "the answer was lost"),
                ),
                other => other,
            },
            Some(Fault::Hang) => {
                sleep(limit(operation)).await;
                settled(
                    operation,
                    injected(TroubleKind::Unknown, "no answer in time"),
                )
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
        Operation::Exec { deadline, .. }
        | Operation::Rewind { deadline, .. }
        | Operation::Clone { deadline, .. } => *deadline,
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
                self.tell(
                    node,
                    "SELECT pg_create_physical_replication_slot(…)",
                    |w, id| w.create_slot(id, slot).map(|()| Json::Null),
                )
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
            Operation::PauseRepmgrd { node, paused } => {
                self.tell(node, "SELECT repmgr.repmgrd_pause(…)", |w, id| {
                    w.pause_repmgrd(id, *paused);
                    Ok(Json::Null)
                })
                .await
            }
            Operation::UpdateRepmgr { node, rows, .. } => {
                self.tell(node, "UPDATE repmgr.nodes …", |w, id| {
                    w.update_repmgr(id, rows).map(|()| Json::Null)
                })
                .await
            }
            Operation::Reload { node } => self.reload(node).await,
            Operation::Freeze { node, .. } => self.freeze(node).await,
            Operation::SetUpstream {
                node,
                upstream,
                slot,
                route,
                ..
            } => {
                self.set_upstream(node, upstream, slot.as_ref(), *route)
                    .await
            }
            Operation::SetSynchronous { node, names, .. } => {
                let text = names.as_ref().map(ToString::to_string).unwrap_or_default();
                self.set_synchronous(node, Some(text)).await
            }
            Operation::RestoreSynchronous { node, text } => {
                self.set_synchronous(node, text.clone()).await
            }
            Operation::SetSynchronizedSlots { node, slots, .. } => {
                self.set_synchronized(node, slots).await
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
                self.run(node, |w, id| w.terminate_receiver(id, *pid))
                    .await?;
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
            Operation::Rewind {
                node,
                upstream,
                deadline,
            } => self.rewind(node, upstream, *deadline).await,
            Operation::Clone {
                node,
                upstream,
                slot,
                keep,
                deadline,
                ..
            } => {
                self.copy(node, upstream, slot.as_ref(), *keep, *deadline)
                    .await
            }
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
    pub(super) async fn tell(
        &self,
        node: &NodeName,
        shown: &str,
        work: impl FnOnce(&mut World, NodeId) -> Result<Json, Why>,
    ) -> Done {
        self.statement(node, Way::Sql, REPLY, work)
            .await
            .map_err(|why| why.when_doing(node, &format!("`{shown}` failed")))
    }

    pub(super) async fn run<T>(
        &self,
        node: &NodeName,
        work: impl FnOnce(&mut World, NodeId) -> Result<T, Why>,
    ) -> Result<T, Outcome> {
        self.command(node, work)
            .await
            .map_err(|why| why.when_doing(node, "failed on its host"))
    }

    pub(super) async fn reload(&self, node: &NodeName) -> Done {
        self.tell(node, "SELECT pg_reload_conf()", |w, id| {
            w.reload(id);
            Ok(Json::Null)
        })
        .await
    }
}
