//! Who asks, whether they may, and what is written down of it.

use super::kinds::Kind;
use super::limits::neighbourhood;
use super::problem::Problem;
use super::state::Api;
use super::tokens::{Role, whose};
use crate::engine::RunId;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::time::Instant;

/// Where audit lines go, whatever else is logged.
const AUDIT: &str = "audit";

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remote(pub(super) SocketAddr);

/// A request's own id.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) Arc<str>);

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The name of the token.
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) from: IpAddr,
    /// The request's own id.
    pub(super) request: Arc<str>,
}

/// The run that an answer is about; for the audit line.
#[derive(Debug, Clone)]
pub(super) struct About(pub(super) RunId);

/// What stands before a route.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) api: Arc<Api>,
    pub(super) role: Role,
    /// What it does, for the audit; none where it changes nothing.
    pub(super) change: Option<&'static str>,
}

/// Around everything: gives the request its id, and puts bodies to problems.
pub(super) async fn dress(mut request: Request, next: Next) -> Response {
    let id = RequestId(fresh_id());
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.render(&id.0);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id.0) {
        headers.insert("x-request-id", id);
    }
    // Answers tell of a moment, and some of it is not for everybody.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Before a route that needs a token.
pub(super) async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    match admit(&gate, &request) {
        Ok(caller) => proceed(gate, caller, request, next).await,
        Err(problem) => problem.into_response(),
    }
}

/// Lets somebody on who was recognised.
pub(super) async fn proceed(
    gate: Gate,
    caller: Caller,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().insert(caller.clone());
    let Some(change) = gate.change else {
        return allowed(&gate, &caller, request, next).await;
    };
    let path = request.uri().path().to_owned();
    // In a task of its own: whoever leaves before the answer does not stop what has begun, nor the line about it.
    let work = tokio::spawn(async move {
        let response = allowed(&gate, &caller, request, next).await;
        audit(&caller, change, &path, &response);
        response
    });
    work.await.unwrap_or_else(|error| {
        let why = format!("the request broke off: {error}");
        Problem::new(Kind::Failed, why).into_response()
    })
}

async fn allowed(gate: &Gate, caller: &Caller, request: Request, next: Next) -> Response {
    if let Err(wait) = gate.api.requests.take(caller.name.clone(), Instant::now()) {
        let why = format!("the token `{}` has had its share", caller.name);
        return Problem::new(Kind::TooManyRequests, why)
            .after(wait)
            .into_response();
    }
    if !caller.role.may(gate.role) {
        let why = format!(
            "this needs the role {}, and the token `{}` has the role {}",
            gate.role.as_str(),
            caller.name,
            caller.role.as_str()
        );
        return Problem::new(Kind::RoleMissing, why).into_response();
    }
    next.run(request).await
}

/// Where a request came from, and its id.
pub(super) fn came(request: &Request) -> (IpAddr, Arc<str>) {
    let extensions = request.extensions();
    let from = extensions.get::<Remote>().map(|remote| remote.0.ip());
    let from = from.unwrap_or(IpAddr::from([0, 0, 0, 0])).to_canonical();
    let id = extensions.get::<RequestId>().cloned();
    (from, id.unwrap_or_else(|| RequestId(fresh_id())).0)
}

/// Who has this token.
pub(super) fn admit(gate: &Gate, request: &Request) -> Result<Caller, Problem> {
    let (from, id) = came(request);
    let holders = gate.api.tokens.get();
    // Why is for the log, where it was told: nobody has said yet who they are.
    let holders = holders
        .map_err(|_| Problem::new(Kind::TokensUnusable, "the file of tokens has an error"))?;
    let refused = match bearer(request) {
        None => Problem::new(Kind::NoToken, "the request has no `Authorization: Bearer`"),
        Some(token) => match whose(&holders, token) {
            None => Problem::new(
                Kind::UnknownToken,
                "no line of the file of tokens is for it",
            ),
            Some(holder) => match holder.expired(jiff::Timestamp::now()) {
                Some(end) => Problem::new(
                    Kind::TokenExpired,
                    format!("the token `{}` was good until {end}", holder.name),
                ),
                None => {
                    return Ok(Caller {
                        name: holder.name.clone(),
                        role: holder.role,
                        from,
                        request: id,
                    });
                }
            },
        },
    };
    Err(failed(gate, request, refused))
}

/// Somebody was not recognised. Only failures are counted: neither a token nor a signature can be guessed, and a monitor
/// that has a wrong one must not keep out those on the same machine that have the right one.
pub(super) fn failed(gate: &Gate, request: &Request, refused: Problem) -> Problem {
    let (from, id) = came(request);
    if let Err(wait) = gate.api.failures.take(neighbourhood(from), Instant::now()) {
        let why = format!("too many requests from {from} had no token or signature that is known");
        return Problem::new(Kind::TooManyLogins, why).after(wait);
    }
    let outcome = refused.kind.about().slug;
    tracing::info!(target: AUDIT, request = %id, %from, what = "log in", outcome, "refused");
    refused
}

fn bearer(request: &Request) -> Option<&str> {
    let value = request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
        .filter(|token| !token.is_empty())
}

/// Who did what, and what came of it.
fn audit(caller: &Caller, change: &str, path: &str, response: &Response) {
    let problem = response.extensions().get::<Problem>();
    let outcome = problem.map_or("done", |problem| problem.kind.about().slug);
    let about = response.extensions().get::<About>().map(|about| &about.0);
    let run = about.or_else(|| problem.and_then(|problem| problem.run.as_ref()));
    let run = run.map_or_else(String::new, ToString::to_string);
    tracing::info!(
        target: AUDIT,
        request = %caller.request,
        token = %caller.name,
        role = caller.role.as_str(),
        from = %caller.from,
        what = change,
        path,
        status = response.status().as_u16(),
        outcome,
        run,
        "request"
    );
}

/// Sixteen hexadecimal digits; not a secret.
fn fresh_id() -> Arc<str> {
    use std::hash::{BuildHasher as _, Hasher as _};
    let bits = std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish();
    format!("{bits:016x}").into()
}
