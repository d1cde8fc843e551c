//! `pgbaton incidents`: what `serve` made of losses of the cluster's primary, and what a run would have done.

use super::app::Context;
use super::args::IncidentsArgs;
use super::error::CommandError;
use super::exit_codes::Code;
use super::{plan, screen, text};
use crate::runs::World;
use crate::trigger;
use serde_json::json;
use std::fmt::Write as _;

/// How many are shown.
const SHOWN: usize = 50;

pub(crate) async fn incidents(
    context: &Context,
    args: &IncidentsArgs,
) -> Result<Code, CommandError> {
    let global = &context.global;
    let world = World::open(global.site.as_deref(), global.cluster.as_deref())?;
    let (records, cluster) = (world.records(), &world.inventory().cluster);
    if let Some(incident) = &args.incident {
        let found = trigger::incident_plan(records, cluster, incident).await?;
        let Some(found) = found else {
            let what = format!("no plan is kept for the incident `{incident}` of {cluster}");
            return Err(CommandError::invalid(what)
                .hint("`pgbaton incidents` lists them; a plan is made where a person decides"));
        };
        plan::show(context, &found);
        return Ok(Code::Ok);
    }
    let kept = trigger::incidents(records, Some(cluster), SHOWN).await?;
    let mut lines = String::new();
    for note in &kept {
        if global.json {
            let _ = writeln!(
                lines,
                "{}",
                json!({ "at": note.at.to_string(), "notice": note.body })
            );
            continue;
        }
        let said = note.body["text"].as_str().unwrap_or_default();
        let _ = writeln!(
            lines,
            "{}  {}",
            note.at.strftime("%Y-%m-%d %H:%M:%S UTC"),
            text::one_line(said)
        );
        // Only of one that has a plan there is more to show.
        if !note.body["foretold"]["outcome"].is_null()
            && let Some(incident) = note.body["incident"].as_str()
        {
            let _ = writeln!(lines, "  pgbaton incidents {}", text::one_line(incident));
        }
    }
    screen::data(&lines);
    if kept.is_empty() && !global.json {
        screen::note(&format!(
            "nothing is kept of losses of {cluster}'s primary\n"
        ));
    }
    Ok(Code::Ok)
}
