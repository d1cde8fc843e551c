//! Wait for a while.

use super::scene::{Deed, Scene};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, Type, Value};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct Wait;

#[async_trait]
impl Deed for Wait {
    fn signature() -> Signature {
        Signature {
            name: "wait",
            summary: "Wait for a while. Ends at once on cancel; the step's timeout must be longer.",
            node: NodeRule::Refused,
            inputs: vec![Field::required("for", Type::Duration, "how long")],
            outputs: vec![],
            effect: Some(EffectClass::Read),
            roles: vec![],
            timeout: Duration::from_mins(5),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("it waits".to_owned()))
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        if let Value::Duration(duration) = scene.step.inputs.get("for") {
            scene.pause(*duration).await?;
        }
        Ok(Map::new())
    }
}
