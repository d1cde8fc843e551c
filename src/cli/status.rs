//! `pgbaton status`: the cluster at a glance.

use super::app::Context;
use super::args::StatusArgs;
use super::error::CommandError;
use super::exit_codes::Code;
use super::signals::Hangup;
use super::{pause, run, screen, text, topology_table};
use crate::journal::Entry;
use crate::runs::{Glance, Health, RunsError, World};
use crate::trigger::{Obstacle, Pause, PauseError, could_fail_over, paused};
use jiff::Timestamp;
use serde_json::json;
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
            seen = Seen::of(&world) => seen,
        };
        code = code_of(Health::of(&seen.glance.topology));
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

/// What one look found.
struct Seen {
    glance: Glance,
    pause: Result<Option<Pause>, PauseError>,
    /// What a failover would meet; none where there is no one primary that works.
    obstacles: Option<Vec<Obstacle>>,
}

impl Seen {
    async fn of(world: &World) -> Self {
        let cluster = &world.inventory().cluster;
        let watched = world.watched();
        let (glance, pause, obstacles) = tokio::join!(
            world.glance(),
            paused(world.records(), cluster, Timestamp::now()),
            could_fail_over(watched.as_ref())
        );
        Self {
            glance,
            pause,
            obstacles,
        }
    }
}

fn show(context: &Context, seen: &Seen, again: bool) {
    let Seen {
        glance,
        pause,
        obstacles,
    } = seen;
    let Glance {
        topology,
        managers,
        debts,
    } = glance;
    if context.global.json {
        let mut said = glance.to_json();
        said["pause"] = match pause {
            Ok(pause) => json!(pause),
            Err(error) => json!({ "unknown": error.to_string() }),
        };
        said["obstacles"] = json!(obstacles);
        screen::data(&format!("{said}\n"));
        return;
    }
    let size = screen::size();
    let columns = size.map_or(usize::MAX, |(columns, _)| columns);
    let mut shown = topology_table::render(topology, context.paint, columns);
    for (node, manager) in managers {
        let line = format!("also manages {node}: {manager}");
        let _ = writeln!(shown, "{}", text::cut(&line, columns));
    }
    let met = obstacles.iter().flatten();
    let met = met.map(|obstacle| format!("a failover now: {}", obstacle.text));
    for told in pause_told(pause)
        .into_iter()
        .chain(debts_told(debts))
        .chain(met)
    {
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

/// Whether anything is started automatically; nothing is said where nobody holds it back.
fn pause_told(pause: &Result<Option<Pause>, PauseError>) -> Option<String> {
    match pause {
        Ok(pause) => {
            let told = pause::told(pause.as_ref()?);
            Some(format!("automatic runs are paused {told}"))
        }
        Err(error) => Some(format!(
            "whether automatic runs are paused is not known: {error}"
        )),
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
