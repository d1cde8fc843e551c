//! End recovery on the candidate. The durable intent is the point of no return (rule 6).

use super::receives::{Source, source};
use super::scene::{Deed, Scene, outputs};
use crate::cluster::{NodeName, Operation, Server};
use crate::engine::{Consequence, Evidence, Failure, Owed, PAID, Probe};
use crate::playbook::{
    EffectClass, Field, Map, NodeRule, PROOF, Role, Signature, TroubleKind, Type, format_bytes,
};
use async_trait::async_trait;
use futures_util::future::join_all;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct Promote;

#[async_trait]
impl Deed for Promote {
    fn signature() -> Signature {
        Signature {
            name: "promote",
            summary: "Make a standby the primary. From its intent on the run only goes forward.",
            node: NodeRule::Required,
            inputs: vec![
                Field::required(
                    "old_primary",
                    Type::Node,
                    "whom it replaces: nobody may receive from there any more",
                ),
                Field::required("proof", Type::String, "the proof of the fence")
                    .one_of(&["stopped", "starved", "external", "waived"]),
            ],
            outputs: vec![Field::required("node", Type::Node, "the new primary")],
            effect: Some(EffectClass::Once),
            roles: vec![Role::PointOfNoReturn],
            timeout: Duration::from_secs(90),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let node = scene.node()?;
        let old = scene.required_node("old_primary")?;
        let before = !scene.step.effects.point_of_no_return_passed();
        let harmless = harmless(scene, &node, &old);
        let (server, upstream, alone) =
            tokio::join!(scene.server(&node), scene.cluster.upstream(&node), async {
                if before {
                    nobody_receives(scene, &node, &old, harmless).await
                } else {
                    Ok(())
                }
            });
        let server = server?;
        if !server.in_recovery {
            let given = outputs([("node", node.as_str().into())]);
            return Ok(Probe::Satisfied(given, "it has left recovery".to_owned()));
        }
        let receives = server.receiver.is_some() || server.receiver_pid.is_some();
        if receives && !(harmless && asks(scene, &server, upstream.ok().flatten().as_ref(), &old)) {
            return Err(still_receives(&node, &old));
        }
        alone?;
        Ok(Probe::Needed("it is in recovery".to_owned()))
    }

    async fn plan(&self, scene: &Scene<'_>) -> Result<Vec<Operation>, Failure> {
        Ok(vec![Operation::Promote {
            node: scene.node()?,
        }])
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        proven(scene, &node, &scene.required_node("old_primary")?)?;
        let told = scene
            .guard()
            .perform(Operation::Promote { node: node.clone() }, true)
            .await;
        match told {
            // Whether it was heard is for the server to tell, and that takes it a moment.
            Err(doubt) if doubt.kind == TroubleKind::Unknown => {
                scene
                    .note("doubt", doubt.message, serde_json::Value::Null)
                    .await;
            }
            told => drop(told?),
        }
        let began = Instant::now();
        let noted = AtomicBool::new(false);
        // `pg_promote` with its own wait polls every 100 ms; a question of our own costs a fraction of a millisecond.
        scene
            .until(|| async {
                Ok(match scene.cluster.in_recovery(&node).await {
                    Ok(false) => Ok(()),
                    Ok(true) if began.elapsed() < LONG => Err("it is still in recovery".to_owned()),
                    Ok(true) => Err(backlog(scene, &node, &noted).await),
                    Err(trouble) => Err(trouble.to_string()),
                })
            })
            .await
            .map_err(|failure| pending(&node, &failure))?;
        Ok(outputs([("node", node.as_str().into())]))
    }

    async fn verify(&self, scene: &Scene<'_>, given: Map) -> Result<Map, Failure> {
        let node = scene.node()?;
        if scene.cluster.in_recovery(&node).await? {
            return Err(Failure::new(
                TroubleKind::Unmet,
                format!("{node} is in recovery"),
            ));
        }
        // Whatever an earlier run said of it: it is the primary now, and to be stopped by nobody.
        let text = format!("{node} is the primary");
        let stopped = Owed::Stop {
            node: node.to_string(),
        };
        scene.note(PAID, text, stopped.data()).await;
        Ok(given)
    }
}

/// A promotion that takes longer than this waits for something.
const LONG: Duration = Duration::from_secs(1);

/// What a promotion waits for: all that was received is replayed first. Noted once, so that whoever watches knows.
async fn backlog(scene: &Scene<'_>, node: &NodeName, noted: &AtomicBool) -> String {
    let Ok(server) = scene.cluster.server(node).await else {
        return "it is still in recovery, and does not say what it is at".to_owned();
    };
    let (at, replayed) = (server.position(), server.replayed);
    let bytes = at
        .zip(replayed)
        .map_or(0, |(at, replayed)| at.bytes_since(replayed).max(0));
    let text = if bytes > 0 {
        format!(
            "it has {bytes} bytes ({}) still to replay",
            format_bytes(bytes)
        )
    } else {
        "it has replayed all that it received, and is held up by something else: a restore_command that hangs, or its disk"
            .to_owned()
    };
    if !noted.swap(true, Ordering::Relaxed) {
        let said = format!("{node} was told to promote and is not a primary yet: {text}");
        scene
            .note(
                "backlog",
                said,
                serde_json::json!({ "node": node, "bytes": bytes }),
            )
            .await;
    }
    text
}

/// Rule 1 at the last moment, whatever the playbook says: a fence of this run recorded this proof about this node.
fn proven(scene: &Scene<'_>, node: &NodeName, old: &NodeName) -> Result<(), Failure> {
    let given = scene.text(PROOF).unwrap_or_default();
    let says = |evidence: &Evidence, key: &str, wanted: &str| {
        evidence.data.get(key).and_then(|v| v.as_str()) == Some(wanted)
    };
    let recorded = scene.step.effects.noted("proof");
    if recorded
        .iter()
        .any(|e| says(e, "node", old.as_str()) && says(e, "proof", given))
    {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{node} is not promoted: no fence of this run recorded the proof `{given}` about {old}"
    ))
    .with_help(format!(
        "let `promote` need a `fence` on {old}, and give it that step's `proof`"
    )))
}

