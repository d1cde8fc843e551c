//! Real servers behind the port: what can be done. Executes the steps that the dialect makes of an operation.

use super::dialect::{ExecStep, HostStep, SoAlready, SqlStep, Step};
use super::fault::Fault;
use super::live::{LiveCluster, OPEN, OUTRUN, host_trouble, script_trouble};
use super::login::SessionKind;
use super::pool::{Error, REPLY, Warm};
use super::recorded::Asked;
use super::reveal::Revealed;
use super::secret::{Masked, masked};
use super::{literal, scripts, values};
use crate::cluster::{
    Cluster, CustomEffect, HttpRequest, NodeName, Operation, Outcome, Ticket, Trouble, TroubleKind,
};
use crate::transport::{
    Command, Finished, HttpClient, HttpError, HttpSend, Late, Transport, TransportError,
};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The longest that a checkpoint or a statement of the site's is waited for; the caller's own limit comes first.
const LONG: Duration = Duration::from_hours(1);
/// The longest that an HTTP exchange takes.
const HTTP: Duration = Duration::from_secs(30);

#[async_trait]
impl Cluster for LiveCluster {
    async fn perform(&self, operation: &Operation, ticket: Option<&Ticket>) -> Outcome {
        // Before and after: a look meanwhile may have seen what was.
        let waits = operation.changes_waits();
        if let Some(node) = waits {
            self.memory.doubt(node);
        }
        let outcome = self.carry_out(operation, ticket).await;
        if let Some(node) = waits {
            self.memory.doubt(node);
        }
        outcome
    }
}

impl LiveCluster {
    async fn carry_out(&self, operation: &Operation, ticket: Option<&Ticket>) -> Outcome {
        let steps = match self.dialect.steps(&self.inventory, operation) {
            Ok(steps) => steps,
            Err(trouble) => return Outcome::Failed(trouble),
        };
        let mut result = Value::Null;
        for (index, step) in steps.iter().enumerate() {
            let asked = Asked {
                operation,
                ticket,
                part: index,
            };
            match self.step(step, asked).await {
                Outcome::Done(Value::Null) => {}
                Outcome::Done(value) => result = value,
                other => return settled(operation, partly(index, steps.len(), other)),
            }
        }
        Outcome::Done(result)
    }
}

/// What changes nothing is never in doubt: it can be asked again.
fn settled(operation: &Operation, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Unknown(trouble) if operation.effect() == CustomEffect::Read => {
            Outcome::Failed(Trouble {
                kind: TroubleKind::Timeout,
                help: None,
                ..trouble
            })
        }
        other => other,
    }
}

/// A failure after earlier steps is not "it did not happen".
pub(super) fn partly(done: usize, of: usize, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed(trouble) if done > 0 => Outcome::Unknown(Trouble {
            kind: TroubleKind::Unknown,
            message: format!("{done} of {of} parts were done, then: {}", trouble.message),
            ..trouble
        }),
        other => other,
    }
}

/// How a script with an effect ended: its output, or the outcome that there is in its place.
pub(super) fn host_outcome(
    node: &NodeName,
    what: &str,
    pending: &str,
    result: Result<Finished, TransportError>,
) -> Result<Finished, Outcome> {
    match result {
        Ok(finished) if finished.success() => Ok(finished),
        Ok(finished) if finished.status == scripts::PENDING => {
            let complaint = finished.complaint();
            let told = if complaint.is_empty() {
                String::new()
            } else {
                format!(" ({complaint})")
            };
            Err(Outcome::Unknown(Trouble::on(
                TroubleKind::Timeout,
                node,
                format!("{what}: {pending}{told}"),
            )))
        }
        Ok(finished) if finished.status == scripts::HALF => {
            let trouble = script_trouble(node, what, &finished);
            Err(Outcome::Unknown(trouble.with_help(
                "nothing starts the server as it is: do the same again, or let its data be replaced (`-p rebuild=auto`)",
            )))
        }
        // Somebody killed it: what it had done by then is told by nothing that it said.
        Ok(finished) if finished.was_killed() => Err(Outcome::Unknown(
            Trouble::on(
                TroubleKind::Unknown,
                node,
                format!(
                    "{what}: it was killed before its end (exit status {})",
                    finished.status
                ),
            )
            .with_help("look at the node before anything is repeated: it may have happened"),
        )),
        Ok(finished) => Err(Outcome::Failed(script_trouble(node, what, &finished))),
        Err(error @ (TransportError::NotStarted { .. } | TransportError::Refused { .. })) => {
            Err(Outcome::Failed(host_trouble(node, &error)))
        }
        Err(error) => Err(Outcome::Unknown(
            Trouble::on(TroubleKind::Unknown, node, format!("{what}: {error}"))
                .with_help("look at the node before anything is repeated: it may have happened"),
        )),
    }
}

