//! What is answered when something cannot be done: RFC 9457, with what to do next.

use super::kinds::Kind;
use crate::document::Diagnostic;
use crate::engine::{LeaseError, RunId};
use crate::journal::HistoryError;
use crate::runs::RunsError;
use crate::trigger::PauseError;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// What types of problems begin with.
pub(super) const URN: &str = "urn:pgbaton:problem:";

/// Why a request was not done.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) kind: Kind,
    /// What failed, where: a lower-case fragment.
    detail: String,
    /// What to do besides what the kind says.
    next: Vec<String>,
    errors: Vec<Fault>,
    /// The run that it is about.
    pub(super) run: Option<RunId>,
    retry: Option<Duration>,
}

/// One thing that is wrong with what was sent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Fault {
    /// The parameter, the field, or the place in a file.
    at: String,
    /// What is wrong with it.
    why: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

/// A problem as it is sent.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Document {
    /// Which kind of problem; docs/api.md has them all.
    r#type: String,
    /// The kind in a few words.
    title: &'static str,
    /// The status code.
    status: u16,
    /// What failed, where.
    detail: String,
    /// The request.
    instance: String,
    /// What to do next.
    next: Vec<String>,
    /// All that is wrong, one by one.
    errors: Vec<Fault>,
    /// The run that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    run: Option<RunId>,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            next: Vec::new(),
            errors: Vec::new(),
            run: None,
            retry: None,
        }
    }

    #[must_use]
    pub(super) fn next(mut self, what: impl Into<String>) -> Self {
        self.next.push(what.into());
        self
    }

    #[must_use]
    pub(super) fn about(mut self, run: RunId) -> Self {
        self.run = Some(run);
        self
    }

    #[must_use]
    pub(super) fn fault(
        mut self,
        at: impl Into<String>,
        why: impl Into<String>,
        help: Option<String>,
    ) -> Self {
        self.errors.push(Fault {
            at: at.into(),
            why: why.into(),
            help,
        });
        self
    }

    #[must_use]
    pub(super) fn after(mut self, wait: Duration) -> Self {
        self.retry = Some(wait);
        self
    }

    /// With a body that names the request.
    pub(super) fn render(self, request: &str) -> Response {
        let about = self.kind.about();
        let advice = std::iter::once(about.next).filter(|next| !next.is_empty());
        let document = Document {
            r#type: format!("{URN}{}", about.slug),
            title: about.title,
            status: about.status.as_u16(),
            detail: self.detail,
            instance: format!("urn:pgbaton:request:{request}"),
            next: self
                .next
                .into_iter()
                .chain(advice.map(str::to_owned))
                .collect(),
            errors: self.errors,
            run: self.run,
        };
        let body = serde_json::to_string(&document).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (about.status, kind, body).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if about.status == axum::http::StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"pgbaton\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// Without a body: whoever knows the request's id renders it (`dress`).
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.about().status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<PauseError> for Problem {
    fn from(error: PauseError) -> Self {
        match error {
            PauseError::Records(error) => error.into(),
            PauseError::Unreadable { .. } => Self::new(Kind::JournalUnavailable, error.to_string()),
            PauseError::Nothing
            | PauseError::TooLong
            | PauseError::NoReason
            | PauseError::LongReason { .. } => Self::new(Kind::InvalidRequest, error.to_string()),
        }
    }
}

impl From<RunsError> for Problem {
    fn from(error: RunsError) -> Self {
        let said = error.to_string();
        match error {
            RunsError::Invalid { diagnostics, .. } => diagnostics
                .0
                .iter()
                .fold(Self::new(Kind::InvalidPlaybook, said), |problem, d| {
                    problem.fault(place(d), &d.message, d.help.clone())
                }),
            RunsError::Params { errors, .. } => errors
                .into_iter()
                .fold(Self::new(Kind::InvalidParameters, said), |problem, e| {
                    problem.fault(e.name, e.why, e.help)
                }),
            RunsError::NotFound { help, .. } => {
                let problem = Self::new(Kind::NotFound, said);
                match help {
                    Some(help) => problem.next(help),
                    None => problem,
                }
            }
            RunsError::Lease(LeaseError::Busy { holder, .. }) => {
                Self::new(Kind::ClusterBusy, said).about(RunId(holder.into()))
            }
            RunsError::Unheard { run, .. } => Self::new(Kind::RunNotUnderWay, said).about(run),
            RunsError::History(HistoryError::Unknown { .. }) => Self::new(Kind::NoSuchRun, said),
            RunsError::History(HistoryError::Ambiguous { .. }) => {
                Self::new(Kind::AmbiguousRun, said)
            }
            RunsError::SameKey { run, .. } => Self::new(Kind::ClusterBusy, said).about(run),
            RunsError::Lease(LeaseError::Unavailable { .. })
            | RunsError::Store(_)
            | RunsError::Record(_)
            | RunsError::History(_)
            | RunsError::Journal { .. } => {
                Self::new(Kind::JournalUnavailable, with_causes(said, &error))
            }
            RunsError::Unresumable { .. }
            | RunsError::Contradicted { .. }
            | RunsError::Moved { .. }
            | RunsError::Hopeless { .. }
            | RunsError::Simulation(_) => Self::new(Kind::Failed, with_causes(said, &error)),
        }
    }
}

fn with_causes(mut said: String, error: &dyn std::error::Error) -> String {
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        next = cause.source();
    }
    said
}

/// File, line and column.
fn place(diagnostic: &Diagnostic) -> String {
    let (line, column) = diagnostic.source.line_column(diagnostic.span.start);
    let file = diagnostic.source.name_at(diagnostic.span.start);
    format!("{file}:{line}:{column}")
}
