//! What would keep a standby from following, or a candidate from becoming a primary, and does not show before it is too late:
//! a full disk, settings that cannot be changed or are too low, somebody else under its name.

pub(super) mod limits;

use super::in_force::by_restart;
use super::scene::{Deed, Scene, outputs};
use crate::cluster::{Footing, NodeName, STANDBY_LIMITS, Server, Trouble};
use crate::engine::{Evidence, Failure, Probe};
use crate::playbook::{
    EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type, format_bytes,
};
use async_trait::async_trait;
use limits::{asked_for, too_low};
use serde_json::json;
use std::time::Duration;

pub(super) struct CheckStandby;

/// The topic of what is wrong with a node that was only reported on.
const UNFIT: &str = "unfit";

/// What a server needs to go on: a segment of WAL for itself, and one for a checkpoint's slack.
const MIN_FREE: i64 = 32 << 20;

/// How long its host is waited for where others wait for the answer, and where nobody does.
const HASTE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(7);

#[async_trait]
impl Deed for CheckStandby {
    fn signature() -> Signature {
        Signature {
            name: "check_standby",
            summary: "Look for what would keep a node from following or from being promoted: a full disk, a settings file that \
                      cannot be changed, settings lower than its primary's, another receiver of its name.",
            node: NodeRule::Required,
            inputs: vec![
                Field::optional("upstream", Type::Node, "what it is to follow"),
                Field::optional(
                    "primary",
                    Type::Node,
                    "who will be the primary then; the one that feeds `upstream` unless given",
                ),
                Field::optional(
                    "apply",
                    Type::String,
                    "`restart`: it will be restarted, and what its files say counts",
                )
                .one_of(&["auto", "restart"]),
                Field::optional(
                    "min_free",
                    Type::Bytes,
                    "how much must be free on the disks of its data and of its WAL; 32MiB",
                ),
                Field::optional(
                    "report",
                    Type::Boolean,
                    "tell it in place of refusing: `choose` then promotes another",
                ),
            ],
            outputs: vec![
                Field::required("fit", Type::Boolean, "nothing of it was found"),
                Field::optional("why", Type::String, "what was found"),
            ],
            effect: Some(EffectClass::Read),
            roles: vec![],
            timeout: Duration::from_secs(15),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("to be looked at anew".to_owned()))
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let (node, report) = (scene.node()?, scene.flag("report"));
        let upstream = scene.node_input("upstream")?;
        let look = tokio::time::timeout(HASTE, scene.cluster.server(&node));
        let server = look.await.ok().and_then(Result::ok);
        let paused = server.as_ref().is_some_and(|server| server.replay_paused);
        let receiver = server.as_ref().and_then(|server| server.receiver.as_ref());
        let source = receiver.and_then(|r| scene.inventory().node_at(&r.host, r.port));
        let follows = source.is_some_and(|source| Some(&source.name) == upstream.as_ref());
        // Who follows it already is left as it is.
        let restarts = upstream.is_some()
            && !follows
            && server.is_some()
            && (scene.text("apply") == Some("restart")
                || by_restart(scene, &node).await.unwrap_or(false));
        let starts = restarts || paused || (server.is_none() && !report);
        // What it would start with takes programs to find out: it is asked for where it decides something.
        let (footing, own, asked, double) = tokio::join!(
            footing(scene, &node, starts, if report { HASTE } else { PATIENCE }),
            async {
                match &server {
                    Some(_) => scene.cluster.settings(&node, &STANDBY_LIMITS).await.ok(),
                    None => None,
                }
            },
            asked_for(scene, upstream.as_ref()),
            double(scene, &node, upstream.as_ref(), follows),
        );
        let mut wrong: Vec<String> = Vec::new();
        match &footing {
            Ok(footing) => wrong.extend(unfirm(footing, least_free(scene))),
            Err(trouble) => {
                let text =
                    format!("the disks and settings of {node} were not looked at: {trouble}");
                scene.note("warning", text, json!(null)).await;
            }
        }
        let footing = footing.ok();
        let too_low = too_low(footing.as_ref(), own.as_ref(), asked.as_ref(), restarts);
        wrong.extend(too_low.now);
        if let (Some(later), true) = (too_low.later, wrong.is_empty()) {
            scene
                .note("warning", format!("{node}: {later}"), json!(null))
                .await;
        }
        wrong.extend(double);
        wrong.extend(server.as_ref().and_then(stuck).filter(|_| report));
        if wrong.is_empty() {
            return Ok(outputs([
                ("fit", true.into()),
                ("why", None::<&str>.into()),
            ]));
        }
        let why = wrong.join("; ");
        if report {
            let text = format!("{node} is not fit to be promoted: {why}");
            scene
                .note(UNFIT, text, json!({ "node": node, "why": why }))
                .await;
            return Ok(outputs([
                ("fit", false.into()),
                ("why", why.as_str().into()),
            ]));
        }
        let what = upstream.map_or("be promoted".to_owned(), |upstream| {
            format!("follow {upstream}")
        });
        Err(Failure {
            kind: TroubleKind::Conflict,
            ..Failure::refused(format!("{node} is not fit to {what}: {why}"))
        }
        .with_help("nothing was changed; put that right, then run it again"))
    }
}

