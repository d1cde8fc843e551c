//! What a promotion would lose, and whether someone agreed to it (rule 3).

use super::super::scene::Scene;
use super::look::Entry;
use crate::cluster::{Host, Lsn, NodeName, SyncNames, Timeline, Trouble, starves};
use crate::engine::Failure;
use crate::playbook::format_bytes;
use serde_json::json;

pub(super) struct Loss {
    pub(super) bytes: i64,
    pub(super) known: bool,
    why: String,
}

/// How much of the old primary's WAL no counted standby holds.
pub(super) async fn loss(
    scene: &Scene<'_>,
    old: &NodeName,
    timeline: Timeline,
    best: Lsn,
    entries: &[Entry],
    host: Result<Host, Trouble>,
) -> Result<Loss, Failure> {
    let remembered = scene.cluster.remembered(old);
    if let Some((last, _)) = remembered.position.as_ref().map(|p| p.value)
        && timeline > last
    {
        return Err(Failure::hold(format!(
            "the standbys are on timeline {timeline}, {old} was last seen on {last}: another promotion happened"
        )));
    }
    // What its files say where its host is reached; otherwise what is remembered of it must do.
    let written = host.as_ref().ok().and_then(Host::timeline);
    let seen = remembered.position.as_ref().map(|p| p.value.0);
    if let Some(newest) = seen.max(written).filter(|newest| *newest > timeline) {
        return Err(left_behind(old, newest, timeline));
    }
    let names = remembered
        .synchronous_standby_names
        .as_ref()
        .map(|n| n.value.as_str())
        .unwrap_or_default();
    let waits = remembered
        .synchronous_commit
        .as_ref()
        .is_some_and(|c| matches!(c.value.as_str(), "on" | "remote_apply"));
    let counted: Vec<&str> = entries.iter().map(|e| e.node.as_str()).collect();
    if waits
        && SyncNames::parse(names)
            .ok()
            .flatten()
            .is_some_and(|names| starves(&names, &counted))
    {
        let why = format!(
            "commits on {old} waited for {names}; enough of them are counted here to hold every one"
        );
        return Ok(Loss {
            bytes: 0,
            known: true,
            why,
        });
    }
    let end = match host {
        Ok(_) => scene.cluster.wal_end(old, timeline, best).await,
        Err(trouble) => Err(trouble),
    };
    match end {
        Ok(end) => {
            let bytes = end.max(best).bytes_since(best);
            Ok(Loss {
                bytes,
                known: true,
                why: format!("the WAL of {old} ends at {}", end.max(best)),
            })
        }
        Err(trouble) => match remembered.position {
            Some(last) => Ok(Loss {
                bytes: last.value.1.max(best).bytes_since(best),
                known: false,
                why: format!(
                    "{old} was last seen at {}, {} ms ago; its files cannot be read: {trouble}",
                    last.value.1, last.age_ms
                ),
            }),
            None => Ok(Loss {
                bytes: 0,
                known: false,
                why: format!("the end of {old}'s WAL cannot be read: {trouble}"),
            }),
        },
    }
}

/// What the old primary wrote on its own timeline is on none of the standbys; and a promotion would begin another timeline
/// of the same number, which nobody could tell from the first.
fn left_behind(old: &NodeName, newest: Timeline, timeline: Timeline) -> Failure {
    Failure::hold(format!(
        "{old} was on timeline {newest}, the standbys are on {timeline}: none of them has what {old} committed there"
    ))
    .with_help(format!(
        "start {old} again and let the standbys follow it; if its data is lost for good, move its data directory away and \
         run again: what it committed is lost then"
    ))
}

/// Loss is a number that someone agreed to; an unknown one counts as too much.
pub(super) async fn agree(scene: &Scene<'_>, loss: &Loss) -> Result<(), Failure> {
    let limit = scene.integer("max_loss").unwrap_or(0);
    let shown = if loss.known {
        format_bytes(loss.bytes)
    } else {
        format!("unknown, at least {}", format_bytes(loss.bytes))
    };
    let data = json!({ "bytes": loss.bytes, "known": loss.known, "limit": limit });
    scene
        .note(
            "loss",
            format!("WAL that is lost: {shown}; {}", loss.why),
            data,
        )
        .await;
    if loss.known && loss.bytes <= limit {
        return Ok(());
    }
    if let Some(who) = scene.text("accept_loss").filter(|t| !t.trim().is_empty()) {
        scene
            .note(
                "waived",
                format!("WAIVED: a loss of {shown} is accepted: {who}"),
                json!({ "by": who }),
            )
            .await;
        return Ok(());
    }
    Err(Failure::refused(format!("promotion would lose WAL: {shown}; the limit is {}; {}", format_bytes(limit), loss.why))
        .with_help("to go on all the same, a person gives `-p accept_loss=\"who and why\"`; or raise `max_loss`"))
}
