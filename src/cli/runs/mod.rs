//! `pgbaton runs`: what became of runs, looking on at one, and going on with one whose runner died.

mod ask;
mod follow;
mod list;
mod look;

pub(crate) use follow::look_on;

use super::app::Context;
use super::args::{RunIdArgs, RunsCommand};
use super::console::{Console, Style, conclude};
use super::error::CommandError;
use super::exit_codes::Code;
use super::run::{listen, watched};
use super::signals::Hangup;
use crate::runs::World;

pub(crate) async fn runs(context: &Context, command: RunsCommand) -> Result<Code, CommandError> {
    match command {
        RunsCommand::List(args) => list::list(context, &args).await,
        RunsCommand::Follow(args) => follow::follow(context, &args).await,
        RunsCommand::Show(args) => look::show(context, &args.run).await,
        RunsCommand::Report(args) => look::write_report(context, args).await,
        RunsCommand::Resume(args) => resume(context, &args).await,
        RunsCommand::Approve(args) => ask::decide(context, args, true).await,
        RunsCommand::Deny(args) => ask::decide(context, args, false).await,
        RunsCommand::Cancel(args) => ask::cancel(context, args).await,
    }
}

async fn resume(context: &Context, args: &RunIdArgs) -> Result<Code, CommandError> {
    let interrupts = listen(Hangup::Ignored)?;
    let global = &context.global;
    let world = World::open(global.site.as_deref(), global.cluster.as_deref())?;
    let run = world.records().find(&args.run).await?.run;
    let style = Style::pick(global.json);
    let (console, events) = Console::start(style, context.paint);
    let work = world.resume(&run, vec![events], interrupts.cancel.clone());
    let (finished, view) = watched(work, console, &interrupts, style, context.paint).await?;
    conclude(&view, Some(&finished.journal), style, context.paint);
    Ok(finished.report.outcome.into())
}
