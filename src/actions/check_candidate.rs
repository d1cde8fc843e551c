//! Is the candidate fit to be a primary for its followers? Everything that would only show after the promotion.

use super::check_standby::limits::too_low;
use super::scene::{Deed, Scene, outputs};
use super::subscribers::{Candidate, fate};
use crate::cluster::{Lsn, NodeName, STANDBY_LIMITS, Server, Setting, Timeline, WalFiles};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) struct CheckCandidate;

#[async_trait]
impl Deed for CheckCandidate {
    fn signature() -> Signature {
        Signature {
            name: "check_candidate",
            summary: "Check that the candidate has senders and slots for its followers, and theirs will find its timeline.",
            node: NodeRule::Required,
            inputs: vec![
                Field::required(
                    "followers",
                    Type::List,
                    "the nodes that are to follow it; itself does not count",
                ),
                Field::optional(
                    "handover_from",
                    Type::Node,
                    "the living primary: its direct standbys follow, and replay must be close behind",
                ),
                Field::optional(
                    "old_primary",
                    Type::Node,
                    "the dead primary, whose logical slots are lost where the candidate has no copy of them",
                ),
                Field::optional(
                    "old_host",
                    Type::Boolean,
                    "its host answers and can tell what slots lie there",
                ),
                Field::optional(
                    "logical_slots",
                    Type::String,
                    "`ignore`: hand over although subscribers lose their slots; `check` unless given",
                )
                .one_of(&["check", "ignore"]),
                Field::optional(
                    "max_backlog",
                    Type::Bytes,
                    "how much it may have received and not replayed, with `handover_from`; 64MiB",
                ),
            ],
            outputs: vec![
                Field::required(
                    "slots_free",
                    Type::Integer,
                    "slots that may still be created",
                ),
                Field::required(
                    "lost_slots",
                    Type::List,
                    "slots of the old primary that nobody can go on with; those of subscribers, and of others where only its host could tell",
                ),
            ],
            effect: Some(EffectClass::Read),
            roles: vec![],
            timeout: Duration::from_secs(10),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("to be checked anew".to_owned()))
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let mut followers = scene.nodes_input("followers")?;
        followers.retain(|follower| *follower != node);
        let old = scene.node_input("handover_from")?;
        let names = [
            "wal_level",
            "recovery_target_timeline",
            "recovery_min_apply_delay",
            "synchronized_standby_slots",
        ];
        let names = [&names[..], &STANDBY_LIMITS].concat();
        let looks = followers.iter().map(|follower| look(scene, follower));
        let (settings, slots, server, files, identity, followers_seen) = tokio::join!(
            scene.cluster.settings(&node, &names),
            scene.cluster.slots(&node),
            scene.cluster.server(&node),
            scene.cluster.wal_files(&node),
            scene.cluster.identify(&node),
            join_all(looks),
        );
        let followers_seen: Vec<Follower> = followers_seen
            .into_iter()
            .filter(|follower| old.as_ref().is_none_or(|old| follower.is_to_follow(old)))
            .collect();
        let (settings, (slots, most), server) = (settings?, slots?, server?);
        let (files, identity) = (files?, identity?);
        let value = |name: &str| {
            settings
                .get(name)
                .map(|s| s.value.as_str())
                .unwrap_or_default()
        };
        let mut wrong = Vec::new();
        if !server.in_recovery {
            wrong.push("it is no standby".to_owned());
        }
        wrong.extend(too_few_senders(
            value("max_wal_senders"),
            followers_seen.len(),
        ));
        if value("wal_level") == "minimal" {
            wrong.push("wal_level is minimal: nothing could follow it".to_owned());
        }
        if old.is_some() {
            let most = scene.integer("max_backlog").unwrap_or(MAX_BACKLOG);
            wrong.extend(slow(&server, value("recovery_min_apply_delay"), most));
        }
        let missing = followers_seen
            .iter()
            .filter(|f| {
                !slots
                    .iter()
                    .any(|slot| slot.name == scene.inventory().slot_of(&f.node))
            })
            .count();
        let free = (most as usize).saturating_sub(slots.len());
        if missing > free {
            wrong.push(format!(
                "it has {free} free slots of {most}, {missing} are needed"
            ));
        }
        wrong.extend(followers_seen.iter().filter_map(|f| f.elsewhere.clone()));
        let own = Some((node.clone(), settings.clone()));
        let far = followers_seen.iter();
        let mut warnings: Vec<String> = far.filter_map(|f| f.out_of_reach(&node, &files)).collect();
        let low = followers_seen.iter();
        warnings.extend(low.filter_map(|f| f.too_low(own.as_ref())));
        warnings.extend(stray(&node, identity.timeline, &files));
        let candidate = Candidate {
            node: &node,
            server: &server,
            slots: &slots,
            wal_level: value("wal_level"),
            waits_for: value("synchronized_standby_slots"),
        };
        let fate = fate(scene, &candidate).await?;
        wrong.extend(fate.wrong);
        warnings.extend(fate.warnings);
        for warning in warnings {
            scene
                .note("warning", warning, serde_json::Value::Null)
                .await;
        }
        if wrong.is_empty() {
            return Ok(outputs([
                ("slots_free", i64::try_from(free).unwrap_or(i64::MAX).into()),
                ("lost_slots", fate.lost.into()),
            ]));
        }
        Err(Failure {
            kind: TroubleKind::Conflict,
            ..Failure::refused(format!(
                "{node} is not fit to be primary: {}",
                wrong.join("; ")
            ))
        })
    }
}

