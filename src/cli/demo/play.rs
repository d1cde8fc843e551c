//! The play itself, scene by scene. Every wait ends at a signal.

use crate::cli::console::{Style, View, conclude};
use crate::cli::error::{CommandError, Kind};
use crate::cli::exit_codes::Code;
use crate::cli::paint::Paint;
use crate::cli::signals::Interrupts;
use crate::cli::{lab, run, screen, topology_table};
use crate::cluster::{NodeName, Topology};
use crate::engine::Outcome;
use crate::lab::{Fault, Lab, Writer, WriterReport};
use crate::runs::{Finished, Order, World};
use std::path::PathBuf;
use std::time::Duration;

/// Rows that the writer must have written before the primary is killed, and again before it is stopped.
const ROWS: u64 = 200;
/// The bound on these rows.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where and how the play is given.
pub(super) struct Stage<'a> {
    /// Ends it.
    pub(super) interrupts: &'a Interrupts,
    /// How the run is shown.
    pub(super) style: Style,
    /// How to paint.
    pub(super) paint: Paint,
    /// The lab will still be there.
    pub(super) keep: bool,
}

/// What happened.
#[derive(Debug)]
pub(super) struct Played {
    /// Who was killed.
    pub(super) killed: NodeName,
    /// The cluster before.
    pub(super) before: Topology,
    /// The cluster after.
    pub(super) after: Topology,
    /// The run's id.
    pub(super) run: String,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// The run, step by step.
    pub(super) view: View,
    /// What the writer saw.
    pub(super) writer: Written,
    /// Where to look further; none when the lab is gone.
    pub(super) kept: Option<Kept>,
}

/// What the writer saw, and what became of its rows.
#[derive(Debug)]
pub(super) struct Written {
    /// Acknowledged rows.
    pub(super) acknowledged: usize,
    /// Of these, how many the new primary does not have; none when nobody could be asked.
    pub(super) lost: Option<usize>,
    /// Rows of which nobody said whether they were committed.
    pub(super) unknown: u64,
    /// The longest time without an acknowledgement.
    pub(super) gap: Duration,
}

/// A lab that is still there.
#[derive(Debug)]
pub(super) struct Kept {
    /// Its name.
    pub(super) lab: String,
    /// Its site file.
    pub(super) site: PathBuf,
}

/// What is being done; not data.
pub(super) fn say(what: &str) {
    screen::note(&format!("{what}\n"));
}

impl Played {
    /// The run's own code; a lost row is a failure whatever the run says.
    pub(super) fn code(&self) -> Code {
        let kept_all = match self.writer.lost {
            Some(0) => Code::Ok,
            Some(_) | None => Code::Failed,
        };
        kept_all.and(self.outcome.into())
    }
}

impl Stage<'_> {
    /// From the writer's first row to its last.
    pub(super) async fn play(&self, lab: &Lab) -> Result<Played, CommandError> {
        let world = World::open(Some(lab.site_file()), Some(lab.name()))?;
        self.until(world.warm()).await?;
        let writer = self
            .until(Writer::start(lab.endpoints()))
            .await?
            .map_err(|e| CommandError::failed("the writer cannot write", &e))?;
        self.write_more(&writer).await?;
        let before = self.until(world.topology()).await?;
        self.show("Before", &before);
        let killed = world.presumed_primary(&before).ok_or_else(|| {
            CommandError::new(
                Kind::Failed,
                "the lab has no primary, though it was just made",
            )
        })?;
        self.kill(lab, &killed, writer.acknowledged()).await?;
        let (finished, view) = self.fail_over(&world).await?;
        let after = self.until(world.topology()).await?;
        self.show("After", &after);
        if finished.report.outcome == Outcome::Ok || finished.report.outcome == Outcome::Degraded {
            self.write_more(&writer).await?;
        }
        let report = self.until(writer.finish()).await?;
        let written = self.judge(lab, &after, &report).await?;
        Ok(Played {
            killed,
            before,
            after,
            run: finished.run.to_string(),
            outcome: finished.report.outcome,
            view,
            writer: written,
            kept: self.keep.then(|| Kept {
                lab: lab.name().to_owned(),
                site: lab.site_file().to_owned(),
            }),
        })
    }

    async fn write_more(&self, writer: &Writer) -> Result<(), CommandError> {
        if self.until(writer.wait_for(ROWS, PATIENCE)).await? {
            return Ok(());
        }
        let seconds = PATIENCE.as_secs();
        Err(CommandError::new(
            Kind::Failed,
            format!("fewer than {ROWS} rows were acknowledged within {seconds} s"),
        ))
    }

    async fn kill(&self, lab: &Lab, node: &NodeName, rows: u64) -> Result<(), CommandError> {
        let status = lab.status().await.map_err(|e| lab::trouble(&e))?;
        let pid = status.nodes.iter().find(|n| n.name == *node);
        let pid = pid.and_then(|n| n.pid).unwrap_or_default();
        say(&format!(
            "A writer has {rows} rows acknowledged. Now: kill -9 {pid}, the postmaster of {node}"
        ));
        self.until(lab.fault(node, Fault::Kill))
            .await?
            .map_err(|e| lab::trouble(&e))
    }

    async fn fail_over(&self, world: &World) -> Result<(Finished, View), CommandError> {
        say("Running the playbook failover");
        let order = Order {
            playbook: "failover".to_owned(),
            trigger: "demo".to_owned(),
            ..Order::default()
        };
        let (finished, view) =
            run::started(world, order, self.interrupts, self.style, self.paint).await?;
        let journal = self.keep.then_some(finished.journal.as_str());
        conclude(&view, journal, self.style, self.paint);
        Ok((finished, view))
    }

    async fn judge(
        &self,
        lab: &Lab,
        after: &Topology,
        report: &WriterReport,
    ) -> Result<Written, CommandError> {
        let primary = after
            .primary()
            .and_then(|row| lab.endpoint(row.name.as_str()));
        let lost = match primary {
            Some(primary) => Some(
                self.until(report.verify(&primary))
                    .await?
                    .map_err(|e| CommandError::failed("the written rows cannot be counted", &e))?
                    .lost
                    .len(),
            ),
            None => None,
        };
        Ok(Written {
            acknowledged: report.acknowledged.len(),
            lost,
            unknown: report.unknown,
            gap: report.longest_gap().length,
        })
    }

    fn show(&self, title: &str, topology: &Topology) {
        if self.style == Style::Quiet {
            return;
        }
        let columns = screen::size().map_or(100, |(columns, _)| columns);
        let table = topology_table::render(topology, self.paint, columns);
        let title = self.paint.strong(title).into_owned();
        screen::data(&format!("\n{title}\n{table}\n"));
    }

    /// Waits, but not longer than for the first signal.
    async fn until<T>(&self, waiting: impl Future<Output = T>) -> Result<T, CommandError> {
        tokio::select! {
            biased;
            () = self.interrupts.cancel.cancelled() => {
                Err(CommandError::new(Kind::Interrupted, "the demo was interrupted"))
            }
            value = waiting => Ok(value),
        }
    }
}
