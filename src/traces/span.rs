//! A span under way.

use super::ids::Ids;
use crate::engine::Failure;
use opentelemetry::trace::{Event as Moment, SpanId, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::time::SystemTime;

/// A span has no more events than this: the specification's own limit.
const MOMENTS: usize = 128;
/// No text is longer than this, in bytes.
const TEXT: usize = 4096;

/// A span that has not ended.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: SpanId,
    pub(super) parent: SpanId,
    pub(super) name: String,
    pub(super) began: SystemTime,
    pub(super) attributes: Vec<KeyValue>,
    pub(super) moments: SpanEvents,
    pub(super) attempts: Vec<Attempt>,
}

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) number: u32,
    pub(super) began: SystemTime,
    /// When it failed, and of what.
    pub(super) failed: Option<(SystemTime, Failure)>,
}

impl Open {
    pub(super) fn new(id: SpanId, parent: SpanId, name: &str, began: SystemTime) -> Self {
        Self {
            id,
            parent,
            name: cut(name),
            began,
            attributes: Vec::new(),
            moments: SpanEvents::default(),
            attempts: Vec::new(),
        }
    }

    pub(super) fn tell(&mut self, key: &'static str, text: &str) {
        self.attributes.push(word(key, text));
    }

    pub(super) fn fail(&mut self, failure: &Failure) {
        self.tell("error.type", failure.kind.as_str());
        self.tell("pgbaton.error", &failure.message);
        if let Some(help) = &failure.help {
            self.tell("pgbaton.help", help);
        }
    }

    pub(super) fn happens(
        &mut self,
        name: &'static str,
        at: SystemTime,
        told: impl IntoIterator<Item = KeyValue>,
    ) {
        if self.moments.events.len() >= MOMENTS {
            self.moments.dropped_count = self.moments.dropped_count.saturating_add(1);
            return;
        }
        let told = told.into_iter().collect();
        self.moments.events.push(Moment::new(name, at, told, 0));
    }

    pub(super) fn into_span(
        self,
        ids: &Ids,
        at: SystemTime,
        status: Status,
        remote: bool,
    ) -> SpanData {
        SpanData {
            span_context: ids.context(self.id),
            parent_span_id: self.parent,
            parent_span_is_remote: remote,
            span_kind: SpanKind::Internal,
            name: self.name.into(),
            start_time: self.began,
            // A clock that was set back makes no span that ends before it begins.
            end_time: at.max(self.began),
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: self.moments,
            links: SpanLinks::default(),
            status,
            instrumentation_scope: InstrumentationScope::builder("pgbaton")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }
}

pub(super) fn status(failure: Option<&Failure>) -> Status {
    failure.map_or(Status::Unset, |failure| {
        Status::error(cut(&failure.message))
    })
}

pub(super) fn word(key: &'static str, text: &str) -> KeyValue {
    KeyValue::new(key, cut(text))
}

pub(super) fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT)].to_owned()
}
