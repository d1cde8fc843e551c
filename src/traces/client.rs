//! How OpenTelemetry's exporter reaches the collector: by the one HTTP client of the house.

use crate::transport::{HttpClient, HttpError as NotHad, HttpSend};
use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpError, Request, Response};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;

/// How long the collector may take unless the environment says otherwise: the default of the specification.
const DEADLINE: Duration = Duration::from_secs(10);

/// Sends one request at a time, each bounded; tells how the last one went.
#[derive(Debug)]
pub(super) struct Client {
    deadline: Duration,
    went: watch::Sender<Went>,
}

/// How the last request went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Went {
    /// There was none, or it is under way.
    #[default]
    Open,
    Well,
    /// Why not, for people.
    Wrong(String),
}

impl Client {
    /// With the time that the environment gives the collector.
    pub(super) fn from_env(went: watch::Sender<Went>) -> Self {
        let names = [
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
            "OTEL_EXPORTER_OTLP_TIMEOUT",
        ];
        let set = names.iter().find_map(|name| std::env::var(name).ok());
        let set = set.and_then(|text| text.trim().parse().ok());
        Self {
            deadline: set.map_or(DEADLINE, Duration::from_millis),
            went,
        }
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, NotHad> {
        let (parts, body) = request.into_parts();
        let mut headers = BTreeMap::new();
        for (name, value) in &parts.headers {
            let value = value.to_str().map_err(|_| {
                NotHad::Invalid(format!("the value of the header {name} is not text"))
            })?;
            headers.insert(name.as_str().to_owned(), value.to_owned());
        }
        let answer = HttpClient
            .send(HttpSend {
                method: parts.method.to_string(),
                url: parts.uri.to_string(),
                headers,
                body: Some(body),
                deadline: self.deadline,
            })
            .await?;
        Response::builder()
            .status(answer.status)
            .body(answer.body.into())
            .map_err(|error| NotHad::Lost(error.to_string()))
    }
}

#[async_trait]
impl opentelemetry_http::HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.went.send_replace(Went::Open);
        let answer = self.exchange(request).await;
        self.went.send_replace(match &answer {
            Ok(answer) if answer.status().is_success() => Went::Well,
            Ok(answer) => Went::Wrong(format!("it answered {}", answer.status().as_u16())),
            Err(error) => Went::Wrong(error.to_string()),
        });
        answer.map_err(Into::into)
    }
}
