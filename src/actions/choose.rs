//! Which standby becomes primary, and what that loses (rules 2 and 3).

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{Lsn, NodeName, PromotePolicy, SyncNames, Timeline, starves};
use crate::engine::{Consequence, Failure, Probe};
use crate::playbook::{
    EffectClass, Field, Map, NodeRule, Role, Signature, TroubleKind, Type, format_bytes,
};
use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::json;
use std::cmp::Reverse;
use std::time::Duration;

pub(super) struct Choose;

/// A standby that counts.
#[derive(Debug, Clone)]
struct Entry {
    node: NodeName,
    timeline: Timeline,
    at: Lsn,
    backlog: i64,
    priority: i64,
    near: bool,
    allowed: bool,
    /// It received from the old primary, or was frozen: it needs a new upstream.
    direct: bool,
    upstream: Option<NodeName>,
}

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
        let found = join_all(others.iter().map(|node| look(scene, node, &old))).await;
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
        let loss = loss(scene, &old, timeline, best, &entries).await?;
        let source = (chosen.at < best)
            .then(|| entries.iter().find(|e| e.at == best))
            .flatten();
        let followers: Vec<&str> = entries
            .iter()
            .filter(|e| {
                e.node != chosen.node && e.direct && e.upstream.as_ref() != Some(&chosen.node)
            })
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

/// What one standby holds. An error says why it does not count.
async fn look(scene: &Scene<'_>, node: &NodeName, old: &NodeName) -> Result<Entry, Failure> {
    let inventory = scene.inventory();
    let (identity, upstream) =
        tokio::join!(scene.cluster.identify(node), scene.cluster.upstream(node));
    let (identity, upstream) = (identity?, upstream?);
    let upstream = upstream
        .and_then(|(host, port)| inventory.node_at(&host, port))
        .map(|n| n.name.clone());
    let mut server = scene.server(node).await?;
    if !server.in_recovery {
        return Err(Failure::hold(format!(
            "{node} is a primary already (timeline {})",
            identity.timeline
        ))
        .with_help(
            "look at `pgbaton status`; if that promotion was meant, let the others follow it",
        ));
    }
    let receiving = server.receiver_pid.is_some() || server.receiver.is_some();
    if upstream.as_ref() == Some(old) && receiving {
        return Err(Failure::new(
            TroubleKind::Unmet,
            "it is not frozen: it still receives from the old primary",
        ));
    }
    let patience =
        tokio::time::Instant::now() + (scene.time_left() / 2).min(Duration::from_secs(5));
    while !server.drained() && !server.replay_paused && tokio::time::Instant::now() < patience {
        scene.pause(Duration::from_millis(5)).await?;
        server = scene.server(node).await?;
    }
    let replayed = server.replayed.unwrap_or_default();
    let at = if server.drained() {
        server.position().unwrap_or(identity.at)
    } else {
        // Not drained (paused, delayed): what it holds is read from its files.
        scene
            .cluster
            .wal_end(node, identity.timeline, replayed)
            .await?
            .max(replayed)
    };
    let about = inventory.node(node);
    Ok(Entry {
        node: node.clone(),
        timeline: identity.timeline,
        at,
        backlog: at.bytes_since(replayed),
        priority: about.map_or(0, |n| n.priority),
        near: about.map(|n| &n.location) == inventory.node(old).map(|n| &n.location),
        allowed: about.is_some_and(|n| n.promote == PromotePolicy::Allowed),
        direct: upstream.is_none() || upstream.as_ref() == Some(old),
        upstream,
    })
}

/// All that count must lie on one history.
async fn one_history(scene: &Scene<'_>, entries: &[Entry]) -> Result<Timeline, Failure> {
    let newest = entries
        .iter()
        .max_by_key(|e| e.timeline)
        .ok_or_else(|| nobody(&[]))?;
    let older: Vec<&Entry> = entries
        .iter()
        .filter(|e| e.timeline != newest.timeline)
        .collect();
    if older.is_empty() {
        return Ok(newest.timeline);
    }
    let history = scene.cluster.history(&newest.node, newest.timeline).await?;
    for entry in older {
        if history.relate(entry.timeline, entry.at) != crate::cluster::Ancestry::On {
            return Err(Failure::hold(format!(
                "{} (timeline {}) and {} (timeline {}) do not lie on one history: another promotion happened",
                entry.node, entry.timeline, newest.node, newest.timeline
            ))
            .with_help("find out which of them has the data that counts, and rebuild the other"));
        }
    }
    Ok(newest.timeline)
}

/// The highest position; ties by replay backlog (it is downtime), priority, location, name.
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
        return Ok(entry);
    }
    entries
        .iter()
        .filter(|e| e.allowed)
        .min_by_key(|e| {
            (
                Reverse(e.at),
                e.backlog,
                Reverse(e.priority),
                Reverse(e.near),
                e.node.clone(),
            )
        })
        .ok_or_else(|| {
            Failure::refused(
                "no standby may be promoted: those that can be reached have `promote: never`",
            )
        })
}

struct Loss {
    bytes: i64,
    known: bool,
    why: String,
}

/// How much of the old primary's WAL no counted standby holds.
async fn loss(
    scene: &Scene<'_>,
    old: &NodeName,
    timeline: Timeline,
    best: Lsn,
    entries: &[Entry],
) -> Result<Loss, Failure> {
    let remembered = scene.cluster.remembered(old);
    if let Some((last, _)) = remembered.position.as_ref().map(|p| p.value)
        && timeline > last
    {
        return Err(Failure::hold(format!(
            "the standbys are on timeline {timeline}, {old} was last seen on {last}: another promotion happened"
        )));
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
    match scene.cluster.wal_end(old, timeline, best).await {
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

/// Loss is a number that someone agreed to; an unknown one counts as too much.
async fn agree(scene: &Scene<'_>, loss: &Loss) -> Result<(), Failure> {
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
        } else if entry.at < chosen.at {
            format!("it is {} bytes behind", chosen.at.bytes_since(entry.at))
        } else if entry.backlog > chosen.backlog {
            "it has more left to replay".to_owned()
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

    fn entry(name: &str, at: u64, backlog: i64, priority: i64, allowed: bool) -> Entry {
        Entry {
            node: NodeName::parse(name).unwrap(),
            timeline: Timeline(1),
            at: Lsn(at),
            backlog,
            priority,
            near: true,
            allowed,
            direct: true,
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
        let wish = NodeName::parse("a").unwrap();
        assert!(pick(Some(&wish), &[entry("a", 1, 0, 1, false)], &[]).is_err());
    }
}
