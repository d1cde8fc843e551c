//! `pgbaton serve`: watches the clusters, and goes on with every run whose runner died.

use super::api;
use super::app::Context;
use super::error::CommandError;
use super::exit_codes::Code;
use super::run::listen;
use super::screen;
use super::signals::Hangup;
use crate::cluster::Mode;
use crate::engine::RunId;
use crate::journal::RunSummary;
use crate::runs::{Finished, Records, RunsError, World};
use crate::trigger::{LiveDesk, Sentry};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often is looked for runs that nobody runs any more.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) async fn serve(context: &Context) -> Result<Code, CommandError> {
    let interrupts = listen(Hangup::Cancels)?;
    let records = Records::open(context.global.site.as_deref())?;
    let mut succession = Succession {
        site: context.global.site.clone(),
        cluster: context.global.cluster.clone(),
        concerned: HashSet::new(),
        under_way: JoinSet::new(),
        is_silent: false,
    };
    let api = api::start(context).await?;
    say(&format!("serving the runs of {}", records.place()));
    // They end with this function: a run that one of them has started stays to be resumed.
    let _watches = watch(context)?;
    loop {
        succession.look(&records).await;
        tokio::select! {
            biased;
            // Runs are left as they are, to be resumed: a stop must not wait for a failover, nor break one off.
            () = interrupts.cancel.cancelled() => {
                let started = match api {
                    Some(api) => api.stop().await,
                    None => 0,
                };
                succession.leave(started);
                return Ok(Code::Ok);
            }
            Some(ended) = succession.under_way.join_next() => succession.told(ended),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// How many runs may be started by themselves at once: a data centre that is dead is no reason for a stampede.
const AT_ONCE: usize = 4;

/// Up to so many clusters, the ways to their hosts are opened beforehand and kept: an ssh connection takes a quarter of a
/// second to open, and some megabytes.
const FEW: usize = 16;

/// Starts a watch over every cluster.
fn watch(context: &Context) -> Result<JoinSet<()>, CommandError> {
    let global = &context.global;
    let limit = Arc::new(Semaphore::new(AT_ONCE));
    let mut watches = JoinSet::new();
    let worlds = World::open_all(global.site.as_deref(), global.cluster.as_deref())?;
    let few = worlds.len() <= FEW;
    for world in worlds {
        let inventory = world.inventory();
        say(&format!(
            "watching {} ({})",
            inventory.cluster,
            match inventory.detector.mode {
                Mode::Observe => "observe: it only tells",
                Mode::Approve => "approve: it asks",
                Mode::Auto => "auto: it acts",
            }
        ));
        let port = world.watched();
        let world = Arc::new(world);
        if few {
            let world = Arc::clone(&world);
            watches.spawn(async move { world.warm().await });
        }
        let desk = Arc::new(LiveDesk::new(world, say));
        let sentry = Sentry::new(port, desk, Arc::clone(&limit));
        watches.spawn(sentry.watch());
    }
    Ok(watches)
}

/// Taking over what others left.
struct Succession {
    site: Option<PathBuf>,
    cluster: Option<String>,
    /// Runs that were taken over once: one that could not be gone on with needs a person.
    concerned: HashSet<RunId>,
    under_way: JoinSet<(RunId, Result<Finished, RunsError>)>,
    /// The journal could not be read the last time.
    is_silent: bool,
}

impl Succession {
    async fn look(&mut self, records: &Records) {
        let runs = match records.cut_off(self.cluster.as_deref()).await {
            Ok(runs) => runs,
            Err(error) => {
                // Once, not every second.
                if !std::mem::replace(&mut self.is_silent, true) {
                    say(&format!("the runs cannot be looked at: {error}"));
                }
                return;
            }
        };
        self.is_silent = false;
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
                super::console::outcome_look(finished.report.outcome).0
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
    fn leave(mut self, started: usize) {
        let left = self.under_way.len() + started;
        self.under_way.abort_all();
        if left > 0 {
            say(&format!("leaving; {left} runs stay to be resumed"));
        }
    }
}

fn say(text: &str) {
    screen::note(&format!("{text}\n"));
}
