//! `pgbaton runs`: what became of runs, and going on with one whose runner died.

use super::app::Context;
use super::args::{RunIdArgs, RunsCommand};
use super::console::{Console, Style, conclude};
use super::error::CommandError;
use super::exit_codes::Code;
use super::run::{listen, watched};
use super::signals::Hangup;
use crate::engine::RunId;
use crate::runs::World;

pub(crate) async fn runs(context: &Context, command: RunsCommand) -> Result<Code, CommandError> {
    match command {
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
