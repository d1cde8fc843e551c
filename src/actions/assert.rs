//! A condition that must hold for the run to go on.

use super::scene::{Deed, Scene};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct Assert;

#[async_trait]
impl Deed for Assert {
    fn signature() -> Signature {
        Signature {
            name: "assert",
            summary: "Go on only when a condition holds; otherwise refuse.",
            node: NodeRule::Refused,
            inputs: vec![
                Field::required("that", Type::Boolean, "the condition, an expression"),
                Field::optional("message", Type::String, "what to say when it does not hold"),
            ],
            outputs: vec![],
            effect: Some(EffectClass::Read),
            roles: vec![],
            timeout: Duration::from_secs(5),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        if scene.flag("that") {
            return Ok(Probe::Satisfied(Map::new(), "it holds".to_owned()));
        }
        let message = scene
            .text("message")
            .unwrap_or("the condition does not hold");
        Err(Failure {
            kind: TroubleKind::Denied,
            ..Failure::refused(message)
        })
    }

    async fn apply(&self, _scene: &Scene<'_>) -> Result<Map, Failure> {
        Ok(Map::new())
    }
}
