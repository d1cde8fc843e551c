//! The switchover's proof: the old primary was shut down cleanly, and the candidate has replayed all of it.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::ControlState;
use crate::engine::{Consequence, Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Role, Signature, TroubleKind, Type};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct VerifyHandover;

#[async_trait]
impl Deed for VerifyHandover {
    fn signature() -> Signature {
        Signature {
            name: "verify_handover",
            summary: "Prove that the candidate has replayed the old primary's shutdown checkpoint.",
            node: NodeRule::Required,
            inputs: vec![Field::required(
                "old_primary",
                Type::Node,
                "the primary that was stopped",
            )],
            outputs: vec![
                Field::required(
                    "checkpoint",
                    Type::Lsn,
                    "where the shutdown checkpoint begins",
                ),
                Field::required(
                    "position",
                    Type::Lsn,
                    "how far the candidate has replayed, strictly beyond it",
                ),
                Field::required("timeline", Type::Integer, "the timeline of both"),
            ],
            effect: Some(EffectClass::Read),
            roles: vec![Role::Verification],
            timeout: Duration::from_secs(30),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("to be compared".to_owned()))
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let (node, old) = (scene.node()?, scene.required_node("old_primary")?);
        let (host, identity) =
            tokio::join!(scene.cluster.host(&old), scene.cluster.identify(&node));
        let (host, identity) = (host?, identity?);
        let control = match host.control {
            Some(control)
                if host.postmaster.is_none() && control.state == ControlState::ShutDown =>
            {
                control
            }
            _ => {
                return Err(Failure::refused(format!(
                    "{old} was not shut down cleanly; a switchover would lose data"
                )));
            }
        };
        // Until then it may come back, go on, and end somewhere else than where it is compared.
        if !host.standby_signal {
            return Err(Failure::refused(format!(
                "nothing keeps {old} from coming back as a primary, so where it ended proves nothing"
            ))
            .with_help(format!(
                "let `verify_handover` need a `fence` on {old} with the proof `stopped`"
            )));
        }
        if identity.system != control.system || identity.timeline != control.timeline {
            return Err(Failure::refused(format!(
                "{node} is on timeline {}, {old} ended on timeline {}",
                identity.timeline, control.timeline
            )));
        }
        // Flushed up to the record's beginning proves nothing: the record itself must have been replayed.
        let position = scene
            .until(|| async {
                let replayed = scene.server(&node).await?.replayed.unwrap_or_default();
                let behind = || {
                    format!(
                        "{node} has replayed up to {replayed}, {old} ended beyond {}",
                        control.checkpoint
                    )
                };
                Ok(if replayed > control.checkpoint {
                    Ok(replayed)
                } else {
                    Err(behind())
                })
            })
            .await
            .map_err(|failure| Failure {
                consequence: Consequence::Refuse,
                kind: TroubleKind::Unmet,
                ..failure
            })?;
        let text = format!(
            "{node} has replayed up to {position}, beyond the shutdown checkpoint at {}",
            control.checkpoint
        );
        scene
            .note(
                "proof",
                text,
                serde_json::json!({ "proof": "handover", "checkpoint": control.checkpoint }),
            )
            .await;
        Ok(outputs([
            ("checkpoint", control.checkpoint.into()),
            ("position", position.into()),
            ("timeline", i64::from(control.timeline.0).into()),
        ]))
    }
}
