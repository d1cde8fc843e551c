//! What is told.

use crate::site::NewsKind;
use serde::Serialize;
use serde_json::{Value as Json, json};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct News {
    /// The form of what is sent.
    pub v: u32,
    /// The same for every try, so that who is told twice can see it.
    pub id: String,
    /// When it happened: RFC 3339, UTC.
    pub at: String,
    /// What.
    pub event: NewsKind,
    /// The cluster.
    pub cluster: String,
    /// In a sentence.
    pub text: String,
    /// The incident that it belongs to.
    pub incident: Option<String>,
    /// The run that it is about.
    pub run: Option<String>,
    /// The facts in it.
    pub details: Json,
}

impl News {
    /// It happened just now.
    pub fn now(event: NewsKind, cluster: &str, text: impl Into<String>) -> Self {
        let at = jiff::Timestamp::now();
        Self {
            v: 1,
            id: format!("{cluster}-{}-{}", event.as_str(), at.as_nanosecond()),
            at: at.to_string(),
            event,
            cluster: cluster.to_owned(),
            text: text.into(),
            incident: None,
            run: None,
            details: json!({}),
        }
    }

    /// It belongs to this incident.
    #[must_use]
    pub fn of_incident(mut self, incident: &str) -> Self {
        self.incident = Some(incident.to_owned());
        self
    }

    /// It is about this run.
    #[must_use]
    pub fn of_run(mut self, run: &str) -> Self {
        self.run = Some(run.to_owned());
        self
    }

    /// It rests on these facts.
    #[must_use]
    pub fn with(mut self, details: Json) -> Self {
        self.details = details;
        self
    }

    /// As it is sent.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
