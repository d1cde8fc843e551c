//! Which operations are recorded on their hosts, and how one that is done without a shell is.

use super::dialect::{HostStep, Task};
use super::live::LiveCluster;
use crate::cluster::{CustomEffect, Node, Operation, Ticket, Trouble, TroubleKind};
use crate::transport::{
    Claim, Finished, Late, RECORDS, Recorded, Transport, TransportError, Watch,
};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks at what another runner does.
const PAUSE: Duration = Duration::from_millis(20);

/// Where records lie, and whose tokens they hold.
pub(super) struct Records {
    pub(super) base: PathBuf,
    pub(super) store: Box<dyn Fn() -> io::Result<String> + Send + Sync>,
}

impl Default for Records {
    fn default() -> Self {
        Self {
            base: PathBuf::from(RECORDS),
            store: Box::new(|| Ok("lease".to_owned())),
        }
    }
}

/// What is asked of the hosts, and by whom: a part of an operation.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) operation: &'a Operation,
    pub(super) ticket: Option<&'a Ticket>,
    pub(super) part: usize,
}

type Ended = Result<Finished, TransportError>;

impl LiveCluster {
    /// The record of this part; none for what has no ticket.
    pub(super) fn recorded(
        &self,
        asked: Asked<'_>,
        late: Late,
    ) -> Result<Option<Recorded>, Trouble> {
        let Some(ticket) = asked.ticket else {
            return Ok(None);
        };
        let fence = match ticket.token {
            None => None,
            Some(token) => {
                let store = (self.records.store)().map_err(|error| {
                    Trouble::here(
                        TroubleKind::Failed,
                        format!("the store of this run's lease cannot be told, so that no host could compare its token: {error}"),
                    )
                    .with_help("nothing was done; repair the folder of the leases and run again")
                })?;
                Some((store, token))
            }
        };
        Ok(Some(Recorded {
            base: self.records.base.clone(),
            cluster: self.inventory.cluster.clone(),
            id: format!("{}.{}", ticket.id(), asked.part),
            fence,
            again: ticket.again,
            repeatable: asked.operation.effect() != CustomEffect::Once,
            late,
        }))
    }

    /// Runs the script of a step, or does the same here without one; recorded where it may take long.
    pub(super) async fn host_result(
        &self,
        node: &Node,
        way: &Arc<dyn Transport>,
        step: &HostStep,
        asked: Asked<'_>,
    ) -> Result<Ended, Trouble> {
        let arguments: Vec<&str> = step.arguments.iter().map(String::as_str).collect();
        let script = || self.script(node, step.script, &arguments, step.deadline);
        // The server goes on stopping and starting, whoever waits for it.
        let recorded = match step.task {
            Task::Stop(_) | Task::Terminate(_) | Task::Kill(_) | Task::Start(_) => {
                self.recorded(asked, Late::Finish)?
            }
            Task::Work => {
                let work = script().with_env(self.login_of(step).await?);
                return Ok(match self.recorded(asked, Late::End)? {
                    Some(recorded) => recorded.run(way, work).await,
                    None => way.run(work).await,
                });
            }
            _ => None,
        };
        let Some(recorded) = recorded else {
            return Ok(match self.step_here(node, way.as_ref(), step).await {
                Some(ended) => ended,
                None => way.run(script()).await,
            });
        };
        match self.claim_here(node, &recorded).await {
            Some(Err(error)) => return Ok(Err(error)),
            Some(Ok(Claim::Ended(ended))) => return Ok(ended),
            Some(Ok(Claim::Running(watch))) => return Ok(watched(&watch, step.deadline).await),
            Some(Ok(Claim::Ours(held))) => {
                if let Some(ended) = self.step_here(node, way.as_ref(), step).await {
                    held.finish(&ended);
                    return Ok(ended);
                }
            }
            None => {}
        }
        Ok(recorded.run(way, script()).await)
    }

    /// Claims it for this process; none where the node's host cannot be reached without a command.
    async fn claim_here(
        &self,
        node: &Node,
        recorded: &Recorded,
    ) -> Option<Result<Claim, TransportError>> {
        let recorded = recorded.clone();
        self.here(node, move |native| recorded.claim(native.owner()))
            .await
    }
}

/// Waits for what another runner does.
async fn watched(watch: &Watch, within: Duration) -> Ended {
    let end = Instant::now() + within;
    loop {
        if let Some(ended) = watch.look() {
            return ended;
        }
        if Instant::now() >= end {
            return Err(TransportError::Deadline { after: within });
        }
        sleep(PAUSE).await;
    }
}
