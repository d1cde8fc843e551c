//! `pgbaton unpause`: the cluster's pause ends before its time.

use super::app::Context;
use super::error::CommandError;
use super::exit_codes::Code;
use super::{pause, screen};
use crate::runs::World;
use crate::trigger;
use serde_json::json;

pub(crate) async fn unpause(context: &Context) -> Result<Code, CommandError> {
    let global = &context.global;
    let world = World::open(global.site.as_deref(), global.cluster.as_deref())?;
    let cluster = &world.inventory().cluster;
    let ended = trigger::unpause(world.records(), cluster).await?;
    if global.json {
        let said = json!({ "cluster": cluster, "ended": ended });
        screen::data(&format!("{said}\n"));
        return Ok(Code::Ok);
    }
    let was = ended.map(|ended| format!("; they were {}", pause::told(&ended)));
    screen::note(&format!(
        "automatic runs of {cluster} are not paused{}\n",
        was.unwrap_or_default()
    ));
    Ok(Code::Ok)
}
