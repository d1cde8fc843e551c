//! What can be asked about runs, past and under way.

use super::{Entry, JournalError, Note};
use crate::engine::{Envelope, Outcome, RunId};
use async_trait::async_trait;

/// A run in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// Its id.
    pub run: RunId,
    /// The cluster it is about.
    pub cluster: String,
    /// The playbook's name.
    pub playbook: String,
    /// Its version.
    pub version: Option<String>,
    /// What started it.
    pub trigger: String,
    /// Its idempotency key.
    pub key: Option<String>,
    /// When it started: RFC 3339, UTC, with milliseconds.
    pub started: String,
    /// When it ended, in the same form.
    pub ended: Option<String>,
    /// The position of its last event.
    pub last_seq: u64,
    /// How it stands.
    pub standing: Standing,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Somebody runs it.
    UnderWay,
    /// It has not ended, and nobody may go on with it as things are: whoever ran it is gone, or has lost its lease.
    Interrupted,
    /// It has ended.
    Ended(Outcome),
}

/// Which runs are wanted. The default is all of them.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those of this cluster.
    pub cluster: Option<String>,
    /// Only those that stand so.
    pub which: Which,
    /// No more than this.
    pub limit: Option<u32>,
}

/// Which runs are wanted, by how they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Which {
    /// All.
    #[default]
    All,
    /// Those that have not ended: under way, or interrupted.
    Unended,
    /// Those that have ended so.
    Ended(Outcome),
}

/// Why a question about runs has no answer.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There is no such run.
    #[error("no run's id begins with `{given}` in the journal {place}")]
    Unknown {
        /// What was asked for.
        given: String,
        /// Where.
        place: String,
    },
    /// More than one run could be meant.
    #[error("`{given}` could be any of {}: give more of the id", .runs.join(", "))]
    Ambiguous {
        /// What was asked for.
        given: String,
        /// Some that begin with it.
        runs: Vec<String>,
    },
    /// An event cannot be understood.
    #[error("event {seq} of run {run} in the journal {place} is damaged")]
    Event {
        /// The run.
        run: RunId,
        /// Which.
        seq: u64,
        /// Where.
        place: String,
        /// Why.
        source: serde_json::Error,
    },
    /// An event of another version of the format.
    #[error(
        "event {seq} of run {run} in the journal {place} has version {version}, this program reads {known}"
    )]
    Version {
        /// The run.
        run: RunId,
        /// Which.
        seq: u64,
        /// Where.
        place: String,
        /// What it says.
        version: u32,
        /// What this program reads.
        known: u32,
    },
    /// An event is missing.
    #[error("event {expected} of run {run} is missing in the journal {place}")]
    Gap {
        /// The run.
        run: RunId,
        /// The number that was due.
        expected: u64,
        /// Where.
        place: String,
    },
    /// An entry of a ledger says what no version of this program writes.
    #[error("what run {run} left to do cannot be read in the journal {place}: {why}")]
    Debt {
        /// The run.
        run: RunId,
        /// Where.
        place: String,
        /// Why.
        why: String,
    },
    /// A note says what no version of this program writes.
    #[error(
        "the note `{kind}` {id} about cluster {cluster} in the journal {place} is damaged: {why}"
    )]
    Note {
        /// The cluster.
        cluster: String,
        /// The note's kind.
        kind: String,
        /// Its id.
        id: String,
        /// Where.
        place: String,
        /// Why.
        why: String,
    },
    /// A run's own row says what no version of this program writes.
    #[error("the summary of run {run} in the journal {place} is damaged: {why}")]
    Summary {
        /// The run.
        run: RunId,
        /// Where.
        place: String,
        /// Why.
        why: String,
    },
}

/// Tells about runs.
#[async_trait]
pub trait History: Send + Sync {
    /// Runs, newest first. Opens no event, however many there are.
    async fn runs(&self, filter: &Filter) -> Result<Vec<RunSummary>, HistoryError>;

    /// The run of this id, or the only one whose id begins so.
    async fn run(&self, id: &str) -> Result<RunSummary, HistoryError>;

    /// The events of a run from this position on, in order.
    async fn events_from(&self, run: &RunId, seq: u64) -> Result<Vec<Envelope>, HistoryError>;

    /// All events of a run, in order.
    async fn events(&self, run: &RunId) -> Result<Vec<Envelope>, HistoryError> {
        self.events_from(run, 0).await
    }

    /// The newest run of a cluster with this idempotency key.
    async fn by_key(&self, cluster: &str, key: &str) -> Result<Option<RunSummary>, HistoryError>;

    /// What runs of this cluster leave to be done and what they have done of it, oldest first. Opens no event.
    async fn ledger(&self, cluster: &str) -> Result<Vec<Entry>, HistoryError>;

    /// Notes of this kind, of one cluster where it is named, otherwise of all: so many at most, the newest first.
    async fn notes(
        &self,
        cluster: Option<&str>,
        kind: &str,
        newest: usize,
    ) -> Result<Vec<Note>, HistoryError>;

    /// Runs that nobody goes on with, newest first.
    async fn interrupted(&self) -> Result<Vec<RunSummary>, HistoryError> {
        let unended = Filter {
            which: Which::Unended,
            ..Filter::default()
        };
        let mut runs = self.runs(&unended).await?;
        runs.retain(|run| run.standing == Standing::Interrupted);
        Ok(runs)
    }
}
