//! `pgbaton runs`: what became of runs, looking on at one, and going on with one whose runner died.

mod ask;
mod follow;
mod list;
mod look;
mod resume;

pub(crate) use follow::look_on;

use super::app::Context;
use super::args::RunsCommand;
use super::error::CommandError;
use super::exit_codes::Code;

pub(crate) async fn runs(context: &Context, command: RunsCommand) -> Result<Code, CommandError> {
    match command {
        RunsCommand::List(args) => list::list(context, &args).await,
        RunsCommand::Follow(args) => follow::follow(context, &args).await,
        RunsCommand::Show(args) => look::show(context, &args.run).await,
        RunsCommand::Report(args) => look::write_report(context, args).await,
        RunsCommand::Resume(args) => resume::resume(context, &args).await,
        RunsCommand::Approve(args) => ask::decide(context, args, true).await,
        RunsCommand::Deny(args) => ask::decide(context, args, false).await,
        RunsCommand::Cancel(args) => ask::cancel(context, args).await,
        RunsCommand::Acknowledge(args) => ask::acknowledge(context, args).await,
    }
}