/// A promotion that was asked for may complete at any time: nobody else may be promoted until it is known.
fn pending(node: &NodeName, failure: &Failure) -> Failure {
    Failure {
        kind: TroubleKind::Unknown,
        message: format!(
            "{node} was told to promote and has not left recovery: {}",
            failure.message
        ),
        help: Some(format!(
            "the promotion may still complete; do not promote another node before {node} is shown to be unable to"
        )),
        consequence: Consequence::Hold,
    }
}

fn still_receives(node: &NodeName, old: &NodeName) -> Failure {
    Failure::new(TroubleKind::Conflict, format!("{node} receives again, perhaps from {old}; nothing is promoted"))
        .with_help("something rewrites its settings; find it (repmgrd, kbha, Patroni, configuration management)")
}

/// Whether a walreceiver may go on asking the old primary: nothing can come from a server that was proved stopped and
/// cannot return as a primary. A standby that nobody froze tries every now and then, and each try is a walreceiver for a
/// moment.
fn harmless(scene: &Scene<'_>, node: &NodeName, old: &NodeName) -> bool {
    scene.text(PROOF) == Some("stopped") && proven(scene, node, old).is_ok()
}

/// Whether a standby's walreceiver asks this node: the one it is connected to, or, while it is not, the one it is set to.
fn asks(
    scene: &Scene<'_>,
    server: &Server,
    setting: Option<&(String, u16)>,
    node: &NodeName,
) -> bool {
    let connected = server.receiver.as_ref().filter(|r| !r.host.is_empty());
    let address = connected.map_or_else(
        || setting.map(|(host, port)| (host.as_str(), *port)),
        |receiver| Some((receiver.host.as_str(), receiver.port)),
    );
    let asked = address.and_then(|(host, port)| scene.inventory().node_at(host, port));
    asked.is_some_and(|asked| asked.name == *node)
}

/// The receivers are looked at once more immediately before the promotion.
async fn nobody_receives(
    scene: &Scene<'_>,
    candidate: &NodeName,
    old: &NodeName,
    harmless: bool,
) -> Result<(), Failure> {
    let others: Vec<&NodeName> = scene
        .inventory()
        .nodes
        .keys()
        .filter(|n| *n != old && *n != candidate)
        .collect();
    let ask = |node| async move {
        let (server, upstream) =
            tokio::join!(scene.cluster.server(node), scene.cluster.upstream(node));
        Some((server.ok()?, upstream.ok().flatten()))
    };
    let limit = Duration::from_secs(2);
    let views = join_all(
        others
            .iter()
            .map(|node| tokio::time::timeout(limit, ask(node))),
    )
    .await;
    for (node, view) in others.iter().zip(views) {
        let Ok(Some((server, upstream))) = view else {
            continue;
        };
        let receives = (server.receiver.is_some() || server.receiver_pid.is_some())
            && !(harmless && asks(scene, &server, upstream.as_ref(), old));
        match source(scene.inventory(), &server, upstream.as_ref()) {
            Source::Node(upstream) if receives && upstream == *old => {
                return Err(still_receives(node, old));
            }
            Source::Perhaps(_) if receives => return Err(still_receives(node, old)),
            _ => {}
        }
        if !server.in_recovery {
            return Err(Failure::hold(format!(
                "{node} is a primary; {candidate} is not promoted besides it"
            )));
        }
    }
    Ok(())
}
