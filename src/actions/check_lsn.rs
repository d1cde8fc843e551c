//! Can a node follow an upstream as it is? Same system, on the upstream's history, not ahead, its WAL still there.

mod refusals;
mod standing;

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{Ancestry, History, Identity, Lsn, NodeName, Timeline, WalFiles};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, Type};
use async_trait::async_trait;
use refusals::{half_rewound, missing_history, refusal, stray_refusal, wal_gone};
use standing::{DRAIN, Standing, standing as stands_now};
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct CheckLsn;

#[async_trait]
impl Deed for CheckLsn {
    fn signature() -> Signature {
        Signature {
            name: "check_lsn",
            summary: "Compare a node with its future upstream: same system, on its history, not beyond the fork.",
            node: NodeRule::Required,
            inputs: vec![
                Field::required("upstream", Type::Node, "what it is to follow"),
                Field::optional(
                    "report",
                    Type::Boolean,
                    "tell a divergence as an output in place of refusing",
                ),
            ],
            outputs: vec![
                Field::required(
                    "divergence",
                    Type::String,
                    "`none`, `rewindable` (ahead of the fork), `foreign` (another history), `other_system`, `wal_gone` (the \
                     upstream has no longer what it needs next) or `half_rewound` (a rewind of it did not end)",
                )
                .one_of(&ALL),
                Field::required(
                    "bytes",
                    Type::Bytes,
                    "how far the node is beyond the fork, or ahead of its upstream",
                ),
                Field::optional(
                    "fork",
                    Type::Lsn,
                    "where the upstream left the node's timeline",
                ),
                Field::required("position", Type::Lsn, "where the node stands"),
                Field::required("timeline", Type::Integer, "the node's timeline"),
                Field::required("running", Type::Boolean, "the node's server runs"),
            ],
            effect: Some(EffectClass::Read),
            roles: vec![],
            timeout: Duration::from_secs(10),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("to be compared anew".to_owned()))
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let upstream = scene.required_node("upstream")?;
        if node == upstream {
            return Err(Failure::refused(format!("{node} cannot follow itself")));
        }
        let (standing, lineage, files) = tokio::join!(
            stands_now(scene, &node),
            lineage(scene, &upstream),
            scene.cluster.wal_files(&node)
        );
        let mut standing = standing?;
        let (identity, history) = lineage?;
        let report = scene.flag("report");
        if standing.half_rewound {
            let verdict = Comparison::of(HALF_REWOUND);
            return if report {
                Ok(told(&verdict, &standing))
            } else {
                Err(half_rewound(&node))
            };
        }
        if standing.system != identity.system && report {
            return Ok(told(&Comparison::of(OTHER_SYSTEM), &standing));
        }
        if standing.system != identity.system {
            return Err(Failure::refused(format!(
                "{node} belongs to another cluster: its system identifier is {}, that of {upstream} is {}",
                standing.system, identity.system
            ))
            .with_help("compare the site file with the servers; a node of another cluster must be cloned anew"));
        }
        let identity = caught_up(scene, &upstream, &standing, identity).await?;
        // Of a server that does not run they cannot be asked.
        if standing.running
            && let Some(stray) = stray_history(scene, &node, &standing, files?, &history).await?
        {
            return Err(stray_refusal(&node, &upstream, stray));
        }
        let mut verdict = compare(&standing, &history, identity.at);
        if verdict.divergence != "none" && standing.running {
            // One that goes on to another timeline just now had its timeline and its position told at two moments.
            let again = stands_now(scene, &node).await?;
            if again.timeline != standing.timeline {
                standing = again;
                verdict = compare(&standing, &history, identity.at);
            }
        }
        if verdict.divergence != "none" {
            standing = standing.exact(scene, &node).await;
            verdict = compare(&standing, &history, identity.at);
        }
        if verdict.divergence != "none" && !report {
            return Err(refusal(&node, &upstream, &standing, &history, &verdict));
        }
        // Of a standby that runs its attachment shows it, and those who wait for a follow are not to wait for this.
        if verdict.divergence == "none"
            && (report || !standing.running)
            && let Some(begins) = gone(scene, &node, &upstream, &standing).await?
        {
            if !report {
                return Err(wal_gone(&node, &upstream, &standing, begins));
            }
            verdict.divergence = WAL_GONE;
        }
        Ok(told(&verdict, &standing))
    }
}

const OTHER_SYSTEM: &str = "other_system";
const WAL_GONE: &str = "wal_gone";
const HALF_REWOUND: &str = "half_rewound";
const ALL: [&str; 6] = [
    "none",
    "rewindable",
    "foreign",
    OTHER_SYSTEM,
    WAL_GONE,
    HALF_REWOUND,
];

fn told(verdict: &Comparison, standing: &Standing) -> Map {
    outputs([
        ("divergence", verdict.divergence.into()),
        ("bytes", verdict.bytes.into()),
        ("fork", verdict.fork.into()),
        ("position", standing.at.into()),
        ("timeline", i64::from(standing.timeline.0).into()),
        ("running", standing.running.into()),
    ])
}

