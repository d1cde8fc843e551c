//! May a standby log in to the upstream that it is to have? A wrong password or a missing line of pg_hba.conf shows
//! itself only when the standby has left its old upstream.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{Admission, NodeName};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct CheckLogin;

#[async_trait]
impl Deed for CheckLogin {
    fn signature() -> Signature {
        Signature {
            name: "check_login",
            summary: "Check that a node may log in to an upstream for replication, with the connection string that it is to have.",
            node: NodeRule::Required,
            inputs: vec![Field::required(
                "upstream",
                Type::Node,
                "what it is to log in to",
            )],
            outputs: vec![Field::required(
                "tried",
                Type::Boolean,
                "false: it could not be tried, a note tells why",
            )],
            effect: Some(EffectClass::Read),
            roles: vec![],
            timeout: Duration::from_secs(10),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("to be tried anew".to_owned()))
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let (node, upstream) = (scene.node()?, scene.required_node("upstream")?);
        let tried = match scene.cluster.admission(&node, &upstream).await? {
            Admission::Granted => true,
            Admission::Refused(why) => return Err(refused(&node, &upstream, &why)),
            Admission::Untold(why) => {
                let text = format!("whether {node} may log in to {upstream} was not tried: {why}");
                scene.note("warning", text, serde_json::Value::Null).await;
                false
            }
        };
        Ok(outputs([("tried", tried.into())]))
    }
}

fn refused(node: &NodeName, upstream: &NodeName, why: &str) -> Failure {
    Failure {
        // Somebody may mend it meanwhile: the step may retry.
        kind: TroubleKind::Denied,
        ..Failure::refused(format!("{node} cannot log in to {upstream} for replication: {why}"))
    }
    .with_help(format!(
        "nothing was changed; see pg_hba.conf on {upstream} (a line for `replication`, the user and the address of {node}), the \
         passfile on the host of {node}, and `replication` in the site file"
    ))
}
