//! Commands about runs.

use super::duration;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `runs`.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Runs of the past and under way, newest first
    List(RunsListArgs),
    /// Look on at a run that somebody else runs, from its beginning to its end
    Follow(RunIdArgs),
    /// Show what a run did: steps, attempts, statements and commands, outputs, decisions
    Show(RunIdArgs),
    /// Write a run's report, one self-contained file of HTML
    Report(RunsReportArgs),
    /// Go on with a run whose runner died, to its end
    Resume(RunsResumeArgs),
    /// Let a step that asks a person go on
    Approve(RunsDecideArgs),
    /// Fail a step that asks a person
    Deny(RunsDecideArgs),
    /// End a run that somebody else runs; refused after the point of no return
    Cancel(RunsCancelArgs),
    /// Say that a run which was started by itself has been looked at: the next need not wait any more
    Acknowledge(RunsCancelArgs),
}

/// `runs list`.
#[derive(Debug, Args)]
pub(crate) struct RunsListArgs {
    /// No more than this; 0 is all of them
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: u32,
    /// Only those that have not ended: under way, or cut off
    #[arg(long)]
    pub(crate) unended: bool,
}

/// A run by its id.
#[derive(Debug, Args)]
pub(crate) struct RunIdArgs {
    /// The run's id, or as much of its beginning as no other has
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
}

/// `runs resume`.
#[derive(Debug, Args)]
pub(crate) struct RunsResumeArgs {
    /// The run's id, or as much of its beginning as no other has
    #[arg(value_name = "RUN", required_unless_present = "all")]
    pub(crate) run: Option<String>,
    /// All runs that nobody runs any more, one after the other, oldest first; for the start of a machine
    #[arg(long, conflicts_with = "run")]
    pub(crate) all: bool,
    /// Where somebody holds the cluster, wait for so long until it is free [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = duration, num_args = 0..=1, default_missing_value = "1h")]
    pub(crate) wait: Option<std::time::Duration>,
}

/// `runs approve` and `runs deny`.
#[derive(Debug, Args)]
pub(crate) struct RunsDecideArgs {
    /// The run's id, or as much of its beginning as no other has
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// The step's path; may be left out where one step asks
    #[arg(value_name = "STEP")]
    pub(crate) step: Option<String>,
    /// Why; recorded with the decision
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

/// `runs cancel`.
#[derive(Debug, Args)]
pub(crate) struct RunsCancelArgs {
    /// The run's id, or as much of its beginning as no other has
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Why; recorded with the cancellation
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

/// `runs report`.
#[derive(Debug, Args)]
pub(crate) struct RunsReportArgs {
    /// The run's id, or as much of its beginning as no other has
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Where to write it; `-` is standard output [default: pgbaton-RUN.html here]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}
