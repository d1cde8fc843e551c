//! Commands about playbooks: to look at them, to try them, to run them.

use super::{duration, name_value};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Playbooks (by name or file), overlays and site files; without any, the site file and all playbooks that have a name here
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Show the playbooks as they are run here, and behind each line the file that it came from; without any, those that the site's overlays change
    #[arg(long)]
    pub(crate) show: bool,
}

/// `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// A stock playbook, a file beside the site file, or a path
    #[arg(value_name = "PLAYBOOK")]
    pub(crate) playbook: String,
    /// A parameter of the playbook; may be repeated
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = name_value)]
    pub(crate) params: Vec<(String, String)>,
    /// Keep the plan here, for `run --plan`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A stock playbook, a file beside the site file, or a path
    #[arg(value_name = "PLAYBOOK")]
    pub(crate) playbook: String,
    /// A parameter of the playbook; may be repeated
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = name_value)]
    pub(crate) params: Vec<(String, String)>,
    /// Idempotency key: a second request with the same key looks on at the first one's run, and runs nothing
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Where another run holds the cluster, wait for so long until it has ended [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = duration, num_args = 0..=1, default_missing_value = "1h")]
    pub(crate) wait: Option<std::time::Duration>,
    /// Run in the background, and say only the run's id; `runs follow` looks on
    #[arg(long)]
    pub(crate) detach: bool,
    /// The id that the run is to have
    #[arg(long, value_name = "RUN", hide = true)]
    pub(crate) as_run: Option<String>,
    /// Run exactly this plan, kept by `plan --out`; refused when what it rests on has changed
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
}

/// `rehearse`.
#[derive(Debug, Args)]
pub(crate) struct RehearseArgs {
    /// A stock playbook, a file beside the site file, or a path
    #[arg(value_name = "PLAYBOOK")]
    pub(crate) playbook: String,
    /// A parameter of the playbook; may be repeated
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = name_value)]
    pub(crate) params: Vec<(String, String)>,
    /// Try two faults at a time too, at every pair of effects
    #[arg(long)]
    pub(crate) pairs: bool,
    /// Try this many random combinations of faults too
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seeds: u64,
    /// Try random combinations for this long, `90s` or `8h`
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) for_long: Option<std::time::Duration>,
    /// Begin in this situation only; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) situation: Vec<String>,
    /// Play one scenario and tell what happens in it
    #[arg(long, value_name = "SEED", conflicts_with_all = ["pairs", "seeds", "for_long", "situation"])]
    pub(crate) replay: Option<String>,
}

/// `test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Files of tests; without any, all `*.test.yaml` in playbooks/, here and beside the site file
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Only those with this in their name
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// Tell what happens in each, line by line
    #[arg(long)]
    pub(crate) story: bool,
    /// Write a report in JUnit's format, too
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
}

/// `graph`.
#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// A stock playbook, a file beside the site file, or a path
    #[arg(value_name = "PLAYBOOK")]
    pub(crate) playbook: String,
    /// How to draw it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: GraphFormat,
}

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum GraphFormat {
    /// A Mermaid flowchart.
    #[default]
    Mermaid,
    /// Graphviz.
    Dot,
    /// A picture.
    Svg,
}

/// `playbook`.
#[derive(Debug, Subcommand)]
pub(crate) enum PlaybookCommand {
    /// The playbooks that can be run by name
    List,
    /// A playbook's parameters and source
    Show(PlaybookShowArgs),
    /// What the site has changed about a playbook, and what another version of it means for that
    Diff(PlaybookDiffArgs),
}

/// `playbook diff`.
#[derive(Debug, Args)]
pub(crate) struct PlaybookDiffArgs {
    /// A stock playbook that the site has changed, or a file
    #[arg(value_name = "PLAYBOOK")]
    pub(crate) playbook: String,
    /// Another version of the playbook, older or newer: say what going from one to the other means for the overlays
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
}

/// `playbook show`.
#[derive(Debug, Args)]
pub(crate) struct PlaybookShowArgs {
    /// A stock playbook, a file beside the site file, or a path
    #[arg(value_name = "PLAYBOOK")]
    pub(crate) playbook: String,
}
