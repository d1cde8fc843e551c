//! The one way from an action to an effect: check, intent, effect, outcome.

use crate::cluster::{Cluster, CustomEffect, Operation, Outcome, Rendered, Ticket};
use crate::engine::{Before, EffectOutcome, Failure, Forecast, StepContext};

/// Stands between an action and the cluster. An effect happens only after its intent is durable (rule 7), and the
/// engine grants the intent only while the lease is held (rule 8) and the run's state allows it (rule 6).
pub(super) struct Guard<'a> {
    pub(super) cluster: &'a dyn Cluster,
    pub(super) step: &'a StepContext,
}

impl Guard<'_> {
    /// What an operation would look like.
    pub(super) fn forecast(&self, operation: &Operation) -> Forecast {
        let rendered = self
            .cluster
            .renderer()
            .render(self.cluster.inventory(), operation);
        Forecast {
            summary: summary(operation),
            rendered: rendered.iter().map(line).collect(),
            operation: serde_json::to_value(operation).unwrap_or_default(),
        }
    }

    /// Does it. Reads need no intent.
    pub(super) async fn perform(
        &self,
        operation: Operation,
        point_of_no_return: bool,
    ) -> Result<serde_json::Value, Failure> {
        if operation.effect() == CustomEffect::Read {
            return match self.cluster.perform(&operation, None).await {
                Outcome::Done(value) => Ok(value),
                Outcome::Failed(trouble) | Outcome::Unknown(trouble) => Err(trouble.into()),
            };
        }
        let path = &self.step.path;
        let effects = &self.step.effects;
        let intent = effects
            .intend(path, self.forecast(&operation), point_of_no_return)
            .await?;
        let effect = intent.effect;
        let again = intent.before == Before::Intended;
        match intent.before {
            Before::Done(value) => return Ok(value),
            Before::Intended if is_only_once(&operation) => {
                let failure = nobody_knows(&operation);
                let outcome = EffectOutcome::Unknown(failure.clone());
                effects.settle(path, effect, outcome).await;
                return Err(failure);
            }
            Before::Nothing | Before::Intended => {}
        }
        let ticket = Ticket {
            run: self.step.run.to_string(),
            effect,
            token: effects.token(),
            again,
        };
        match self.cluster.perform(&operation, Some(&ticket)).await {
            Outcome::Done(value) => {
                effects
                    .settle(path, effect, EffectOutcome::Done(value.clone()))
                    .await;
                Ok(value)
            }
            Outcome::Failed(trouble) => {
                let failure = Failure::from(trouble);
                let outcome = if ran(&operation, &failure) {
                    EffectOutcome::Unknown(failure.clone())
                } else {
                    EffectOutcome::Failed(failure.clone())
                };
                effects.settle(path, effect, outcome).await;
                Err(failure)
            }
            Outcome::Unknown(trouble) => {
                let mut failure = Failure::from(trouble);
                failure.kind = crate::playbook::TroubleKind::Unknown;
                effects
                    .settle(path, effect, EffectOutcome::Unknown(failure.clone()))
                    .await;
                Err(failure)
            }
        }
    }
}

/// Whether a second time would be one too many. A promotion that is asked for twice is one promotion: the step probes
/// first, and another node is never asked. Of a program its host keeps a record, so that the same call twice runs it once.
fn is_only_once(operation: &Operation) -> bool {
    let known = matches!(
        operation,
        Operation::Promote { .. } | Operation::Exec { .. }
    );
    operation.effect() == CustomEffect::Once && !known
}

/// It was begun by a runner that died, must not be done twice, and nothing tells whether it was done.
fn nobody_knows(operation: &Operation) -> Failure {
    let mut failure = Failure::hold(format!(
        "the runner died when it was to {}: nobody can tell whether that happened, and it must not happen twice",
        summary(operation)
    ));
    failure.kind = crate::playbook::TroubleKind::Unknown;
    failure.with_help("find out whether it happened, then finish by hand")
}

/// A program that ran and said that it failed. Nobody can tell what it did until then, so its undo is not left out.
fn ran(operation: &Operation, failure: &Failure) -> bool {
    matches!(operation, Operation::Exec { .. })
        && failure.kind == crate::playbook::TroubleKind::Failed
}

