//! Would archiving hold up a shutdown? A server that shuts down archives everything that waits first.

use super::scene::{Deed, Scene, outputs};
use crate::cluster::{Archiving, NodeName};
use crate::engine::{Failure, Probe};
use crate::playbook::{
    EffectClass, Field, Map, NodeRule, Signature, TroubleKind, Type, Value, format_duration,
};
use async_trait::async_trait;
use std::time::Duration;

pub(super) struct CheckArchiving;

/// How long a file may wait for the archive unless the step says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

#[async_trait]
impl Deed for CheckArchiving {
    fn signature() -> Signature {
        Signature {
            name: "check_archiving",
            summary: "Check that archiving does not hold up a shutdown: it does not fail, and no file has waited for long.",
            node: NodeRule::Required,
            inputs: vec![Field::optional(
                "within",
                Type::Duration,
                "how long a file may have waited; 10s",
            )],
            outputs: vec![Field::required(
                "waiting",
                Type::Integer,
                "files that wait to be archived",
            )],
            effect: Some(EffectClass::Read),
            roles: vec![],
            timeout: Duration::from_secs(10),
        }
    }

    async fn probe(&self, _scene: &Scene<'_>) -> Result<Probe, Failure> {
        Ok(Probe::Needed("to be looked at anew".to_owned()))
    }

    async fn apply(&self, scene: &Scene<'_>) -> Result<Map, Failure> {
        let node = scene.node()?;
        let within = match scene.step.inputs.get("within") {
            Value::Duration(within) => *within,
            _ => PATIENCE,
        };
        let archiving = scene.cluster.archiving(&node).await?;
        match trouble(&node, &archiving, within) {
            None => Ok(outputs([(
                "waiting",
                i64::from(archiving.waiting).into(),
            )])),
            Some(message) => Err(Failure {
                // What fails may work at the next attempt: the step may retry.
                kind: TroubleKind::Unmet,
                ..Failure::refused(message)
            }
            .with_help(format!(
                "nothing was stopped; see pg_stat_archiver and the log of {node}, and mend its archive_command"
            ))),
        }
    }
}

/// Why a shutdown would have to wait; none when it would not.
fn trouble(node: &NodeName, archiving: &Archiving, within: Duration) -> Option<String> {
    let waiting = archiving.waiting;
    if !archiving.active || waiting == 0 {
        return None;
    }
    let age = Duration::from_secs(u64::try_from(archiving.oldest_s.unwrap_or(0)).unwrap_or(0));
    let held = format!(
        "a shutdown of {node} would wait for its archive: {waiting} WAL files are to be archived"
    );
    if archiving.failing {
        Some(format!("{held}, and the last attempt failed"))
    } else if age > within {
        Some(format!(
            "{held}, the oldest for {} (allowed: {})",
            format_duration(age),
            format_duration(within)
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shutdown_waits_for_what_fails_and_for_what_is_old() {
        let node = NodeName::parse("n1").unwrap();
        for (active, waiting, oldest, failing, held) in [
            (true, 0, None, true, false),
            (true, 1, Some(1), false, false),
            (true, 1, Some(11), false, true),
            (true, 1, Some(1), true, true),
            (false, 9, Some(99), true, false),
        ] {
            let seen = Archiving {
                active,
                waiting,
                oldest_s: oldest,
                failing,
            };
            let found = trouble(&node, &seen, PATIENCE);
            assert_eq!(found.is_some(), held, "{seen:?}: {found:?}");
        }
    }
}
