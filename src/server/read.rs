//! Looking: clusters and runs.

use super::kinds::Kind;
use super::problem::Problem;
use super::state::Api;
use crate::cluster::Product;
use crate::journal::{Filter, Which};
use crate::runs::{Health, RunLine};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How many runs are listed unless told otherwise.
const SOME: u32 = 20;

/// How many at most.
const MOST: u32 = 1000;

/// An answer in JSON.
pub(super) fn json(value: &impl Serialize) -> Response {
    let body = serde_json::to_string(value).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The one parameter of a path.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name: Result<Path<String>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        let Path(name) =
            name.map_err(|error| Problem::new(Kind::BadRequest, format!("the path: {error}")))?;
        Ok(Self(name))
    }
}

/// The two parameters of a path.
pub(super) struct NamedTwo(pub(super) String, pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for NamedTwo {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let names: Result<Path<(String, String)>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        let Path((first, second)) =
            names.map_err(|error| Problem::new(Kind::BadRequest, format!("the path: {error}")))?;
        Ok(Self(first, second))
    }
}

/// The server answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Alive {
    /// `ok`.
    status: &'static str,
}

pub(super) async fn health(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    // What is wrong with it is in the log: whoever asks here has not said who they are.
    if api.tally.journal() == Some(false) {
        let why = "no run can be started or gone on with; the clusters are watched all the same";
        return Err(Problem::new(Kind::JournalUnavailable, why));
    }
    Ok(json(&Alive { status: "ok" }))
}

/// The clusters that are served.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Clusters {
    /// In the order of their names.
    clusters: Vec<ClusterLine>,
}

/// A cluster in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ClusterLine {
    /// Its name.
    cluster: String,
    /// `postgresql` or `kingbase`.
    product: &'static str,
    /// The names of its nodes.
    nodes: Vec<String>,
    /// What it came to when it was last looked at: `ok`, `degraded` or `no_primary`.
    health: Option<&'static str>,
    /// When that was: RFC 3339, UTC.
    seen: Option<String>,
}

pub(super) async fn clusters(State(api): State<Arc<Api>>) -> Response {
    let lines = api.clusters.iter().map(|(name, watch)| {
        let inventory = watch.world.inventory();
        let table = watch.table();
        ClusterLine {
            cluster: name.clone(),
            product: match inventory.product {
                Product::Postgresql => "postgresql",
                Product::Kingbase => "kingbase",
            },
            nodes: inventory.nodes.keys().map(ToString::to_string).collect(),
            health: table
                .as_ref()
                .map(|table| Health::of(&table.topology).as_str()),
            seen: table.map(|table| table.at.to_string()),
        }
    });
    json(&Clusters {
        clusters: lines.collect(),
    })
}

pub(super) async fn cluster(
    State(api): State<Arc<Api>>,
    Named(name): Named,
) -> Result<Response, Problem> {
    let glance = api.cluster(&name)?.glance().await;
    Ok(json(&glance.to_json()))
}

/// Which runs are wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Only those of this cluster.
    cluster: Option<String>,
    /// Only those that have not ended: under way, or cut off.
    #[serde(default)]
    unended: bool,
    /// No more than this; 20 unless given, 1000 at most.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

/// Runs, newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Runs {
    /// They.
    runs: Vec<RunLine>,
    /// There are more than were asked for.
    more: bool,
}

pub(super) async fn runs(
    State(api): State<Arc<Api>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let bad = |why: String| Problem::new(Kind::BadRequest, why);
    let Query(wanted) = wanted.map_err(|error| bad(format!("the query: {error}")))?;
    let limit = wanted.limit.unwrap_or(SOME);
    if !(1..=MOST).contains(&limit) {
        return Err(bad(format!("`limit` must be from 1 to {MOST}")));
    }
    let filter = Filter {
        cluster: wanted.cluster,
        which: if wanted.unended {
            Which::Unended
        } else {
            Which::All
        },
        // One more than is told shows whether there are more.
        limit: Some(limit + 1),
    };
    let mut found = api.records.list(&filter).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > most;
    found.truncate(most);
    Ok(json(&Runs {
        runs: found.iter().map(RunLine::from).collect(),
        more,
    }))
}

pub(super) async fn run(
    State(api): State<Arc<Api>>,
    Named(id): Named,
) -> Result<Response, Problem> {
    let run = api.records.find(&id).await?.run;
    let events = api.records.read(&run).await?;
    Ok(json(&(api.show)(&events, &api.records.place())))
}