fn line(rendered: &Rendered) -> String {
    match rendered {
        Rendered::Sql { node, shown } => format!("{node}: {shown}"),
        Rendered::Command {
            node: Some(node),
            shown,
        } => format!("{node}$ {shown}"),
        Rendered::Command { node: None, shown } => format!("$ {shown}"),
        Rendered::File { node, path, shown } => format!("{node}:{path}: {shown}"),
        Rendered::Http { shown } => shown.clone(),
    }
}

/// One line for people.
fn summary(operation: &Operation) -> String {
    use crate::cluster::ExecPlace;
    match operation {
        Operation::Promote { node } => format!("promote {node}"),
        Operation::CreateSlot { node, slot } => format!("create slot {slot} on {node}"),
        Operation::DropSlot { node, slot } => format!("drop slot {slot} on {node}"),
        Operation::SaveSettings { node, .. } => format!("keep the replication settings of {node}"),
        Operation::RestoreSettings {
            node,
            archive_only: true,
            ..
        } => format!("put back the archive settings of {node}"),
        Operation::RestoreSettings { node, .. } => {
            format!("put back the replication settings of {node}")
        }
        Operation::ForgetSettings { node, .. } => format!("remove the kept settings of {node}"),
        Operation::Freeze { node, .. } => format!("stop {node} from receiving"),
        Operation::EndReceiver { node, pid } => format!("end walreceiver {pid} of {node}"),
        Operation::SetUpstream { node, upstream, .. } => format!("point {node} at {upstream}"),
        Operation::Reload { node } => format!("reload {node}"),
        Operation::Stop { node, mode, .. } => {
            format!("stop {node} ({})", format!("{mode:?}").to_lowercase())
        }
        Operation::Start { node, .. } => format!("start {node}"),
        Operation::EndOrphans { node, pids } => {
            format!("end {} orphaned processes of {node}", pids.len())
        }
        Operation::ForbidReturn { node } => format!("keep {node} from coming back as a primary"),
        Operation::AllowReturn { node } => format!("let {node} be a primary again"),
        Operation::Rewind { node, upstream, .. } => format!("rewind {node} to {upstream}"),
        Operation::Clone { node, upstream, .. } => {
            format!("replace the data of {node} by a copy of {upstream}")
        }
        Operation::SetSynchronous {
            node,
            names: Some(names),
            ..
        } => format!("make commits on {node} wait for {names}"),
        Operation::SetSynchronous {
            node, names: None, ..
        } => format!("make commits on {node} wait for nobody"),
        Operation::RestoreSynchronous { node, .. } => {
            format!("put back synchronous_standby_names of {node}")
        }
        Operation::SetSynchronizedSlots { node, .. } => {
            format!("set what the subscribers of {node} wait for")
        }
        Operation::Checkpoint { node } => format!("checkpoint {node}"),
        Operation::Mark { node } => format!("write a mark on {node}"),
        Operation::PauseRepmgrd { node, paused: true } => format!("pause repmgrd of {node}"),
        Operation::PauseRepmgrd { node, .. } => format!("let repmgrd of {node} act again"),
        Operation::UpdateRepmgr { node, rows, .. } => {
            format!(
                "change {} rows of repmgr's table of nodes on {node}",
                rows.len()
            )
        }
        Operation::Exec {
            place: ExecPlace::Node(node),
            argv,
            ..
        } => {
            format!(
                "run {} on {node}",
                argv.first().map_or("nothing", String::as_str)
            )
        }
        Operation::Exec { argv, .. } => {
            format!("run {}", argv.first().map_or("nothing", String::as_str))
        }
        Operation::Sql { node, .. } => format!("execute a statement on {node}"),
        Operation::Http { request, .. } => {
            let url = request
                .url
                .plain()
                .map_or_else(|| "a secret URL".to_owned(), host_of);
            format!("{} {url}", request.method)
        }
    }
}

/// The part of a URL that can hold no secret: scheme, host and port.
fn host_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_be_secret() {
        assert_eq!(
            host_of("https://user:hunter2@hooks.example.com:8443/T0/secret?x=1"),
            "https://hooks.example.com:8443"
        );
    }
}
