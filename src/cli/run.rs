//! `pgbaton run`: a playbook on the cluster, with everything that happens on the screen.

use super::app::Context;
use super::args::RunArgs;
use super::console::{Console, Style, View, conclude};
use super::error::{CommandError, Kind};
use super::exit_codes::Code;
use super::paint::Paint;
use super::screen;
use super::signals::{Hangup, Interrupts};
use crate::engine::{Report, RunId};
use crate::runs::{Finished, Order, Plan, RunsError, World};
use std::path::Path;

pub(crate) async fn run(context: &Context, args: RunArgs) -> Result<Code, CommandError> {
    let interrupts = listen(Hangup::Ignored)?;
    let global = &context.global;
    let world = World::open(global.site.as_deref(), global.cluster.as_deref())?;
    let order = match &args.plan {
        None => Order {
            playbook: args.playbook,
            params: args.params,
            trigger: "cli".to_owned(),
            key: args.key,
        },
        Some(file) => {
            let planned = planned(&world, file, &args, &interrupts).await?;
            let Some(order) = planned else {
                return Ok(Code::Cancelled);
            };
            Order {
                key: args.key,
                ..order
            }
        }
    };
    let style = Style::pick(global.json);
    let (finished, view) = started(&world, order, &interrupts, style, context.paint).await?;
    conclude(&view, Some(&finished.journal), style, context.paint);
    Ok(finished.report.outcome.into())
}

/// What a kept plan would run, where it still holds; nothing when interrupted meanwhile.
async fn planned(
    world: &World,
    file: &Path,
    args: &RunArgs,
    interrupts: &Interrupts,
) -> Result<Option<Order>, CommandError> {
    if !args.params.is_empty() {
        return Err(CommandError::invalid(
            "parameters cannot be given with --plan: the plan has its own",
        )
        .hint("make a plan with these parameters, look at it, and run that"));
    }
    let plan = Plan::read(file)?;
    tokio::select! {
        biased;
        () = interrupts.cancel.cancelled() => Ok(None),
        order = world.still_holds(&plan, &args.playbook) => Ok(Some(order?)),
    }
}

/// Runs with the console on.
pub(crate) async fn started(
    world: &World,
    order: Order,
    interrupts: &Interrupts,
    style: Style,
    paint: Paint,
) -> Result<(Finished, View), CommandError> {
    let (console, events) = Console::start(style, paint);
    let run = world.run(order, vec![events], interrupts.cancel.clone());
    watched(world, run, console, interrupts, style, paint).await
}

/// Waits for a run and until the console has shown its last event. The first signal asks the run to cancel; the second
/// leaves it as it is.
pub(crate) async fn watched(
    world: &World,
    run: impl Future<Output = Result<Finished, RunsError>>,
    console: Console,
    interrupts: &Interrupts,
    style: Style,
    paint: Paint,
) -> Result<(Finished, View), CommandError> {
    let ended = tokio::select! {
        biased;
        ended = run => ended,
        () = interrupts.leave.cancelled() => {
            let view = console.leave().await;
            conclude(&view, None, style, paint);
            return Err(left(world, &view));
        }
    };
    let mut view = console.finish().await;
    match ended {
        Ok(finished) => {
            if view.ended.is_none() {
                tell_unrecorded(&mut view, &finished.report, style);
            }
            Ok((finished, view))
        }
        Err(error) => Err(error.into()),
    }
}

/// The journal was lost, so no event told the end. It is told all the same, and as what it is.
fn tell_unrecorded(view: &mut View, report: &Report, style: Style) {
    let end = report.event();
    view.end_unrecorded(&end);
    if style == Style::Json {
        let line = serde_json::json!({ "recorded": false, "event": end });
        screen::data(&format!("{line}\n"));
    }
}

/// Signals are caught from the first moment: one that comes while connections are opened must not kill the process
/// halfway.
pub(crate) fn listen(on_hangup: Hangup) -> Result<Interrupts, CommandError> {
    Interrupts::listen(on_hangup).map_err(|e| CommandError::failed("signals cannot be caught", &e))
}

fn left(world: &World, view: &View) -> CommandError {
    let error = CommandError::new(
        Kind::Interrupted,
        "left at the second signal: the run stays as it is; nothing more is done, nothing is undone",
    );
    let error = match &view.header {
        Some(header) => {
            let journal = world.journal_of(&RunId(header.run.as_str().into()));
            error.hint(format!("what was done stands in {}", journal.display()))
        }
        None => error,
    };
    error.hint("look at `pgbaton status`; what was under way may still take effect")
}