impl LiveCluster {
    async fn step(&self, step: &Step, asked: Asked<'_>) -> Outcome {
        match step {
            Step::Sql(step) => self.sql_step(step).await,
            Step::Host(step) => self.host_step(step, asked).await,
            Step::Edit(step) => self.edit(step).await,
            Step::Save { node, file, owner } => self.save(node, file, owner).await,
            Step::Restore {
                node,
                file,
                settings,
                by_file,
            } => self.restore(node, file, settings, *by_file).await,
            Step::Exec(step) => {
                revealed(async |secrets| self.exec_step(step, asked, secrets).await).await
            }
            Step::SiteSql {
                node,
                dbname,
                statement,
                parameters,
            } => {
                self.site_sql(node, dbname.as_deref(), statement, parameters)
                    .await
            }
            Step::Http(request) => {
                revealed(async |secrets| http_step(request, secrets).await).await
            }
        }
    }

    async fn sql_step(&self, step: &SqlStep) -> Outcome {
        if let Some(setting) = step.only_if_reloadable {
            match self.reloadable(&step.node, setting).await {
                Ok(true) => {}
                Ok(false) => return Outcome::Done(Value::Null),
                Err(trouble) => return Outcome::Failed(trouble),
            }
        }
        if step.long || step.dbname.is_some() {
            return self.statement_apart(step).await;
        }
        let so_already = step.so_already.as_ref();
        match (
            self.tell(&step.node, &step.text, so_already).await,
            step.returns,
        ) {
            (Ok(value), Some(name)) => Outcome::Done(json!({ name: value })),
            (Ok(_), None) => Outcome::Done(Value::Null),
            (Err(outcome), _) => outcome,
        }
    }

    /// Sends statements of ours; the value is the last one's single result.
    pub(super) async fn tell(
        &self,
        node: &NodeName,
        text: &Masked,
        so_already: Option<&SoAlready>,
    ) -> Result<Option<String>, Outcome> {
        if let Err(trouble) = self.node(node) {
            return Err(Outcome::Failed(trouble));
        }
        let answers = match self.pool.tell(node, text.sent()).await {
            Ok(answers) => answers,
            Err(Error::Trouble(trouble)) => return Err(Outcome::Failed(trouble)),
            Err(Error::Fault(fault)) => {
                let found = so_already.filter(|so| fault.code() == Some(so.code));
                return match found.map(|so| &so.proof) {
                    None => Err(told(&fault, node, text)),
                    Some(None) => Ok(None),
                    Some(Some((question, wrong))) => match self.is_true(node, question).await {
                        Ok(true) => Ok(None),
                        Ok(false) => Err(Outcome::Failed(Trouble::on(
                            TroubleKind::Conflict,
                            node,
                            format!("`{}` failed: {wrong}", text.shown()),
                        ))),
                        Err(trouble) => Err(Outcome::Failed(trouble)),
                    },
                };
            }
        };
        let last = answers.last().and_then(|a| a.rows.first());
        Ok(last.and_then(|row| row.first().cloned().flatten()))
    }

