//! The command line as it is written: this file only collects, the commands decide.

use super::paint::ColorWish;
use crate::lab::Peer;
use crate::server::Role;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Failover, switchover and follow of PostgreSQL and KingbaseES clusters, as playbooks.
#[derive(Debug, Parser)]
#[command(
    name = "pgbaton",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 ok, 1 failed, 2 usage or invalid input, 3 refused, 4 degraded, \
                  5 another run holds the cluster, 6 held for a person, 130 cancelled."
)]
pub(crate) struct Arguments {
    /// What applies to every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The command line as clap knows it: what a page shows can be held against it.
pub fn arguments() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

/// What applies to every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The site file [default: ./site.yaml, then /etc/pgbaton/site.yaml]
    #[arg(long, global = true, value_name = "FILE", env = "PGBATON_SITE")]
    pub(crate) site: Option<PathBuf>,
    /// The cluster of the site file; may be left out where there is only one
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What to log to standard error: error, warn, info, debug, trace, or a filter such as `pgbaton::engine=debug`
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "PGBATON_LOG",
        default_value = "warn"
    )]
    pub(crate) log_level: String,
    /// Colours: auto follows the terminal and `NO_COLOR`
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: ColorWish,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check playbooks and site files without touching anything
    Validate(ValidateArgs),
    /// Show what a run would do, and change nothing
    Plan(PlanArgs),
    /// Run a playbook on the cluster
    Run(RunArgs),
    /// Run a playbook against every fault, on simulated clusters
    Rehearse(RehearseArgs),
    /// Run a site's own tests of its playbooks, on simulated clusters
    Test(TestArgs),
    /// Show the cluster at a glance
    Status(StatusArgs),
    /// Draw a playbook's steps
    Graph(GraphArgs),
    /// List and show the playbooks that can be run by name
    #[command(subcommand, arg_required_else_help = true)]
    Playbook(PlaybookCommand),
    /// Runs that were: show one, report on it, go on with one whose runner died
    #[command(subcommand, arg_required_else_help = true)]
    Runs(RunsCommand),
    /// Watch the clusters, go on with runs whose runner died, serve the HTTP API, until it is stopped
    Serve,
    /// What `serve` made of losses of a primary, and what a run would have done
    Incidents(IncidentsArgs),
    /// For some time, let nothing be started automatically on the cluster
    Pause(PauseArgs),
    /// End the cluster's pause before its time
    Unpause,
    /// Make a token for the HTTP API
    Token(TokenArgs),
    /// A real, disposable cluster on this machine
    #[command(subcommand, arg_required_else_help = true)]
    Lab(LabCommand),
    /// Make a lab, kill its primary, fail over, show what happened, clean up
    Demo(DemoArgs),
    /// Write a site file from what another manager knows
    #[command(subcommand, arg_required_else_help = true)]
    Import(ImportCommand),
    /// Print a JSON Schema for editors
    Schema(SchemaArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Write the manual, a page for each command
    Man(ManArgs),
}

/// `incidents`.
#[derive(Debug, Args)]
pub(crate) struct IncidentsArgs {
    /// Show the plan that was made for this one
    #[arg(value_name = "INCIDENT")]
    pub(crate) incident: Option<String>,
}

/// `token`.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// Who is to have it; named in logs and in what it starts
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What it may do: view, operate, approve or admin
    #[arg(long, value_name = "ROLE", value_parser = role)]
    pub(crate) role: Role,
    /// When it expires: 90d from now, for example [default: never]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) valid_for: Option<std::time::Duration>,
}

/// `validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Playbooks (by name or file), overlays and site files; without any, the site file and the stock playbooks
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

/// `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Look again every second until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
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

/// `pause`.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// For how long, `90s` or `2h`; a year at most
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) for_long: std::time::Duration,
    /// Why; shown to everybody who looks
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

/// `lab`.
#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Make and start a cluster; prints the site file to use it with
    Up(LabUpArgs),
    /// Stop it and remove everything that belongs to it
    Down(LabNameArgs),
    /// What runs, seen from this machine
    Status(LabNameArgs),
    /// Break something
    Fault(LabFaultArgs),
}

/// `lab up`.
#[derive(Debug, Args)]
pub(crate) struct LabUpArgs {
    /// How many standbys
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) standbys: u32,
    /// Every node on a host of its own, with an address and an ssh server; Linux, as root
    #[arg(long)]
    pub(crate) hosts: bool,
    /// The lab's name
    #[arg(long, value_name = "NAME", default_value = "lab")]
    pub(crate) name: String,
}

/// A lab by name.
#[derive(Debug, Args)]
pub(crate) struct LabNameArgs {
    /// The lab's name
    #[arg(long, value_name = "NAME", default_value = "lab")]
    pub(crate) name: String,
}

/// `lab fault`.
#[derive(Debug, Args)]
pub(crate) struct LabFaultArgs {
    /// What to do to it: kill, stop, freeze, thaw or start; to its host: cut, cut-ssh or heal
    #[arg(value_name = "FAULT")]
    pub(crate) fault: String,
    /// Which server
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// Cut only what comes from there: another node, or `here`, where pgbaton runs
    #[arg(long, value_name = "PEER")]
    pub(crate) from: Option<Peer>,
    /// Cut only what goes there
    #[arg(long, value_name = "PEER")]
    pub(crate) to: Option<Peer>,
    /// The lab's name
    #[arg(long, value_name = "NAME", default_value = "lab")]
    pub(crate) name: String,
}

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many standbys
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) standbys: u32,
    /// Keep the lab and say how to look further
    #[arg(long)]
    pub(crate) keep: bool,
}

