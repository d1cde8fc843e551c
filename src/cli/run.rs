//! `pgbaton run`: a playbook on the cluster, with everything that happens on the screen.

use super::app::Context;
use super::args::RunArgs;
use super::console::{Console, Style, View, conclude};
use super::detach;
use super::error::{CommandError, Kind};
use super::exit_codes::Code;
use super::paint::Paint;
use super::pause;
use super::runs;
use super::screen;
use super::signals::{Hangup, Interrupts};
use crate::engine::{Report, RunId};
use crate::playbook::{Map, Value};
use crate::runs::{Finished, Order, Plan, RunsError, World, author};
use crate::traces::Parent;
use std::path::Path;

pub(crate) async fn run(context: &Context, args: RunArgs) -> Result<Code, CommandError> {
    let interrupts = listen(Hangup::Ignored)?;
    let global = &context.global;
    let world = World::open(global.site.as_deref(), global.cluster.as_deref());
    if args.detach {
        let run = detach::detach(context, &interrupts);
        // What is wrong with the site file is told by whoever runs it.
        let Ok(world) = world else {
            return run.await;
        };
        return tokio::join!(run, pause::mention(&world)).0;
    }
    let world = world?;
    let order = match &args.plan {
        None => Order {
            playbook: args.playbook,
            params: args.params,
            trigger: "cli".to_owned(),
            payload: told(),
            ..Order::default()
        },
        Some(file) => {
            let planned = planned(&world, file, &args, &interrupts).await?;
            let Some(order) = planned else {
                return Ok(Code::Cancelled);
            };
            Order {
                payload: told(),
                ..order
            }
        }
    };
    let is_detached = args.as_run.is_some();
    let order = Order {
        key: args.key,
        wait: args.wait,
        run: args.as_run.map(|run| RunId(run.into())),
        ..order
    };
    let style = Style::pick(global.json);
    let run = started(&world, order, &interrupts, style, context.paint);
    let ran = if is_detached {
        run.await
    } else {
        // Beside the run, which does not wait for it.
        tokio::join!(run, pause::mention(&world)).0
    };
    match ran {
        Ok((finished, view)) => {
            conclude(&view, Some(&finished.journal), style, context.paint);
            Ok(finished.report.outcome.into())
        }
        Err(NotRun::SameKey { run, .. }) if is_detached => {
            screen::data(&format!("{run}\n"));
            Ok(Code::Ok)
        }
        Err(NotRun::SameKey { key, run }) => {
            let says = format!("run {run} has the key `{key}` already; looking on at it\n");
            screen::note(&says);
            runs::look_on(context, world.records(), &run, &interrupts).await
        }
        Err(NotRun::Error(error)) => Err(error),
    }
}

/// Who started it, as the run itself and its record tell; a plan is to foretell what a run of the same person would do.
pub(crate) fn told() -> Map {
    let mut told = Map::from([("by".to_owned(), Value::from(author()))]);
    // As programs hand it on that are part of a trace.
    let parent = std::env::var("TRACEPARENT").ok();
    if let Some(parent) = parent.as_deref().and_then(Parent::parse) {
        parent.keep(&mut told);
    }
    told
}

/// Why an order did not become a run of its own.
pub(crate) enum NotRun {
    /// A run with its key is there already.
    SameKey {
        /// The key.
        key: String,
        /// The run.
        run: RunId,
    },
    /// An error, or left by a second signal.
    Error(CommandError),
}

impl From<NotRun> for CommandError {
    fn from(why: NotRun) -> Self {
        match why {
            NotRun::SameKey { key, run } => RunsError::SameKey { key, run }.into(),
            NotRun::Error(error) => error,
        }
    }
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
) -> Result<(Finished, View), NotRun> {
    let (console, events) = Console::start(style, paint);
    let run = world.run(order, vec![events], interrupts.cancel.clone());
    watched(run, console, interrupts, style, paint).await
}

/// Waits for a run and until the console has shown its last event. The first signal asks the run to cancel; the second
/// leaves it as it is.
pub(crate) async fn watched(
    run: impl Future<Output = Result<Finished, RunsError>>,
    console: Console,
    interrupts: &Interrupts,
    style: Style,
    paint: Paint,
) -> Result<(Finished, View), NotRun> {
    let ended = tokio::select! {
        biased;
        ended = run => ended,
        () = interrupts.leave.cancelled() => {
            let view = console.leave().await;
            conclude(&view, None, style, paint);
            return Err(NotRun::Error(left(&view)));
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
        Err(RunsError::SameKey { key, run }) => Err(NotRun::SameKey { key, run }),
        Err(error) => Err(NotRun::Error(error.into())),
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

fn left(view: &View) -> CommandError {
    let error = CommandError::new(
        Kind::Interrupted,
        "left at the second signal: the run stays as it is; nothing more is done, nothing is undone",
    );
    let error = match &view.header {
        Some(header) => {
            let run = &header.run;
            let look = format!("`pgbaton runs show {run}` tells what was done");
            error.hint(format!(
                "{look}, `pgbaton runs resume {run}` goes on with it"
            ))
        }
        None => error,
    };
    error.hint("look at `pgbaton status`; what was under way may still take effect")
}
