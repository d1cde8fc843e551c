//! Where events become durable.

use super::{Envelope, RunId};
use async_trait::async_trait;

/// How durable an event must be before the engine goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It must survive the loss of power: an intent, the start and the end of a run.
    Synced,
    /// It must be in order before the next synced one, and survive the death of this process.
    Ordered,
}

/// The journal lost: nothing with an effect may happen any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal {place} cannot be written: {why}")]
pub struct RecordError {
    /// Which file or store.
    pub place: String,
    /// The cause.
    pub why: String,
}

/// Makes events durable. Called with batches in order; when it returns, they are as durable as the strictest asks.
#[async_trait]
pub trait Recorder: Send + Sync {
    /// Appends events of a run.
    async fn record(
        &self,
        run: &RunId,
        events: &[Envelope],
        durability: Durability,
    ) -> Result<(), RecordError>;
}
