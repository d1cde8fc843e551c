//! Writing to a run that is under way: approve, deny, cancel.

use super::body;
use super::guard::{About, Caller};
use super::kinds::Kind;
use super::problem::Problem;
use super::read::{Named, json};
use super::state::Api;
use crate::engine::{Ask, RunId};
use crate::runs::Answer;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A decision about a step that asks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Decision {
    /// Why; recorded with the decision.
    reason: String,
    /// The step's path; may be left out where one step asks.
    step: Option<String>,
}

/// A cancellation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancellation {
    /// Why; recorded with the cancellation.
    reason: String,
}

/// What the run made of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Heard {
    /// The run.
    #[schemars(with = "String")]
    run: RunId,
    /// It is done; null (status 202) where the run has not answered: it may yet.
    accepted: Option<bool>,
}

pub(super) async fn approve(
    State(api): State<Arc<Api>>,
    Named(id): Named,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    decide(&api, &id, &caller, request, |step| Ask::Approve { step }).await
}

pub(super) async fn deny(
    State(api): State<Arc<Api>>,
    Named(id): Named,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    decide(&api, &id, &caller, request, |step| Ask::Deny { step }).await
}

pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Named(id): Named,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let cancellation: Cancellation = body::read(request).await?;
    is_told(&cancellation.reason)?;
    let run = api.records.find(&id).await?.run;
    ask(&api, run, &caller, Ask::Cancel, &cancellation.reason).await
}

impl Heard {
    /// It is done.
    pub(super) fn by(run: RunId) -> Self {
        Self {
            run,
            accepted: Some(true),
        }
    }
}

/// Who asks, as it is kept.
pub(super) fn by(caller: &Caller) -> String {
    format!("{} (token, from {})", caller.name, caller.from)
}

/// A line, for it is kept and shown.
pub(super) fn is_told(reason: &str) -> Result<(), Problem> {
    if reason.trim().is_empty() || reason.chars().any(char::is_control) {
        let why = "`reason` must be a line of text: it is kept with the run";
        return Err(Problem::new(Kind::InvalidRequest, why));
    }
    Ok(())
}

async fn decide(
    api: &Api,
    id: &str,
    caller: &Caller,
    request: Request,
    as_ask: impl FnOnce(String) -> Ask,
) -> Result<Response, Problem> {
    let decision: Decision = body::read(request).await?;
    is_told(&decision.reason)?;
    let run = api.records.find(id).await?.run;
    let step = match decision.step {
        Some(step) => step,
        None => only_one(api, &run).await?,
    };
    ask(api, run, caller, as_ask(step), &decision.reason).await
}

/// The step that asks, where it is one.
async fn only_one(api: &Api, run: &RunId) -> Result<String, Problem> {
    let mut asking = api.records.asking(run).await?;
    match asking.as_slice() {
        [_] => Ok(asking.remove(0)),
        [] => Err(
            Problem::new(Kind::NobodyAsks, format!("no step of run {run} asks")).about(run.clone()),
        ),
        several => {
            let why = format!("these ask: {}", several.join(", "));
            Err(Problem::new(Kind::SeveralAsk, why).about(run.clone()))
        }
    }
}

async fn ask(
    api: &Api,
    run: RunId,
    caller: &Caller,
    ask: Ask,
    reason: &str,
) -> Result<Response, Problem> {
    let answer = api.records.ask_as(by(caller), &run, ask, reason).await;
    let answer = answer.map_err(|error| Problem::from(error).about(run.clone()))?;
    let accepted = match answer {
        Answer::Accepted => Some(true),
        Answer::Refused(why) => return Err(Problem::new(Kind::RunRefuses, why).about(run)),
        Answer::None => None,
    };
    let mut response = json(&Heard {
        run: run.clone(),
        accepted,
    });
    if accepted.is_none() {
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    response.extensions_mut().insert(About(run));
    Ok(response)
}
