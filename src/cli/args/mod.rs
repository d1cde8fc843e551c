//! The command line as it is written: this room only collects, the commands decide.

mod files;
mod labs;
mod playbooks;
mod runs;

pub(crate) use files::{
    CompletionsArgs, ImportCommand, ImportRepmgrArgs, ManArgs, SchemaArgs, SchemaOf,
};
pub(crate) use labs::{DemoArgs, LabCommand, LabFaultArgs, LabNameArgs, LabUpArgs};
pub(crate) use playbooks::{
    GraphArgs, GraphFormat, PlanArgs, PlaybookCommand, PlaybookDiffArgs, RehearseArgs, RunArgs,
    TestArgs, ValidateArgs,
};
pub(crate) use runs::{
    RunIdArgs, RunsCancelArgs, RunsCommand, RunsDecideArgs, RunsListArgs, RunsReportArgs,
    RunsResumeArgs,
};

use super::log::LogFormat;
use super::paint::ColorWish;
use crate::server::Role;
use clap::{Args, Parser, Subcommand};
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
    /// What the log looks like
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        env = "PGBATON_LOG_FORMAT",
        default_value_t
    )]
    pub(crate) log_format: LogFormat,
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

/// `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Look again every second until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
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
    use crate::lab::Peer;
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
