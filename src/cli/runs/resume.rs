//! Going on with runs whose runner died.

use crate::cli::app::Context;
use crate::cli::args::RunsResumeArgs;
use crate::cli::console::{Console, Style, conclude};
use crate::cli::error::CommandError;
use crate::cli::exit_codes::Code;
use crate::cli::run::{listen, watched};
use crate::cli::screen;
use crate::cli::signals::{Hangup, Interrupts};
use crate::journal::RunSummary;
use crate::runs::{Records, World};

pub(super) async fn resume(context: &Context, args: &RunsResumeArgs) -> Result<Code, CommandError> {
    let interrupts = listen(Hangup::Ignored)?;
    let records = Records::open(context.global.site.as_deref())?;
    let Some(run) = &args.run else {
        return all(context, &records, args, &interrupts).await;
    };
    let run = records.find(run).await?;
    one(context, &run, args, &interrupts).await
}

/// A run that cannot be gone on with keeps no other from it; the worst code counts.
async fn all(
    context: &Context,
    records: &Records,
    args: &RunsResumeArgs,
    interrupts: &Interrupts,
) -> Result<Code, CommandError> {
    let runs = records.cut_off(context.global.cluster.as_deref()).await?;
    let mut code = Code::Ok;
    for run in runs.iter().rev() {
        if interrupts.cancel.is_cancelled() {
            return Ok(code.and(Code::Cancelled));
        }
        match one(context, run, args, interrupts).await {
            Ok(one) => code = code.and(one),
            Err(error) => {
                code = code.and(error.code());
                screen::note(&error.render(context.paint, None));
            }
        }
    }
    if runs.is_empty() {
        screen::note("every run has ended or is under way\n");
    }
    Ok(code)
}

async fn one(
    context: &Context,
    run: &RunSummary,
    args: &RunsResumeArgs,
    interrupts: &Interrupts,
) -> Result<Code, CommandError> {
    let global = &context.global;
    let cluster = global.cluster.as_deref().unwrap_or(&run.cluster);
    let world = World::open(global.site.as_deref(), Some(cluster))?;
    let style = Style::pick(global.json);
    let (console, events) = Console::start(style, context.paint);
    let wait = args.wait.unwrap_or_default();
    let work = world.resume(&run.run, wait, vec![events], interrupts.cancel.clone());
    let (finished, view) = watched(work, console, interrupts, style, context.paint).await?;
    conclude(&view, Some(&finished.journal), style, context.paint);
    Ok(finished.report.outcome.into())
}
