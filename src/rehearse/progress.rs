//! After the faults: the network is healed, and another run must reach the goal or say why not.

use super::checks::check;
use super::invariant::Invariant;
use super::stage::{Ended, Stage};
use crate::cluster::NodeName;
use crate::engine::Outcome;
use crate::runs::RunsError;
use crate::simulate::World;
use std::time::Duration;

/// Until standbys that were cut off have tried again, and sessions that hung are given up.
const HEALS: Duration = Duration::from_secs(15);
/// How often the client writes meanwhile: that there are commits is all that matters.
const SELDOM: Duration = Duration::from_secs(3);
/// Until what a run did has settled.
const SETTLES: Duration = Duration::from_secs(2);

/// Heals, and runs again where there is something left to do.
pub(super) async fn demand(stage: &Stage<'_>, first: &Ended) -> Result<(), RunsError> {
    stage.script.disarm();
    stage.sim.with(World::heal);
    stage.sim.with(|w| w.pace(SELDOM));
    stage
        .script
        .tell(stage.sim.now(), || "the network is healed".to_owned());
    stage.sim.pass(HEALS).await;
    let states = stage.sim.with(|w| w.states());
    let primaries: Vec<&NodeName> = states
        .iter()
        .filter(|s| s.running && !s.standby)
        .map(|s| &s.name)
        .collect();
    match primaries.as_slice() {
        [] => again(stage, first).await,
        [primary] => {
            let loose = states.iter().filter(|s| {
                s.running && s.standby && s.streams_from.is_none() && s.name != **primary
            });
            let loose: Vec<NodeName> = loose.map(|s| s.name.clone()).collect();
            let primary = (*primary).clone();
            for node in loose {
                follow(stage, &node, &primary).await?;
            }
            Ok(())
        }
        // An old primary that came back and can acknowledge nothing, or that was waived: a debt of the first run, which
        // names it. Nobody but a person may choose between the two.
        more => {
            let old = &first.old;
            if more.contains(&old) && first.promoted.is_some() && !first.facts.names(old.as_str()) {
                let detail = format!("{old} came back as a second primary, and no debt names it");
                stage
                    .script
                    .violated(stage.sim.now(), Invariant::Named, detail);
            }
            Ok(())
        }
    }
}

/// The same playbook once more.
async fn again(stage: &Stage<'_>, first: &Ended) -> Result<(), RunsError> {
    let subject = stage.subject;
    let old = first.promoted.as_ref().unwrap_or(&first.old);
    let mut given = subject.given();
    if subject.has_param("old_primary") {
        given.retain(|(name, _)| name != "old_primary");
        given.push(("old_primary".to_owned(), old.to_string()));
    }
    let ended = match stage.run(&subject.playbook, &given, old).await {
        Ok(ended) => ended,
        Err(error) => stage.refused(&error, old),
    };
    stage.sim.pass(SETTLES).await;
    check(stage, &ended);
    let reached = ended.report.as_ref().map(|r| r.outcome);
    let primaries = stage.sim.with(|w| w.states());
    let has_primary = primaries.iter().any(|s| s.running && !s.standby);
    if ended.promoted.is_some() && !has_primary {
        let detail = format!("a run after healing promoted, and there is no primary ({reached:?})");
        stage
            .script
            .violated(stage.sim.now(), Invariant::Progress, detail);
    }
    if reached == Some(Outcome::Failed) && subject.promotes() {
        let why = ended.report.and_then(|r| r.failure).map(|f| f.message);
        let detail = format!(
            "with nothing in its way any more, the playbook failed: {}",
            why.unwrap_or_default()
        );
        stage
            .script
            .violated(stage.sim.now(), Invariant::Progress, detail);
    }
    Ok(())
}

/// A standby that is loose follows the primary.
async fn follow(stage: &Stage<'_>, node: &NodeName, primary: &NodeName) -> Result<(), RunsError> {
    let Some(playbook) = &stage.subject.follow else {
        return Ok(());
    };
    let given = [
        ("node".to_owned(), node.to_string()),
        ("upstream".to_owned(), primary.to_string()),
    ];
    let ended = stage.run(playbook, &given, primary).await?;
    stage.sim.pass(SETTLES).await;
    check(stage, &ended);
    if let Some(report) = &ended.report
        && report.outcome == Outcome::Failed
        && stage.sim.with(|w| w.can_feed(primary, node))
    {
        let why = report.failure.as_ref().map(|f| f.message.clone());
        let detail = format!(
            "with nothing in its way any more, {node} could not follow {primary}: {}",
            why.unwrap_or_default()
        );
        stage
            .script
            .violated(stage.sim.now(), Invariant::Progress, detail);
    }
    Ok(())
}
