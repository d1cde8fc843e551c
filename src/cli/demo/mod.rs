//! `pgbaton demo`: a lab, a writer, `kill -9`, the stock failover, and what it came to.

mod play;
mod report;

use super::app::Context;
use super::args::DemoArgs;
use super::console::Style;
use super::error::CommandError;
use super::exit_codes::Code;
use super::signals::Hangup;
use super::{lab, run, screen};
use crate::lab::LabOptions;
use play::Stage;

/// Cleans up however it ends: by itself, by an error, by a signal, by a panic.
pub(crate) async fn demo(context: &Context, args: &DemoArgs) -> Result<Code, CommandError> {
    let interrupts = run::listen(Hangup::Cancels)?;
    let stage = Stage {
        interrupts: &interrupts,
        style: if context.global.json {
            Style::Quiet
        } else {
            Style::pick(false)
        },
        paint: context.paint,
        keep: args.keep,
    };
    play::say(&format!(
        "Making a cluster on this machine: a primary and {}",
        super::text::count(args.standbys as usize, "standby", "standbys")
    ));
    let options = LabOptions {
        // Two demos side by side do not meet.
        name: format!("demo-{}", std::process::id()),
        standbys: args.standbys,
        ..LabOptions::default()
    };
    let made = lab::make(options, &interrupts).await?;
    let played = if args.keep {
        stage.play(&made).await
    } else {
        // Dropped by a panic, it is removed; otherwise it is removed here, where an error can be told.
        let disposable = made.clone().disposable();
        let played = stage.play(&disposable).await;
        screen::clear();
        let removed = disposable.down().await.map_err(|e| lab::trouble(&e));
        played.and_then(|played| removed.map(|()| played))
    };
    match played {
        Ok(played) => {
            screen::data(&if context.global.json {
                format!("{}\n", report::json(&played))
            } else {
                report::text(&played, context.paint)
            });
            Ok(played.code())
        }
        Err(error) if args.keep => Err(error.hint(format!(
            "the lab is still there; `pgbaton lab down --name {}` removes it",
            made.name()
        ))),
        Err(error) => Err(error),
    }
}
