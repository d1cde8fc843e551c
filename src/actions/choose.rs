//! Which standby becomes primary, and what that loses (rules 2 and 3).

mod look;
mod loss;

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{Host, NodeName, Trouble};
use crate::engine::{Consequence, Failure, Probe};
use crate::playbook::{
    EffectClass, Field, Map, NodeRule, Role, Signature, TroubleKind, Type, Value,
};
use async_trait::async_trait;
use futures_util::future::join_all;
use look::{Entry, look, one_history};
use loss::{agree, loss};
use serde_json::json;
use std::cmp::Reverse;
use std::time::Duration;

pub(super) struct Choose;

#[async_trait]
impl Deed for Choose {
    fn signature() -> Signature {
        Signature {
            name: "choose",
            summary: "Read the positions of the frozen standbys and choose the one to promote.",
            node: NodeRule::Refused,
            inputs: vec![
                Field::required(
                    "old_primary",
                    Type::Node,
                    "the primary that is to be replaced",
                ),
                Field::optional(
                    "candidate",
                    Type::Node,
                    "a person's choice; the checks stay",
                ),
                Field::required(
                    "max_loss",
                    Type::Bytes,
                    "how much WAL may be lost without asking",
                ),
                Field::optional(
                    "accept_loss",
                    Type::String,
                    "who accepts a greater or unknown loss, and why",
                ),
                Field::optional(
                    "host_reachable",
                    Type::Boolean,
                    "false: the old primary's host did not answer just now, and its files are not asked for",
                ),
            ],
            outputs: vec![
                Field::required("node", Type::Node, "the candidate"),
                Field::required(
                    "position",
                    Type::Lsn,
                    "the highest position that any counted standby holds",
                ),
                Field::required("timeline", Type::Integer, "the timeline that it ends"),
                Field::required(
                    "loss",
                    Type::Bytes,
                    "WAL of the old primary that no counted standby holds; 0 where synchronous commit covers it",
                ),
                Field::required(
                    "loss_known",
                    Type::Boolean,
                    "the end of the old primary's WAL could be read",
                ),
                Field::optional(
                    "fast_forward_from",
                    Type::Node,
                    "a standby that holds more than the candidate",
                ),
                Field::required(
                    "followers",
                    Type::List,
                    "standbys that are to follow the candidate",
                ),
                Field::required("absent", Type::List, "nodes that did not count"),
            ],
            effect: Some(EffectClass::Read),
            roles: vec![Role::Choose],
            timeout: Duration::from_secs(30),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("positions are read anew".to_owned()))
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let old = scene.required_node("old_primary")?;
        let others: Vec<&NodeName> = scene
            .inventory()
            .nodes
            .keys()
            .filter(|n| **n != old)
            .collect();
        let (found, host) = tokio::join!(
            join_all(others.iter().map(|node| look(scene, node, &old))),
            old_host(scene, &old),
        );
        let mut entries = Vec::new();
        let mut absent = Vec::new();
        for (node, entry) in others.iter().zip(found) {
            match entry {
                Ok(entry) => entries.push(entry),
                Err(failure) if failure.consequence == Consequence::Hold => return Err(failure),
                Err(failure) => absent.push(((*node).clone(), failure.message)),
            }
        }
        let best = entries
            .iter()
            .map(|e| e.at)
            .max()
            .ok_or_else(|| nobody(&absent))?;
        let timeline = one_history(scene, &entries).await?;
        let chosen = pick(scene.node_input("candidate")?.as_ref(), &entries, &absent)?.clone();
        let loss = loss(scene, &old, timeline, best, &entries, host).await?;
        let source = (chosen.at < best)
            .then(|| entries.iter().find(|e| e.at == best))
            .flatten();
        let followers: Vec<&str> = entries
            .iter()
            .filter(|e| e.node != chosen.node && e.frozen())
            .map(|e| e.node.as_str())
            .collect();
        explain(scene, &chosen, &entries, &absent).await;
        agree(scene, &loss).await?;
        Ok(outputs([
            ("node", chosen.node.as_str().into()),
            ("position", best.into()),
            ("timeline", i64::from(timeline.0).into()),
            ("loss", loss.bytes.into()),
            ("loss_known", loss.known.into()),
            ("fast_forward_from", source.map(|e| e.node.as_str()).into()),
            ("followers", followers.into()),
            (
                "absent",
                absent
                    .iter()
                    .map(|(node, _)| node.as_str())
                    .collect::<Vec<_>>()
                    .into(),
            ),
        ]))
    }
}

/// What the files of the old primary say, by its host.
async fn old_host(scene: &Scene<'_>, old: &NodeName) -> Result<Host, Trouble> {
    if matches!(
        scene.step.inputs.get("host_reachable"),
        Value::Boolean(false)
    ) {
        let why = "its host did not answer";
        return Err(Trouble::on(TroubleKind::Unreachable, old, why));
    }
    scene.cluster.host(old).await
}

fn nobody(absent: &[(NodeName, String)]) -> Failure {
    let reasons: Vec<String> = absent
        .iter()
        .map(|(node, why)| format!("{node}: {why}"))
        .collect();
    Failure::refused(format!(
        "no standby can be promoted; {}",
        reasons.join("; ")
    ))
}