/// `import`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// From a running cluster of repmgr's, or of KingbaseES: its table of nodes, and what each node says
    Repmgr(ImportRepmgrArgs),
}

/// `import repmgr`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("from").required(true).multiple(true))]
pub(crate) struct ImportRepmgrArgs {
    /// The connection string of any node, `host=… dbname=repmgr user=repmgr`; for KingbaseES `dbname=esrep`
    #[arg(long, value_name = "CONNINFO", group = "from")]
    pub(crate) conninfo: Option<String>,
    /// A node's repmgr.conf: its connection string, its directories, how hosts are reached
    #[arg(long, value_name = "FILE", group = "from")]
    pub(crate) conf: Option<PathBuf>,
    /// Where to write it; `-` is standard output, the default
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// `schema`.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Of what
    #[arg(value_enum)]
    pub(crate) of: SchemaOf,
}

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// Playbooks.
    Playbook,
    /// A site's changes to a playbook.
    Overlay,
    /// Site files.
    Site,
}

/// `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where to write the pages
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    crate::playbook::parse_duration(text)
        .ok_or_else(|| "it must be a number with a unit, such as 90s or 10m".to_owned())
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| {
        let all = Role::ALL.map(Role::as_str).join(", ");
        format!("it must be one of {all}")
    })
}

fn name_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err("it must look like name=value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_table_of_flags_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_has_help() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} has no help");
            for argument in command.get_arguments() {
                let help = argument.get_help().map(ToString::to_string);
                assert!(
                    help.is_some_and(|h| !h.is_empty() && !h.ends_with('.')),
                    "{path} {}",
                    argument.get_id()
                );
            }
            for inner in command.get_subcommands() {
                check(inner, &path);
            }
        }
        check(&Arguments::command(), "");
    }

    #[test]
    fn what_is_written_is_collected() {
        type Case = (&'static [&'static str], fn(&Arguments) -> bool);
        let cases: [Case; 10] = [
            (&["status", "--watch", "--json"], |a| {
                a.global.json && matches!(&a.command, Command::Status(s) if s.watch)
            }),
            (
                &["--cluster", "orders", "run", "follow", "-p", "node=n2"],
                |a| {
                    a.global.cluster.as_deref() == Some("orders")
                        && matches!(&a.command, Command::Run(r)
                        if r.params == [("node".to_owned(), "n2".to_owned())])
                },
            ),
            (&["run", "failover", "-p", "note=a=b", "--key", "k1"], |a| {
                matches!(&a.command, Command::Run(r)
                    if r.params[0].1 == "a=b" && r.key.as_deref() == Some("k1"))
            }),
            (&["plan", "failover", "-p", "a=b", "--out", "x"], |a| {
                matches!(&a.command, Command::Plan(p)
                    if p.params[0].0 == "a" && p.out.as_deref() == Some(std::path::Path::new("x")))
            }),
            (&["pause", "--for", "1h30m", "--reason", "x"], |a| {
                matches!(&a.command, Command::Pause(p)
                    if p.for_long.as_secs() == 5400 && p.reason == "x")
            }),
            (&["run", "failover", "--plan", "x"], |a| {
                matches!(&a.command, Command::Run(r)
                    if r.plan.as_deref() == Some(std::path::Path::new("x")))
            }),
            (
                &["graph", "failover", "--format", "svg"],
                |a| matches!(&a.command, Command::Graph(g) if g.format == GraphFormat::Svg),
            ),
            (&["lab", "fault", "kill", "n1", "--name", "x"], |a| {
                matches!(&a.command, Command::Lab(LabCommand::Fault(f))
                    if f.fault == "kill" && f.node == "n1" && f.name == "x")
            }),
            (
                &["lab", "fault", "cut", "n1", "--from", "n2", "--to", "here"],
                |a| {
                    matches!(&a.command, Command::Lab(LabCommand::Fault(f))
                    if f.from == Some(Peer::Node("n2".into())) && f.to == Some(Peer::Here))
                },
            ),
            (
                &["demo", "--standbys", "3", "--keep"],
                |a| matches!(&a.command, Command::Demo(d) if d.keep && d.standbys == 3),
            ),
        ];
        for (words, holds) in cases {
            let words = std::iter::once(&"pgbaton").chain(words);
            let parsed = Arguments::try_parse_from(words.clone()).unwrap();
            assert!(holds(&parsed), "{words:?}: {parsed:?}");
        }
        for bad in [
            &["pgbaton", "run", "failover", "-p", "=x"][..],
            &["pgbaton", "run", "failover", "-p", "max_loss"],
            &["pgbaton", "plan"],
            &["pgbaton", "plan", "failover", "--plan", "x"],
            &["pgbaton", "demo", "--standbys", "0"],
            &["pgbaton", "pause", "--reason", "x"],
            &["pgbaton", "pause", "--for", "2h"],
            &["pgbaton", "pause", "--for", "2", "--reason", "x"],
        ] {
            assert!(Arguments::try_parse_from(bad).is_err(), "{bad:?}");
        }
    }
}
