//! What is kept about the clusters of a site beside their runs.

use super::{Records, RunsError};
use crate::journal::Note;
use std::io;
use std::time::Duration;

/// How long a look may take. Whoever looks has something else to show, too.
const LOOK: Duration = Duration::from_secs(3);

/// How long a change may take: an etcd that elects a leader needs some seconds.
const CHANGE: Duration = Duration::from_secs(10);

impl Records {
    /// Notes of this kind, of one cluster where it is named, otherwise of all: so many at most, the newest first. Bounded
    /// by a few seconds.
    pub async fn notes(
        &self,
        cluster: Option<&str>,
        kind: &str,
        newest: usize,
    ) -> Result<Vec<Note>, RunsError> {
        let look = async {
            match self.history().await? {
                Some(history) => Ok(history.notes(cluster, kind, newest).await?),
                None => Ok(Vec::new()),
            }
        };
        self.within(LOOK, look).await
    }

    /// Keeps a note, durably, in place of the one of its cluster, kind and id. Bounded by some seconds; where no answer
    /// came in time, it may be kept all the same.
    pub async fn keep_note(&self, note: &Note) -> Result<(), RunsError> {
        let keep = async { Ok(self.store().await?.keep_note(note).await?) };
        self.within(CHANGE, keep).await
    }

    /// The same where there is none of its cluster, kind and id; tells whether it was kept. Of all who try, one is told so.
    pub async fn keep_note_if_new(&self, note: &Note) -> Result<bool, RunsError> {
        let keep = async { Ok(self.store().await?.keep_note_if_new(note).await?) };
        self.within(CHANGE, keep).await
    }

    /// Takes a note away, durably; tells whether it was there. Bounded like the keeping. A store is not made for it.
    pub async fn discard_note(
        &self,
        cluster: &str,
        kind: &str,
        id: &str,
    ) -> Result<bool, RunsError> {
        let discard = async {
            if self.history().await?.is_none() {
                return Ok(false);
            }
            let store = self.store().await?;
            Ok(store.discard_note(cluster, kind, id).await?)
        };
        self.within(CHANGE, discard).await
    }

    /// An answer of the store, or an error when none came in time.
    pub(super) async fn within<T>(
        &self,
        patience: Duration,
        answer: impl Future<Output = Result<T, RunsError>>,
    ) -> Result<T, RunsError> {
        let late = |_| RunsError::Journal {
            place: self.place(),
            source: io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time"),
        };
        tokio::time::timeout(patience, answer).await.map_err(late)?
    }
}