/// Why a `check_standby` of this run found a node unfit to be promoted.
pub(super) fn found_unfit(scene: &Scene<'_>, node: &NodeName) -> Option<String> {
    let noted = scene.step.effects.noted(UNFIT);
    let about = |evidence: &&Evidence| evidence.data["node"] == node.as_str();
    let evidence = noted.iter().rfind(about)?;
    Some(evidence.data["why"].as_str().unwrap_or_default().to_owned())
}

fn least_free(scene: &Scene<'_>) -> u64 {
    let given = scene.integer("min_free").unwrap_or(MIN_FREE);
    u64::try_from(given).unwrap_or(0)
}

async fn footing(
    scene: &Scene<'_>,
    node: &NodeName,
    start: bool,
    patience: Duration,
) -> Result<Footing, Trouble> {
    let patience = patience.min(scene.time_left() / 2);
    tokio::time::timeout(patience, scene.cluster.footing(node, start))
        .await
        .unwrap_or_else(|_| {
            let text = format!("its host did not answer within {patience:?}");
            Err(Trouble::on(TroubleKind::Timeout, node, text))
        })
}

/// Disks and the file of its settings.
fn unfirm(footing: &Footing, least: u64) -> Vec<String> {
    let size = |bytes: u64| format_bytes(i64::try_from(bytes).unwrap_or(i64::MAX));
    let full = |what: &str, free: u64| {
        (free < least).then(|| {
            format!(
                "the disk of its {what} has {} free, {} are wanted: make room there",
                size(free),
                size(least)
            )
        })
    };
    let file = footing.settings_file.as_ref();
    [
        full("data", footing.data_free),
        full("WAL", footing.wal_free),
        file.map(|why| format!("its settings cannot be changed: {why}")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Somebody else who receives from the upstream under its name: nobody could tell the two apart, and a commit could be
/// acknowledged by either.
async fn double(
    scene: &Scene<'_>,
    node: &NodeName,
    upstream: Option<&NodeName>,
    follows: bool,
) -> Option<String> {
    let upstream = upstream?;
    let senders = scene.cluster.senders(upstream).await.ok()?;
    let mut found = senders.iter().filter(|s| s.application == node.as_str());
    let pid = found.nth(usize::from(follows))?.pid;
    Some(format!(
        "another program receives from {upstream} under its name (`{node}`; of the two one is process {pid}): end it, or give it \
         an application_name of its own"
    ))
}

/// Before 13 a promotion does not end a pause.
fn stuck(server: &Server) -> Option<String> {
    (server.replay_paused && server.version < 130_000).then(|| {
        "its replay is paused, and this version is not promoted before it is resumed (pg_wal_replay_resume)".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_disk_and_the_file_are_named() {
        let sound = Footing {
            data_free: 64 << 20,
            wal_free: 64 << 20,
            settings_file: None,
            start: None,
        };
        assert!(unfirm(&sound, 64 << 20).is_empty());
        let full = Footing {
            wal_free: 1 << 20,
            settings_file: Some("x.conf is no file".to_owned()),
            ..sound
        };
        let found = unfirm(&full, 32 << 20);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("disk of its WAL has 1MiB free"),
            "{found:?}"
        );
        assert!(found[1].contains("x.conf"), "{found:?}");
    }
}
