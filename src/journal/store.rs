//! All that an installation keeps about its runs, in one file or between several machines.

use super::{History, Note};
use crate::engine::{Inbox, Lease, Letter, RecordError, Recorder, RunId};
use async_trait::async_trait;

/// What became of an announcement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announced {
    /// Nobody has had this key before: the run may begin.
    New,
    /// This run had it: it should be joined, looked at or resumed, but not made again.
    Before(RunId),
}

/// Journals, leases, idempotency keys, messages to runs and notes about clusters, shared by all runners of an installation.
#[async_trait]
pub trait Store: Recorder + Lease + History + Inbox {
    /// Where it is, for people.
    fn place(&self) -> String;

    /// Its name, once a lease of it was taken. Fencing tokens of two stores cannot be compared; one that is made anew is
    /// another store.
    fn name(&self) -> Option<String>;

    /// Keeps the idempotency key of a run that is about to begin, unless an earlier run of the cluster had it. Whoever
    /// does so holds the cluster's lease: of two who ask at once, only one can get there.
    async fn announce(
        &self,
        run: &RunId,
        cluster: &str,
        key: &str,
    ) -> Result<Announced, RecordError>;

    /// Keeps a message to a run, durably, and gives it its number.
    async fn post(&self, run: &RunId, letter: &Letter) -> Result<u64, RecordError>;

    /// Keeps a note, durably, in place of the one of its cluster, kind and id.
    async fn keep_note(&self, note: &Note) -> Result<(), RecordError>;

    /// Keeps a note, durably, where there is none of its cluster, kind and id; tells whether it was kept. Of all who try,
    /// on whatever machines, one is told so.
    async fn keep_note_if_new(&self, note: &Note) -> Result<bool, RecordError>;

    /// Takes a note away, durably; tells whether it was there.
    async fn discard_note(&self, cluster: &str, kind: &str, id: &str) -> Result<bool, RecordError>;

    /// Puts in order what a run left, so that the next one starts fast. For the end of a program that ran something.
    async fn tidy(&self) -> Result<(), RecordError>;
}
