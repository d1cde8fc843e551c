//! Looking on at a run that somebody else runs.

use crate::cli::app::Context;
use crate::cli::args::RunIdArgs;
use crate::cli::console::{Console, Style, conclude};
use crate::cli::error::{CommandError, Kind};
use crate::cli::exit_codes::Code;
use crate::cli::run::listen;
use crate::cli::screen;
use crate::cli::signals::{Hangup, Interrupts};
use crate::engine::RunId;
use crate::journal::Standing;
use crate::runs::Records;

pub(super) async fn follow(context: &Context, args: &RunIdArgs) -> Result<Code, CommandError> {
    // The run is somebody else's: Ctrl-C ends the looking only.
    let interrupts = listen(Hangup::Cancels)?;
    let records = Records::open(context.global.site.as_deref())?;
    let run = records.find(&args.run).await?.run;
    look_on(context, &records, &run, &interrupts).await
}

/// Shows a run until it has ended; exits as the run does.
pub(crate) async fn look_on(
    context: &Context,
    records: &Records,
    run: &RunId,
    interrupts: &Interrupts,
) -> Result<Code, CommandError> {
    let style = Style::pick(context.global.json);
    let (console, events) = Console::start(style, context.paint);
    let standing = tokio::select! {
        biased;
        () = interrupts.cancel.cancelled() => None,
        standing = records.follow(run, &events) => Some(standing?),
    };
    drop(events);
    let view = console.finish().await;
    match standing {
        Some(Standing::Ended(outcome)) => {
            conclude(&view, Some(&records.place()), style, context.paint);
            Ok(outcome.into())
        }
        Some(Standing::Interrupted | Standing::UnderWay) => Err(CommandError::new(
            Kind::Failed,
            format!("nobody runs {run} any more, and it has not ended"),
        )
        .hint(format!("`pgbaton runs resume {run}` goes on with it"))),
        None => {
            screen::note(&format!(
                "no longer looking; run {run} goes on, `pgbaton runs follow {run}` looks again\n"
            ));
            Ok(Code::Cancelled)
        }
    }
}
