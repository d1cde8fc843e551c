//! `pgbaton plan`: what a run would do, from the engine itself on a simulated cluster. Nothing is changed.

mod effects;
mod page;

#[cfg(test)]
mod tests;

use super::app::Context;
use super::args::PlanArgs;
use super::error::CommandError;
use super::exit_codes::Code;
use super::signals::Hangup;
use super::{run, screen};
use crate::runs::{Order, Plan, World};
use std::path::Path;

pub(crate) async fn plan(context: &Context, args: PlanArgs) -> Result<Code, CommandError> {
    let interrupts = run::listen(Hangup::Cancels)?;
    let global = &context.global;
    let world = World::open(global.site.as_deref(), global.cluster.as_deref())?;
    let order = Order {
        playbook: args.playbook,
        params: args.params,
        trigger: "cli".to_owned(),
        payload: run::told(),
        ..Order::default()
    };
    let plan = tokio::select! {
        biased;
        () = interrupts.cancel.cancelled() => return Ok(Code::Cancelled),
        plan = world.plan(order) => plan?,
    };
    if let Some(file) = &args.out {
        keep(&plan, file)?;
    }
    show(context, &plan);
    if let Some(file) = &args.out {
        screen::note(&format!("kept in {}\n", file.display()));
    }
    Ok(plan.outcome.into())
}

/// For people, or as JSON.
pub(crate) fn show(context: &Context, plan: &Plan) {
    if context.global.json {
        screen::data(&format!("{}\n", as_json(plan)));
    } else {
        let columns = screen::size().map(|(columns, _)| columns);
        screen::data(&page::render(plan, context.paint, columns));
    }
}

/// The plan; one line.
fn as_json(plan: &Plan) -> String {
    serde_json::to_string(plan).unwrap_or_default()
}

fn keep(plan: &Plan, file: &Path) -> Result<(), CommandError> {
    std::fs::write(file, plan.to_text()).map_err(|error| {
        CommandError::failed(
            format!("the plan cannot be kept in {}", file.display()),
            &error,
        )
        .hint("nothing was changed; give another place with --out FILE")
    })
}