    async fn reloadable(&self, node: &NodeName, setting: &str) -> Result<bool, Trouble> {
        let question = format!(
            "SELECT context NOT IN ('postmaster', 'internal') FROM pg_settings WHERE name = {}",
            literal(setting)
        );
        self.is_true(node, &question).await
    }

    async fn is_true(&self, node: &NodeName, question: &str) -> Result<bool, Trouble> {
        let answers = self
            .pool
            .ask(node, Warm::Sql, |_| question.to_owned())
            .await
            .map_err(|error| error.when_asking(node, &format!("`{question}` failed")))?;
        let row = answers.first().and_then(|a| a.rows.first());
        Ok(row.is_some_and(|r| matches!(r.first(), Some(Some(t)) if t == "t" || t == "true")))
    }

    /// In a session of its own: a long one, or one in another database.
    async fn statement_apart(&self, step: &SqlStep) -> Outcome {
        if let Err(trouble) = self.node(&step.node) {
            return Outcome::Failed(trouble);
        }
        let (kind, limit) = match &step.dbname {
            Some(dbname) => (SessionKind::Own(dbname.clone()), REPLY),
            None => (SessionKind::Site(self.inventory.sql.dbname.clone()), LONG),
        };
        let result = match self.pool.open(&step.node, kind, OPEN).await {
            Ok(mut session) => session.simple(step.text.sent(), limit).await,
            Err(Error::Trouble(trouble)) => return Outcome::Failed(trouble),
            Err(Error::Fault(fault)) => Err(fault),
        };
        match result {
            Ok(_) => Outcome::Done(Value::Null),
            Err(fault) => told(&fault, &step.node, &step.text),
        }
    }

    async fn site_sql(
        &self,
        node: &NodeName,
        dbname: Option<&str>,
        statement: &str,
        parameters: &[Option<String>],
    ) -> Outcome {
        let dbname = dbname.unwrap_or(&self.inventory.sql.dbname);
        // A session of its own: whatever the statement sets ends with it.
        let opened = self.pool.open_site(node, dbname, OPEN).await;
        let result = match opened {
            Ok(mut session) => session.extended(statement, parameters, LONG).await,
            Err(Error::Trouble(trouble)) => return Outcome::Failed(trouble),
            Err(Error::Fault(fault)) => Err(fault),
        };
        match result {
            Ok(answer) => Outcome::Done(values::to_json(&answer)),
            // The server repeats a value that it cannot read; it may be a secret.
            Err(fault) => fault
                .without(parameters)
                .when_doing(node, "the statement failed"),
        }
    }

    async fn host_step(&self, step: &HostStep, asked: Asked<'_>) -> Outcome {
        let (node, way) = match self
            .node(&step.node)
            .and_then(|n| Ok((n, self.way(&step.node)?)))
        {
            Ok(found) => found,
            Err(trouble) => return Outcome::Failed(trouble),
        };
        let what = "failed on its host";
        let result = match self.host_result(node, way, step, asked).await {
            Ok(result) => result,
            Err(trouble) => return Outcome::Failed(trouble),
        };
        match host_outcome(&step.node, what, &step.pending, result) {
            Ok(finished) => match step.returns {
                Some(name) => Outcome::Done(json!({ name: finished.out().trim() })),
                None => Outcome::Done(Value::Null),
            },
            Err(outcome) => outcome,
        }
    }