fn too_few_senders(setting: &str, followers: usize) -> Option<String> {
    let senders: usize = setting.parse().unwrap_or(0);
    (senders < followers)
        .then(|| format!("max_wal_senders is {senders}, {followers} nodes are to follow"))
}

/// Beyond this replay takes seconds, and nobody can write meanwhile.
const MAX_BACKLOG: i64 = 64 << 20;

/// Why a handover to this standby would leave the cluster without a primary for long: it has to replay all before it can
/// be promoted, and the old primary is down by then.
fn slow(server: &Server, delay: &str, most: i64) -> Option<String> {
    let behind = server
        .position()
        .zip(server.replayed)
        .map_or(0, |(at, replayed)| at.bytes_since(replayed));
    if server.replay_paused {
        Some("its replay is paused: resume it (pg_wal_replay_resume) first".to_owned())
    } else if !matches!(delay, "" | "0") {
        Some(format!(
            "its replay is delayed (recovery_min_apply_delay is {delay} ms): set it to 0 first"
        ))
    } else if behind > most {
        Some(format!(
            "it has {behind} bytes still to replay, {most} are allowed: wait until it has caught up"
        ))
    } else {
        None
    }
}

/// What looking at a follower may take: one that hangs does not keep the others waiting.
const GLANCE: Duration = Duration::from_secs(2);

/// A follower, as far as it concerns its future upstream. What cannot be read is left to its own follow.
struct Follower {
    node: NodeName,
    /// It would never leave its timeline.
    elsewhere: Option<String>,
    at: Option<Lsn>,
    /// What it is set to follow; none where that is unknown.
    upstream: Option<NodeName>,
    settings: BTreeMap<String, Setting>,
}

async fn look(scene: &Scene<'_>, node: &NodeName) -> Follower {
    let names = [&["recovery_target_timeline"][..], &STANDBY_LIMITS].concat();
    let asked = tokio::time::timeout(GLANCE, async {
        tokio::join!(
            scene.cluster.settings(node, &names),
            scene.cluster.server(node),
            scene.cluster.upstream(node)
        )
    })
    .await;
    let Ok((settings, server, upstream)) = asked else {
        return Follower {
            node: node.clone(),
            elsewhere: None,
            at: None,
            upstream: None,
            settings: BTreeMap::new(),
        };
    };
    let settings = settings.unwrap_or_default();
    let server = server.ok();
    let standby = server.as_ref().is_some_and(|s| s.in_recovery);
    let upstream = upstream
        .ok()
        .flatten()
        .filter(|_| standby)
        .and_then(|(host, port)| scene.inventory().node_at(&host, port))
        .map(|n| n.name.clone());
    let elsewhere = settings
        .get("recovery_target_timeline")
        .filter(|setting| setting.value != "latest")
        .map(|setting| {
            format!(
                "recovery_target_timeline of {node} is `{}`, not `latest`",
                setting.value
            )
        });
    Follower {
        node: node.clone(),
        elsewhere,
        at: server.as_ref().and_then(Server::position),
        upstream,
        settings,
    }
}

impl Follower {
    /// After a handover from `old`: children of other standbys stay where they are.
    fn is_to_follow(&self, old: &NodeName) -> bool {
        self.node == *old
            || self
                .upstream
                .as_ref()
                .is_none_or(|upstream| upstream == old)
    }

    /// Its settings are lower than the candidate's. No reason to leave the cluster without a primary either.
    fn too_low(&self, candidate: Option<&(NodeName, BTreeMap<String, Setting>)>) -> Option<String> {
        let found = too_low(None, Some(&self.settings), candidate, false);
        found.now.map(|what| format!("{}: {what}", self.node))
    }

    /// It is so far behind that the candidate no longer has what it needs. No reason to leave the cluster without a
    /// primary: its own follow fails by itself, and is named.
    fn out_of_reach(&self, node: &NodeName, files: &WalFiles) -> Option<String> {
        let at = self.at.filter(|at| files.lacks(*at))?;
        let oldest = files
            .oldest
            .map_or_else(|| "nothing".to_owned(), |l| l.to_string());
        Some(format!(
            "{} stands at {at}, and the WAL of {node} begins at {oldest}: unless an archive has the rest, it must be cloned anew",
            self.node
        ))
    }
}

/// A history file of a timeline that the candidate is not on: its promotion will take a number after it.
fn stray(node: &NodeName, timeline: Timeline, files: &WalFiles) -> Option<String> {
    let stray = files.histories.iter().filter(|t| **t > timeline).max()?;
    Some(format!(
        "{node} has a history file of timeline {stray} and is on {timeline}: another promotion left it; the new timeline will \
         be after it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::StartupState;

    #[test]
    fn a_standby_that_would_hold_up_a_handover_is_named() {
        let standby = |paused, received, replayed| Server {
            version: 150_000,
            in_recovery: true,
            written: None,
            received: Some(Lsn(received)),
            replayed: Some(Lsn(replayed)),
            replay_paused: paused,
            startup: StartupState::WaitsForWal,
            receiver: None,
            receiver_pid: None,
            senders: 0,
        };
        for (server, delay, word) in [
            (standby(false, 0x200, 0x100), "0", None),
            (standby(false, 0x200, 0x100), "", None),
            (standby(true, 0x100, 0x100), "0", Some("paused")),
            (standby(false, 0x100, 0x100), "5000", Some("delayed")),
            (standby(false, 0x201, 0x100), "0", Some("257 bytes")),
        ] {
            let found = slow(&server, delay, 0x100);
            let as_wanted = match (&found, word) {
                (None, None) => true,
                (Some(found), Some(word)) => found.contains(word),
                _ => false,
            };
            assert!(as_wanted, "{word:?}: {found:?}");
        }
    }
}
