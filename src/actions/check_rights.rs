//! May a node's account run what the site file names to stop and start its server? sudo tells it beforehand.

use super::in_force::by_restart;
use super::scene::{Deed, Scene, outputs};
use crate::cluster::{Forbidden, Node, NodeName};
use crate::engine::{Failure, Probe};
use crate::playbook::{EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct CheckRights;

#[async_trait]
impl Deed for CheckRights {
    fn signature() -> Signature {
        Signature {
            name: "check_rights",
            summary: "Check that the account on a node's host may run the commands that the site file names for its server \
                      (`service`, `forbid_return`, `allow_return`). sudo is asked, nothing is run.",
            node: NodeRule::Required,
            inputs: vec![
                Field::optional(
                    "apply",
                    Type::String,
                    "`auto`: only where the server must be restarted to take an upstream; `restart`: it is restarted. Unless given, all commands are asked about",
                )
                .one_of(&["auto", "restart"]),
            ],
            outputs: vec![Field::required(
                "commands",
                Type::Integer,
                "how many commands were asked about",
            )],
            effect: Some(EffectClass::Read),
            roles: vec![],
            timeout: Duration::from_secs(10),
        }
    }

    async fn probe(&self, scene: &Scene<'_>) -> Result<Probe, Failure> {
        let no_need = |why: &str| Ok(Probe::Satisfied(asked(0), why.to_owned()));
        let node = scene.node()?;
        if of_interest(scene, &node).is_empty() {
            return no_need("the site file names no commands for it");
        }
        // A server that does not answer is started, whatever `apply` says.
        if scene.text("apply") == Some("auto")
            && matches!(by_restart(scene, &node).await, Ok(false))
        {
            return no_need("it takes its upstream by a reload");
        }
        Ok(Probe::Needed("to be asked anew".to_owned()))
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let commands = of_interest(scene, &node);
        let mut forbidden = scene.cluster.forbidden(&node).await?;
        forbidden.retain(|f| commands.contains(&f.command));
        if forbidden.is_empty() {
            return Ok(asked(commands.len()));
        }
        Err(refused(&node, &forbidden))
    }
}

fn asked(commands: usize) -> Map {
    outputs([(
        "commands",
        i64::try_from(commands).unwrap_or(i64::MAX).into(),
    )])
}

/// Those that the step is about.
fn of_interest(scene: &Scene<'_>, node: &NodeName) -> Vec<Vec<String>> {
    let about = scene.inventory().node(node);
    let restarts = scene.text("apply").is_some();
    let commands = about.map(|about| {
        if restarts {
            about.service_commands()
        } else {
            Node::commands(about)
        }
    });
    commands.unwrap_or_default()
}

fn refused(node: &NodeName, forbidden: &[Forbidden]) -> Failure {
    let each = |f: &Forbidden| format!("`{}` ({})", f.command.join(" "), f.why);
    let all: Vec<String> = forbidden.iter().map(each).collect();
    let lines: Vec<&str> = forbidden
        .iter()
        .filter_map(|f| f.sudoers.as_deref())
        .collect();
    let help = if lines.is_empty() {
        format!("nothing was changed; see `service` of {node} in the site file")
    } else {
        format!(
            "nothing was changed; sudoers on the host of {node} lacks: {}",
            lines.join("; ")
        )
    };
    Failure {
        // Somebody may mend it meanwhile: the step may retry.
        kind: TroubleKind::Denied,
        ..Failure::refused(format!(
            "the account on the host of {node} may not run {}",
            all.join(", ")
        ))
    }
    .with_help(help)
}
