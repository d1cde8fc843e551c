//! `pgbaton runs`: what became of runs, and going on with one whose runner died.
//!
//! Showing a run reads its journal and asks no server.

use super::app::Context;
use super::args::{RunIdArgs, RunsCommand, RunsReportArgs};
use super::console::{Console, Style, conclude};
use super::error::CommandError;
use super::exit_codes::Code;
use super::report::{self, Record};
use super::run::{listen, watched};
use super::screen;
use super::signals::Hangup;
use crate::engine::{Envelope, RunId};
use crate::runs::{Records, World, playbook_of};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

pub(crate) async fn runs(context: &Context, command: RunsCommand) -> Result<Code, CommandError> {
    match command {
        RunsCommand::Show(args) => show(context, &args.run),
        RunsCommand::Report(args) => write_report(context, args),
        RunsCommand::Resume(args) => resume(context, &args).await,
    }
}

async fn resume(context: &Context, args: &RunIdArgs) -> Result<Code, CommandError> {
    let interrupts = listen(Hangup::Ignored)?;
    let global = &context.global;
    let world = World::open(global.site.as_deref(), global.cluster.as_deref())?;
    let run = RunId(args.run.as_str().into());
    let style = Style::pick(global.json);
    let (console, events) = Console::start(style, context.paint);
    let work = world.resume(&run, vec![events], interrupts.cancel.clone());
    let (finished, view) =
        watched(&world, work, console, &interrupts, style, context.paint).await?;
    conclude(&view, Some(&finished.journal), style, context.paint);
    Ok(finished.report.outcome.into())
}

fn show(context: &Context, run: &str) -> Result<Code, CommandError> {
    let (events, journal) = recorded(context, run)?;
    let record = Record::of(&events);
    if context.global.json {
        let document = report::document(&record, &journal.to_string_lossy());
        screen::data(&format!("{document}\n"));
    } else {
        let columns = screen::size().map(|(columns, _)| columns);
        let text = report::show(&record, &journal, context.paint, columns);
        screen::data(&text);
    }
    Ok(Code::Ok)
}

fn write_report(context: &Context, args: RunsReportArgs) -> Result<Code, CommandError> {
    let (events, _) = recorded(context, &args.run)?;
    // Without its playbook a report lacks the graph, and says so.
    let playbook = playbook_of(&events).ok();
    let html = report::html(&Record::of(&events), playbook.as_ref());
    let file = args
        .out
        .unwrap_or_else(|| format!("pgbaton-{}.html", args.run).into());
    if file.as_os_str() == "-" {
        screen::data(&html);
        return Ok(Code::Ok);
    }
    keep(&html, &file, args.force).map_err(|error| {
        let there = error.kind() == io::ErrorKind::AlreadyExists;
        let failed = CommandError::failed(
            format!("the report cannot be written to {}", file.display()),
            &error,
        );
        failed.hint(if there {
            "give another place with --out FILE, or write over it with --force"
        } else {
            "give another place with --out FILE, or `-` for standard output"
        })
    })?;
    if context.global.json {
        let said = serde_json::json!({ "run": args.run, "file": file.to_string_lossy() });
        screen::data(&format!("{said}\n"));
    } else {
        screen::note(&format!("written to {}\n", file.display()));
    }
    Ok(Code::Ok)
}

fn recorded(context: &Context, run: &str) -> Result<(Vec<Envelope>, PathBuf), CommandError> {
    let records = Records::open(context.global.site.as_deref())?;
    let run = RunId(run.into());
    Ok((records.read(&run)?, records.journal_of(&run)))
}

/// A file that appears between a look and the writing is not written over either.
fn keep(html: &str, file: &Path, force: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.write(true).open(file)?.write_all(html.as_bytes())
}
