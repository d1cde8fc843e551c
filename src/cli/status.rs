//! `pgbaton status`: the cluster at a glance.

use super::app::Context;
use super::args::StatusArgs;
use super::error::CommandError;
use super::exit_codes::Code;
use super::signals::Hangup;
use super::{run, screen, text, topology_table};
use crate::journal::Entry;
use crate::runs::{Glance, Health, RunsError, World};
use std::fmt::Write as _;
use std::time::Duration;

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn status(context: &Context, args: &StatusArgs) -> Result<Code, CommandError> {
    let interrupts = run::listen(Hangup::Cancels)?;
    let global = &context.global;
    let world = World::open(global.site.as_deref(), global.cluster.as_deref())?;
    let mut code = Code::Cancelled;
    loop {
        let seen = tokio::select! {
            biased;
            () = interrupts.cancel.cancelled() => break,
            seen = world.glance() => seen,
        };
        code = code_of(Health::of(&seen.topology));
        show(context, &seen, args.watch);
        if !args.watch {
            break;
        }
        tokio::select! {
            biased;
            () = interrupts.cancel.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    if args.watch && screen::size().is_some() && !context.global.json {
        // What was seen last stays on the screen.
        screen::keep();
    }
    Ok(code)
}

fn code_of(health: Health) -> Code {
    match health {
        Health::Ok => Code::Ok,
        Health::Degraded => Code::Degraded,
        Health::NoPrimary => Code::Failed,
    }
}

fn show(context: &Context, seen: &Glance, again: bool) {
    let Glance {
        topology,
        managers,
        debts,
    } = seen;
    if context.global.json {
        screen::data(&format!("{}\n", seen.to_json()));
        return;
    }
    let size = screen::size();
    let columns = size.map_or(usize::MAX, |(columns, _)| columns);
    let mut shown = topology_table::render(topology, context.paint, columns);
    for (node, manager) in managers {
        let line = format!("also manages {node}: {manager}");
        let _ = writeln!(shown, "{}", text::cut(&line, columns));
    }
    for told in debts_told(debts) {
        for line in text::wrap(&told, columns) {
            let _ = writeln!(shown, "{line}");
        }
    }
    match size {
        Some((_, rows)) if again => {
            let mut lines: Vec<String> = shown.lines().map(ToOwned::to_owned).collect();
            lines.truncate(rows.saturating_sub(1));
            screen::draw(lines);
        }
        _ => {
            let gap = if again { "\n" } else { "" };
            screen::data(&format!("{shown}{gap}"));
        }
    }
}

/// What earlier runs left to do, a line each.
fn debts_told(debts: &Result<Vec<Entry>, RunsError>) -> Vec<String> {
    match debts {
        Ok(debts) => debts
            .iter()
            .map(|debt| {
                format!(
                    "left to do: {} (run {})",
                    text::one_line(&debt.text),
                    debt.run
                )
            })
            .collect(),
        Err(error) => vec![format!("what runs left to do is not known: {error}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_has_its_exit_code() {
        let table = [
            (Health::Ok, 0),
            (Health::Degraded, 4),
            (Health::NoPrimary, 1),
        ];
        for (health, number) in table {
            assert_eq!(code_of(health).number(), number);
        }
    }
}
