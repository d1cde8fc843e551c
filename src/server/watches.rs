//! The watch over a cluster: what it makes of what it sees, what it did about it, and holding it back.

use super::body;
use super::guard::{About, Caller};
use super::kinds::Kind;
use super::problem::Problem;
use super::read::{Named, NamedTwo, json};
use super::state::Api;
use super::{ask, shapes};
use crate::document::parse_duration;
use crate::trigger;
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How many incidents are told.
const INCIDENTS: usize = 50;

/// What was made of losses of a primary, newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Incidents {
    /// They.
    incidents: Vec<Incident>,
}

/// What was made of a loss.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Incident {
    /// When: RFC 3339, UTC.
    at: String,
    /// What was found, what was done or held back, and what it rests on.
    #[schemars(with = "shapes::Notice")]
    notice: serde_json::Value,
}

/// For how long, and why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Hold {
    /// For so long from now on: `90s`, `2h`.
    #[serde(rename = "for")]
    lasts: String,
    /// Why.
    reason: String,
}

/// A pause.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Held {
    /// The cluster.
    cluster: String,
    /// The pause, or the one that has been ended; null where there was none.
    #[schemars(with = "Option<shapes::Pause>")]
    pause: Option<trigger::Pause>,
}

/// What was found.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Acknowledgement {
    /// What was found; kept with who and when.
    reason: String,
}

pub(super) async fn analysis(
    State(api): State<Arc<Api>>,
    Named(name): Named,
) -> Result<Response, Problem> {
    api.cluster(&name)?;
    let state = api.watches.state(&name);
    Ok(json(&state.unwrap_or_default()))
}

pub(super) async fn incidents(
    State(api): State<Arc<Api>>,
    Named(name): Named,
) -> Result<Response, Problem> {
    api.cluster(&name)?;
    let kept = trigger::incidents(&api.records, Some(&name), INCIDENTS).await?;
    let incidents = kept.into_iter().map(|note| Incident {
        at: note.at.to_string(),
        notice: note.body,
    });
    Ok(json(&Incidents {
        incidents: incidents.collect(),
    }))
}

pub(super) async fn incident_plan(
    State(api): State<Arc<Api>>,
    NamedTwo(name, incident): NamedTwo,
) -> Result<Response, Problem> {
    api.cluster(&name)?;
    let plan = trigger::incident_plan(&api.records, &name, &incident).await?;
    let Some(plan) = plan else {
        let why = format!("no plan is kept for the incident `{incident}` of {name}");
        return Err(Problem::new(Kind::NotFound, why)
            .next("GET /v1/clusters/{cluster}/incidents names those that have one: `foretold`"));
    };
    Ok(json(&plan))
}

pub(super) async fn pause(
    State(api): State<Arc<Api>>,
    Named(name): Named,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    api.cluster(&name)?;
    let hold: Hold = body::read(request).await?;
    ask::is_told(&hold.reason)?;
    let lasts = parse_duration(&hold.lasts).ok_or_else(|| {
        let why = "`for` must be a time with its unit, such as `90s` or `2h`";
        Problem::new(Kind::InvalidRequest, why)
    })?;
    let by = ask::by(&caller);
    let pause = trigger::pause(&api.records, &name, &by, &hold.reason, lasts).await?;
    Ok(json(&Held {
        cluster: name,
        pause: Some(pause),
    }))
}

pub(super) async fn unpause(
    State(api): State<Arc<Api>>,
    Named(name): Named,
) -> Result<Response, Problem> {
    api.cluster(&name)?;
    let pause = trigger::unpause(&api.records, &name).await?;
    Ok(json(&Held {
        cluster: name,
        pause,
    }))
}

pub(super) async fn acknowledge(
    State(api): State<Arc<Api>>,
    Named(id): Named,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let given: Acknowledgement = body::read(request).await?;
    ask::is_told(&given.reason)?;
    let found = api.records.find(&id).await?;
    let by = ask::by(&caller);
    trigger::acknowledge(&api.records, &found.cluster, &found.run, &by, &given.reason).await?;
    let mut response = json(&ask::Heard::by(found.run.clone()));
    response.extensions_mut().insert(About(found.run));
    Ok(response)
}
