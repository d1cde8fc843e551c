//! Going on with runs whose runner died.

use super::say;
use crate::cli::app::Context;
use crate::cli::console::outcome_look;
use crate::engine::RunId;
use crate::journal::RunSummary;
use crate::runs::{Finished, Records, RunsError, World};
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Taking over what others left.
pub(super) struct Succession {
    site: Option<PathBuf>,
    cluster: Option<String>,
    /// Runs that were taken over once: one that could not be gone on with needs a person.
    concerned: HashSet<RunId>,
    under_way: JoinSet<(RunId, Result<Finished, RunsError>)>,
}

impl Succession {
    /// That of all clusters, or of the one that is named.
    pub(super) fn of(context: &Context) -> Self {
        Self {
            site: context.global.site.clone(),
            cluster: context.global.cluster.clone(),
            concerned: HashSet::new(),
            under_way: JoinSet::new(),
        }
    }

    /// Waits until one of the runs that were taken over has ended, and tells of it.
    pub(super) async fn goes_on(&mut self) {
        match self.under_way.join_next().await {
            Some(ended) => self.told(ended),
            None => std::future::pending().await,
        }
    }

    pub(super) async fn look(&mut self, records: &Records) {
        let runs = match records.cut_off(self.cluster.as_deref()).await {
            Ok(runs) => runs,
            // Whoever looks whether the journal can be used says so.
            Err(error) => return tracing::debug!(%error, "the runs cannot be looked at"),
        };
        for run in runs {
            if self.concerned.insert(run.run.clone()) {
                self.take_over(run);
            }
        }
    }

    fn take_over(&mut self, run: RunSummary) {
        say(&format!(
            "run {} ({} of cluster {}) has no runner any more: going on with it",
            run.run, run.playbook, run.cluster
        ));
        let site = self.site.clone();
        self.under_way.spawn(async move {
            let id = run.run.clone();
            let work = async {
                let world = World::open(site.as_deref(), Some(&run.cluster))?;
                let never = CancellationToken::new();
                world
                    .resume(&run.run, Duration::ZERO, Vec::new(), never)
                    .await
            };
            (id, work.await)
        });
    }

    fn told(
        &mut self,
        ended: Result<(RunId, Result<Finished, RunsError>), tokio::task::JoinError>,
    ) {
        match ended {
            Ok((run, Ok(finished))) => say(&format!(
                "run {run} has ended: {}",
                outcome_look(finished.report.outcome).0
            )),
            // Another runner was quicker; if that one dies too, it is looked at again.
            Ok((run, Err(RunsError::Lease(busy)))) => {
                self.concerned.remove(&run);
                tracing::debug!(%run, %busy, "not taken over");
            }
            Ok((run, Err(error))) => say(&format!("run {run} needs a person: {error}")),
            Err(error) => tracing::error!(%error, "a run that was taken over is lost"),
        }
    }

    /// `started` were started by the API.
    pub(super) fn leave(mut self, started: usize) {
        let left = self.under_way.len() + started;
        self.under_way.abort_all();
        if left > 0 {
            say(&format!("leaving; {left} runs stay to be resumed"));
        }
    }
}
