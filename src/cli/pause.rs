//! `pgbaton pause`: for some time nothing is started automatically on the cluster.

use super::app::Context;
use super::args::PauseArgs;
use super::error::{CommandError, Kind};
use super::exit_codes::Code;
use super::{screen, text};
use crate::runs::{World, author};
use crate::trigger::{self, Pause, PauseError};
use jiff::Timestamp;
use serde_json::json;

pub(crate) async fn pause(context: &Context, args: &PauseArgs) -> Result<Code, CommandError> {
    let global = &context.global;
    let world = World::open(global.site.as_deref(), global.cluster.as_deref())?;
    let cluster = &world.inventory().cluster;
    let pause = trigger::pause(
        world.records(),
        cluster,
        &author(),
        &args.reason,
        args.for_long,
    )
    .await?;
    if global.json {
        let said = json!({ "cluster": cluster, "pause": pause });
        screen::data(&format!("{said}\n"));
    } else {
        let told = told(&pause);
        screen::note(&format!("automatic runs of {cluster} are paused {told}\n"));
    }
    Ok(Code::Ok)
}

/// Until when, by whom and why, in one line.
pub(crate) fn told(pause: &Pause) -> String {
    format!(
        "until {} by {}: {}",
        pause.until.strftime("%Y-%m-%d %H:%M:%S UTC"),
        text::one_line(&pause.owner),
        text::one_line(&pause.reason)
    )
}

/// Says to a person who starts a run that others hold automatic ones back. What cannot be told keeps nobody from it.
pub(crate) async fn mention(world: &World) {
    let cluster = &world.inventory().cluster;
    match trigger::paused(world.records(), cluster, Timestamp::now()).await {
        Ok(Some(pause)) => {
            let told = told(&pause);
            screen::note(&format!(
                "this run goes on, although automatic runs of {cluster} are paused {told}\n"
            ));
        }
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "whether automatic runs are paused is not known"),
    }
}

impl From<PauseError> for CommandError {
    fn from(error: PauseError) -> Self {
        let message = error.to_string();
        match error {
            PauseError::Nothing | PauseError::TooLong => {
                Self::invalid(message).hint("`pgbaton unpause` ends a pause before its time")
            }
            PauseError::NoReason | PauseError::LongReason { .. } => Self::invalid(message)
                .hint("a ticket, or what is being done, tells others whether it still holds"),
            PauseError::Unreadable { .. } => Self::new(Kind::Failed, message)
                .hint("`pgbaton unpause` takes it away, a new `pgbaton pause` takes its place"),
            PauseError::Records(error) => error.into(),
        }
    }
}