/// The highest position; ties by replay backlog (it is downtime), by what else holds up replay, priority, location, name.
fn pick<'a>(
    wish: Option<&NodeName>,
    entries: &'a [Entry],
    absent: &[(NodeName, String)],
) -> Result<&'a Entry, Failure> {
    if let Some(wish) = wish {
        let entry = entries.iter().find(|e| e.node == *wish).ok_or_else(|| {
            let why = absent
                .iter()
                .find(|(n, _)| n == wish)
                .map_or("it is not a standby", |(_, why)| why.as_str());
            Failure::refused(format!("{wish} cannot be promoted: {why}"))
        })?;
        if !entry.allowed {
            return Err(Failure::refused(format!(
                "{wish} may not be promoted: the site file says `promote: never`"
            )));
        }
        if let Some(why) = &entry.unfit {
            return Err(Failure::refused(format!(
                "{wish} cannot be promoted: {why}"
            )));
        }
        if let (true, Some(upstream)) = (entry.receives, &entry.upstream) {
            return Err(Failure::refused(format!(
                "{wish} cannot be promoted: it follows {upstream}, which is not being replaced, and still receives"
            ))
            .with_help(format!("promote {upstream}: {wish} holds no more than it")));
        }
        return Ok(entry);
    }
    entries
        .iter()
        .filter(|e| e.eligible())
        .min_by_key(|e| {
            (
                Reverse(e.at),
                // One that still receives, though not from the old primary, would have to be frozen first.
                Reverse(e.frozen()),
                e.backlog,
                e.held_up,
                Reverse(e.priority),
                Reverse(e.near),
                e.node.clone(),
            )
        })
        .ok_or_else(|| {
            let why = |e: &Entry| match &e.unfit {
                Some(why) if e.allowed => format!("{}: {why}", e.node),
                _ => format!("{}: `promote: never`", e.node),
            };
            let reasons: Vec<String> = entries.iter().map(why).collect();
            Failure::refused(format!(
                "no standby that can be reached may be promoted; {}",
                reasons.join("; ")
            ))
        })
}

async fn explain(
    scene: &Scene<'_>,
    chosen: &Entry,
    entries: &[Entry],
    absent: &[(NodeName, String)],
) {
    let mut lines = Vec::new();
    for entry in entries.iter().filter(|e| e.node != chosen.node) {
        let why = if !entry.allowed {
            "it may not be promoted".to_owned()
        } else if let Some(why) = &entry.unfit {
            why.clone()
        } else if entry.at < chosen.at {
            format!("it is {} bytes behind", chosen.at.bytes_since(entry.at))
        } else if entry.backlog > chosen.backlog {
            "it has more left to replay".to_owned()
        } else if entry.held_up && !chosen.held_up {
            "its replay does not wait for WAL: something holds it up, as a restore_command that hangs does".to_owned()
        } else {
            "priority, location or name comes later".to_owned()
        };
        lines.push(format!("{}: {why}", entry.node));
    }
    lines.extend(absent.iter().map(|(node, why)| format!("{node}: {why}")));
    let against = if lines.is_empty() {
        String::new()
    } else {
        format!("; not {}", lines.join("; not "))
    };
    let data = json!({
        "node": chosen.node,
        "positions": entries.iter().map(|e| json!({ "node": e.node, "at": e.at, "timeline": e.timeline })).collect::<Vec<_>>(),
    });
    scene
        .note(
            "choice",
            format!(
                "{} at {} on timeline {}{against}",
                chosen.node, chosen.at, chosen.timeline
            ),
            data,
        )
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Lsn, Timeline};

    fn entry(name: &str, at: u64, backlog: i64, priority: i64, allowed: bool) -> Entry {
        Entry {
            node: NodeName::parse(name).unwrap(),
            timeline: Timeline(1),
            at: Lsn(at),
            backlog,
            held_up: false,
            priority,
            near: true,
            allowed,
            unfit: None,
            receives: false,
            upstream: None,
        }
    }

    #[test]
    fn position_comes_before_everything_and_a_forbidden_node_is_never_picked() {
        for (entries, expected) in [
            (
                vec![entry("a", 10, 0, 100, true), entry("b", 20, 9, 1, true)],
                "b",
            ),
            (
                vec![entry("a", 20, 5, 100, true), entry("b", 20, 0, 1, true)],
                "b",
            ),
            (
                vec![entry("a", 20, 0, 1, true), entry("b", 20, 0, 2, true)],
                "b",
            ),
            (
                vec![entry("b", 20, 0, 1, true), entry("a", 20, 0, 1, true)],
                "a",
            ),
            (
                vec![entry("a", 30, 0, 1, false), entry("b", 20, 0, 1, true)],
                "b",
            ),
        ] {
            assert_eq!(pick(None, &entries, &[]).unwrap().node.as_str(), expected);
        }
        assert!(pick(None, &[entry("a", 1, 0, 1, false)], &[]).is_err());
        let full = Entry {
            unfit: Some("its disk is full".to_owned()),
            ..entry("a", 30, 0, 1, true)
        };
        let both = [full.clone(), entry("b", 20, 0, 1, true)];
        assert_eq!(pick(None, &both, &[]).unwrap().node.as_str(), "b");
        assert!(pick(None, &[full], &[]).is_err());
        let wish = NodeName::parse("a").unwrap();
        let child = Entry {
            receives: true,
            upstream: Some(NodeName::parse("b").unwrap()),
            ..entry("a", 20, 0, 100, true)
        };
        let both = [child, entry("b", 20, 5, 1, true)];
        assert_eq!(pick(None, &both, &[]).unwrap().node.as_str(), "b");
        assert!(pick(Some(&wish), &both, &[]).is_err(), "it still receives");
        assert!(pick(Some(&wish), &[entry("a", 1, 0, 1, false)], &[]).is_err());
    }
}