    async fn exec_step(
        &self,
        step: &ExecStep,
        asked: Asked<'_>,
        secrets: &mut Revealed,
    ) -> Result<Outcome, Trouble> {
        let way: &Arc<dyn Transport> = match &step.node {
            None => &self.runner,
            Some(node) => match self.node(node).and_then(|_| self.way(node)) {
                Ok(way) => way,
                Err(trouble) => return Err(trouble),
            },
        };
        let env = secrets.map(&step.env).await?;
        let stdin = match &step.stdin {
            Some(stdin) => secrets.text(stdin).await?,
            None => String::new(),
        };
        let given: Vec<String> = env.values().chain([&stdin]).cloned().collect();
        let command = Command::new(&step.argv, step.deadline)
            .with_env(env)
            .with_stdin(stdin);
        let program = step.argv.first().map_or("", String::as_str);
        let place = match &step.node {
            Some(_) => "on its host",
            None => "here",
        };
        let trouble = |kind, message| Trouble {
            kind,
            node: step.node.clone(),
            message,
            help: None,
        };
        let result = match self.recorded(asked, Late::End)? {
            Some(recorded) => recorded.run(way, command).await,
            None => way.run(command).await,
        };
        Ok(match result {
            Ok(finished) if finished.success() && !step.returns => Outcome::Done(Value::Null),
            Ok(finished) if finished.success() => Outcome::Done(json!({
                "status": finished.status,
                "stdout": finished.out(),
                "stderr": String::from_utf8_lossy(&finished.stderr),
                "truncated": finished.truncated,
            })),
            Ok(finished) => {
                // It may repeat what it was given.
                let complaint = masked(finished.complaint(), given.iter().map(String::as_str));
                Outcome::Failed(trouble(
                    TroubleKind::Failed,
                    format!(
                        "`{program}` {place} exited with {}: {complaint}",
                        finished.status
                    ),
                ))
            }
            Err(error @ TransportError::NotStarted { .. }) => Outcome::Failed(trouble(
                TroubleKind::Unreachable,
                format!("`{program}` was not started {place}: {error}"),
            )),
            Err(error @ TransportError::Refused { .. }) => Outcome::Failed(
                trouble(
                    TroubleKind::Denied,
                    format!("`{program}` was not started {place}: {error}"),
                )
                .with_help(OUTRUN),
            ),
            Err(error) => Outcome::Unknown(
                trouble(
                    TroubleKind::Unknown,
                    format!("`{program}` was started {place}: {error}"),
                )
                .with_help("look at what it did before it is run again"),
            ),
        })
    }
}

/// Does something that may be given secrets; its outcome is without them.
async fn revealed(work: impl AsyncFnOnce(&mut Revealed) -> Result<Outcome, Trouble>) -> Outcome {
    let mut secrets = Revealed::default();
    let outcome = work(&mut secrets).await.unwrap_or_else(Outcome::Failed);
    secrets.concealed(outcome)
}

/// The fault of a statement of ours; without the server's words where those could repeat a secret.
fn told(fault: &Fault, node: &NodeName, text: &Masked) -> Outcome {
    let what = format!("`{}` failed", text.shown());
    if text.sent() == text.shown() {
        fault.when_doing(node, &what)
    } else {
        fault.clone().without_words().when_doing(node, &what)
    }
}

async fn http_step(request: &HttpRequest, secrets: &mut Revealed) -> Result<Outcome, Trouble> {
    let body = match &request.body {
        Some(body) => Some(secrets.text(body).await?.into()),
        None => None,
    };
    let send = HttpSend {
        method: request.method.clone(),
        url: secrets.text(&request.url).await?,
        headers: secrets.map(&request.headers).await?,
        body,
        deadline: HTTP,
    };
    Ok(match HttpClient.send(send).await {
        Ok(answer) => Outcome::Done(json!({ "status": answer.status, "body": answer.body })),
        Err(error @ HttpError::Invalid(_)) => {
            Outcome::Failed(Trouble::here(TroubleKind::Failed, error.to_string()))
        }
        Err(error @ HttpError::NotSent(_)) => {
            Outcome::Failed(Trouble::here(TroubleKind::Unreachable, error.to_string()))
        }
        Err(error @ HttpError::Lost(_)) => {
            Outcome::Unknown(Trouble::here(TroubleKind::Unknown, error.to_string()))
        }
    })
}
