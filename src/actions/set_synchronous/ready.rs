//! Who can acknowledge commits: by what the primary says of its senders, or by a mark that arrives.

use super::super::scene::Scene;
use super::super::verify_primary::mark_of;
use super::standbys;
use crate::cluster::{Lsn, NodeName, Operation, Sender, Setting};
use crate::engine::Failure;
use crate::playbook::{TroubleKind, Value};
use std::time::Duration;
use tokio::time::Instant;

/// For how long a mark is waited for; none where no mark is asked for.
pub(super) fn by_mark(scene: &Scene<'_>) -> Option<Duration> {
    match scene.step.inputs.get("within") {
        Value::Duration(within) if scene.flag("attached") => Some(*within),
        _ => None,
    }
}

/// The standbys that stream, where the step asks for that.
pub(super) async fn streaming(scene: &Scene<'_>) -> Result<Option<Vec<NodeName>>, Failure> {
    if !scene.flag("attached") || !scene.inventory().synchronous.is_managed() {
        return Ok(None);
    }
    let senders = scene.cluster.senders(&scene.node()?).await?;
    let mut standbys = standbys(scene)?;
    standbys.retain(|n| {
        senders
            .iter()
            .any(|s| s.application == n.as_str() && streams(s))
    });
    Ok(Some(standbys))
}

/// All that stream, whatever they are.
pub(super) async fn all_streaming(scene: &Scene<'_>) -> Result<Vec<String>, Failure> {
    let senders = scene.cluster.senders(&scene.node()?).await?;
    let streaming = senders.into_iter().filter(streams);
    Ok(streaming.map(|s| s.application).collect())
}

fn streams(sender: &Sender) -> bool {
    sender.state == "streaming"
}

/// The standbys that have a mark, written now, on their disks in time. One that is dead may be shown as streaming for as
/// long as its sender waits for it, a minute by default.
pub(super) async fn acknowledging(
    scene: &Scene<'_>,
    within: Duration,
) -> Result<Option<Vec<NodeName>>, Failure> {
    let Some(streaming) = streaming(scene).await? else {
        return Ok(None);
    };
    let node = scene.node()?;
    let mark = scene
        .perform(Operation::Mark { node: node.clone() })
        .await?;
    let mark = mark_of(&mark)?;
    let end = Instant::now() + within;
    loop {
        let senders = scene.cluster.senders(&node).await?;
        let mut ready = streaming.clone();
        ready.retain(|n| has(&senders, n.as_str(), mark));
        if ready.len() == streaming.len() || Instant::now() >= end {
            let silent: Vec<&str> = streaming
                .iter()
                .filter(|n| !ready.contains(n))
                .map(NodeName::as_str)
                .collect();
            if !silent.is_empty() {
                let text = format!(
                    "{} has no mark of {node} on its disk after {within:?}, though it is said to stream: it does not count",
                    silent.join(", ")
                );
                let data = serde_json::json!({ "node": node, "silent": silent });
                scene.note("warning", text, data).await;
            }
            return Ok(Some(ready));
        }
        scene.pause(Duration::from_millis(10)).await?;
    }
}

fn has(senders: &[Sender], application: &str, position: Lsn) -> bool {
    senders.iter().any(|s| {
        s.application.eq_ignore_ascii_case(application)
            && streams(s)
            && s.flushed.is_some_and(|flushed| flushed >= position)
    })
}

/// Waits until that many of these standbys have on their disks all that is written by now. Where they do not get there in
/// half of the time that is left, the former value is put back: commits would wait for them as well.
pub(super) async fn caught_up(
    scene: &Scene<'_>,
    names: &[String],
    acks: u32,
    former: &Setting,
) -> Result<(), Failure> {
    let node = scene.node()?;
    let written = scene.server(&node).await?.written.unwrap_or_default();
    let waited = scene
        .until_within(scene.time_left() / 2, || async {
            let senders = scene.cluster.senders(&node).await?;
            let there = names.iter().filter(|n| has(&senders, n, written)).count();
            Ok(if there >= acks as usize {
                Ok(())
            } else {
                Err(format!(
                    "{there} of {} have what is written up to {written}, {acks} are needed",
                    names.join(", ")
                ))
            })
        })
        .await;
    let Err(failure) = waited else {
        return Ok(());
    };
    scene
        .perform(Operation::RestoreSynchronous {
            node: node.clone(),
            text: former.by_alter_system.then(|| former.value.clone()),
        })
        .await?;
    Err(Failure::new(
        TroubleKind::Timeout,
        format!(
            "synchronous_standby_names of {node} is `{}` again: {}",
            former.value, failure.message
        ),
    )
    .with_help(
        "look at `pgbaton status`; a standby that is gone is left out by `pgbaton run synchronous`",
    ))
}