/// Where the upstream's WAL begins, if that is after what the node needs next and no archive is set that could have it.
async fn gone(
    scene: &Scene<'_>,
    node: &NodeName,
    upstream: &NodeName,
    standing: &Standing,
) -> Result<Option<Lsn>, Failure> {
    let files = scene.cluster.wal_files(upstream).await?;
    let (true, Some(begins)) = (files.lacks(standing.at), files.oldest) else {
        return Ok(None);
    };
    let archive = if standing.running {
        let settings = scene.cluster.settings(node, &["restore_command"]).await?;
        settings.values().any(|setting| setting.set)
    } else {
        scene.cluster.rebuild(node).await?.archive
    };
    Ok((!archive).then_some(begins))
}

/// Who a server is, and the history of its timeline.
async fn lineage(scene: &Scene<'_>, node: &NodeName) -> Result<(Identity, History), Failure> {
    let identity = scene.cluster.identify(node).await?;
    let history = if identity.timeline == Timeline(1) {
        History::first(identity.timeline)
    } else {
        let told = scene.cluster.history(node, identity.timeline).await;
        told.map_err(|trouble| missing_history(node, identity.timeline, trouble))?
    };
    Ok((identity, history))
}

/// An upstream that still receives itself may be behind its future follower for a moment; it is waited for.
async fn caught_up(
    scene: &Scene<'_>,
    upstream: &NodeName,
    standing: &Standing,
    mut identity: Identity,
) -> Result<Identity, Failure> {
    let patience = Instant::now() + DRAIN.min(scene.time_left() / 4);
    while identity.timeline == standing.timeline
        && standing.at > identity.at
        && Instant::now() < patience
    {
        scene.pause(Duration::from_millis(10)).await?;
        identity = scene.cluster.identify(upstream).await?;
    }
    Ok(identity)
}

/// A history file on the node, of a timeline after its own, that does not belong to the upstream's history: left by another
/// promotion. The node would take it for its future, or for the place where to leave its timeline.
async fn stray_history(
    scene: &Scene<'_>,
    node: &NodeName,
    standing: &Standing,
    files: WalFiles,
    history: &History,
) -> Result<Option<Timeline>, Failure> {
    for timeline in files
        .histories
        .into_iter()
        .filter(|t| *t > standing.timeline)
    {
        if !scene
            .cluster
            .history(node, timeline)
            .await?
            .leads_to(history)
        {
            return Ok(Some(timeline));
        }
    }
    Ok(None)
}

struct Comparison {
    divergence: &'static str,
    bytes: i64,
    fork: Option<Lsn>,
}

impl Comparison {
    /// One that no position tells.
    fn of(divergence: &'static str) -> Self {
        Self {
            divergence,
            bytes: 0,
            fork: None,
        }
    }
}

fn compare(standing: &Standing, history: &History, upstream_at: Lsn) -> Comparison {
    let fork = history.fork_of(standing.timeline);
    match history.relate(standing.timeline, standing.at) {
        Ancestry::Stranger => Comparison {
            divergence: "foreign",
            bytes: 0,
            fork: None,
        },
        Ancestry::Beyond { bytes, .. } => Comparison {
            divergence: "rewindable",
            bytes,
            fork,
        },
        // Ahead on the same timeline: PostgreSQL would attach it and loop over "incorrect prev-link" for ever.
        Ancestry::On if standing.timeline == history.timeline && standing.at > upstream_at => {
            Comparison {
                divergence: "rewindable",
                bytes: standing.at.bytes_since(upstream_at),
                fork: Some(upstream_at),
            }
        }
        Ancestry::On => Comparison {
            divergence: "none",
            bytes: 0,
            fork,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::SystemId;

    fn at(timeline: u32, at: u64) -> Standing {
        Standing {
            system: SystemId(1),
            timeline: Timeline(timeline),
            at: Lsn(at),
            running: true,
            within_last: false,
            half_rewound: false,
        }
    }

    #[test]
    fn the_fork_and_the_upstreams_position_decide() {
        let history = History::parse(Timeline(3), "1 0/100 x\n2 0/200 y\n").unwrap();
        for (timeline, position, expected, bytes) in [
            (1, 0x100, "none", 0),
            (1, 0x101, "rewindable", 1),
            (2, 0x200, "none", 0),
            (2, 0x210, "rewindable", 0x10),
            (3, 0x300, "none", 0),
            (3, 0x301, "rewindable", 1),
            (4, 0x10, "foreign", 0),
        ] {
            let verdict = compare(&at(timeline, position), &history, Lsn(0x300));
            assert_eq!(
                (verdict.divergence, verdict.bytes),
                (expected, bytes),
                "timeline {timeline} at {position:x}"
            );
        }
    }
}
