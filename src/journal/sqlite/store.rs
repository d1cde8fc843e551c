//! The store as everybody else sees it.

use super::super::belief::Term;
use super::append::Batch;
use super::error::JournalError;
use super::job::{Announcement, Answer, Job, Taken, Wish};
use super::messages::understood;
use super::notes::{Earlier, Name, Row};
use super::reader::SqliteHistory;
use super::worker::start;
use crate::engine::{
    Durability, Envelope, Event, Held, Inbox, Lease, LeaseError, Letter, Message, RecordError,
    Recorder, RunId,
};
use crate::journal::{
    Announced, Entry, Filter, History, HistoryError, Note, ReadError, RunSummary, Store,
};
use async_trait::async_trait;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a lease lasts that is not renewed.
const TTL: Duration = Duration::from_secs(10);

/// The journal of an installation, in one file that several runs and several processes of this machine share. Clones
/// share its one connection.
///
/// Synced events are on the disk when `record` returns, others in the operating system's hands. After an error nothing
/// more is accepted for that run.
#[derive(Debug, Clone)]
pub struct SqliteJournal {
    path: PathBuf,
    name: String,
    jobs: Sender<Job>,
    history: SqliteHistory,
}

/// What became of a journal of JSON lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// All its events are in the store now.
    New(RunId),
    /// The run stood in it already; nothing was changed.
    Before(RunId),
}

/// Why a journal of JSON lines was not brought into the store.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It cannot be read.
    #[error("the journal {path} cannot be imported")]
    Source {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ReadError,
    },
    /// It does not begin as a run does.
    #[error("the journal {path} does not begin with the start of a run: nothing was imported")]
    NoStart {
        /// Which.
        path: PathBuf,
    },
    /// The store could not be asked.
    #[error("whether the run of {path} stands in the store already cannot be told")]
    Store {
        /// Which.
        path: PathBuf,
        /// Why.
        source: HistoryError,
    },
    /// The store did not take it.
    #[error("the journal {path} was not imported")]
    Refused {
        /// Which.
        path: PathBuf,
        /// Why.
        source: RecordError,
    },
}

impl SqliteJournal {
    /// Opens the journal at this path; its directory (mode 0700) and it (mode 0600) are made when they are not there,
    /// and one of an earlier version is brought up to date. Blocks for a moment.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        Self::open_with_ttl(path, TTL)
    }

    /// The same with leases that last this long unless renewed; all who share a journal should agree.
    pub fn open_with_ttl(path: impl Into<PathBuf>, ttl: Duration) -> Result<Self, JournalError> {
        let path = path.into();
        let (jobs, name) = start(&path, Term::new(ttl))?;
        Ok(Self {
            jobs,
            name,
            history: SqliteHistory::at(&path),
            path,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Brings a run's journal of JSON lines into the store. One that has not ended counts as interrupted.
    pub async fn import(&self, path: &Path) -> Result<Imported, ImportError> {
        let (of, file) = (|| path.to_owned(), path.to_owned());
        let read = tokio::task::spawn_blocking(move || crate::journal::read(&file)).await;
        let events = match read {
            Ok(Ok(events)) => events,
            Ok(Err(source)) => return Err(ImportError::Source { path: of(), source }),
            Err(_) => return Err(ImportError::NoStart { path: of() }),
        };
        let Some(Event::RunStarted { run, .. }) = events.first().map(|first| &first.event) else {
            return Err(ImportError::NoStart { path: of() });
        };
        let run = run.clone();
        let there = self.history.has(&run).await;
        if there.map_err(|source| ImportError::Store { path: of(), source })? {
            return Ok(Imported::Before(run));
        }
        let refused = |why: String| ImportError::Refused {
            path: of(),
            source: self.lost(why),
        };
        let batch = Batch::new(&run, &events, Durability::Synced);
        let batch = batch.map_err(|error| refused(error.to_string()))?;
        let imported = self.ask(|answer| Job::Import(batch, answer)).await;
        imported.map_err(refused)?;
        Ok(Imported::New(run))
    }

    async fn ask<T>(&self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, String> {
        let gone = || "the thread that writes it has ended unexpectedly".to_owned();
        let (answer, answered) = oneshot::channel();
        self.jobs.send(job(answer)).map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn keep(&self, note: &Note, earlier: Earlier) -> Result<bool, RecordError> {
        let row = Row::of(note).map_err(|why| self.lost(why))?;
        let kept = self.ask(|answer| Job::Keep(row, earlier, answer)).await;
        kept.map_err(|why| self.lost(why))
    }

    fn lost(&self, why: String) -> RecordError {
        RecordError {
            place: self.path.display().to_string(),
            why,
        }
    }
}

#[async_trait]
impl Recorder for SqliteJournal {
    async fn record(
        &self,
        run: &RunId,
        events: &[Envelope],
        durability: Durability,
    ) -> Result<(), RecordError> {
        if events.is_empty() {
            return Ok(());
        }
        let batch = Batch::new(run, events, durability);
        let recorded = self.ask(|answer| Job::Record(batch, run.clone(), answer));
        recorded.await.map_err(|why| self.lost(why))
    }
}

#[async_trait]
impl Lease for SqliteJournal {
    async fn acquire(&self, cluster: &str, run: &RunId) -> Result<Box<dyn Held>, LeaseError> {
        let wish = Wish {
            cluster: cluster.to_owned(),
            run: run.clone(),
            jobs: self.jobs.clone(),
        };
        match self.ask(|answer| Job::Take(wish, answer)).await {
            Ok(Taken::Held(held)) => Ok(Box::new(held)),
            Ok(Taken::Busy(holder)) => Err(LeaseError::Busy {
                cluster: cluster.to_owned(),
                holder,
            }),
            Err(why) => Err(LeaseError::Unavailable {
                cluster: cluster.to_owned(),
                why: format!("{}: {why}", self.path.display()),
            }),
        }
    }
}

#[async_trait]
impl History for SqliteJournal {
    async fn runs(&self, filter: &Filter) -> Result<Vec<RunSummary>, HistoryError> {
        self.history.runs(filter).await
    }

    async fn run(&self, id: &str) -> Result<RunSummary, HistoryError> {
        self.history.run(id).await
    }

    async fn events_from(&self, run: &RunId, seq: u64) -> Result<Vec<Envelope>, HistoryError> {
        self.history.events_from(run, seq).await
    }

    async fn by_key(&self, cluster: &str, key: &str) -> Result<Option<RunSummary>, HistoryError> {
        self.history.by_key(cluster, key).await
    }

    async fn ledger(&self, cluster: &str) -> Result<Vec<Entry>, HistoryError> {
        self.history.ledger(cluster).await
    }

    async fn notes(
        &self,
        cluster: Option<&str>,
        kind: &str,
        newest: usize,
    ) -> Result<Vec<Note>, HistoryError> {
        self.history.notes(cluster, kind, newest).await
    }
}

#[async_trait]
impl Inbox for SqliteJournal {
    async fn messages(&self, run: &RunId, after: u64) -> Result<Vec<Message>, RecordError> {
        let there = self.ask(|answer| Job::Messages(run.clone(), after, answer));
        let there = there.await.map_err(|why| self.lost(why))?;
        let understood = there.into_iter().map(understood).collect::<Result<_, _>>();
        understood.map_err(|why| self.lost(why))
    }
}

#[async_trait]
impl Store for SqliteJournal {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn name(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn announce(
        &self,
        run: &RunId,
        cluster: &str,
        key: &str,
    ) -> Result<Announced, RecordError> {
        let announcement = Announcement {
            run: run.clone(),
            cluster: cluster.to_owned(),
            key: key.to_owned(),
        };
        let earlier = self.ask(|answer| Job::Announce(announcement, answer)).await;
        let earlier = earlier.map_err(|why| self.lost(why))?;
        Ok(earlier.map_or(Announced::New, Announced::Before))
    }

    async fn post(&self, run: &RunId, letter: &Letter) -> Result<u64, RecordError> {
        let json = serde_json::to_string(letter).map_err(|error| self.lost(error.to_string()))?;
        let posted = self
            .ask(|answer| Job::Post(run.clone(), json, answer))
            .await;
        posted.map_err(|why| self.lost(why))
    }

    async fn keep_note(&self, note: &Note) -> Result<(), RecordError> {
        self.keep(note, Earlier::Goes).await.map(drop)
    }

    async fn keep_note_if_new(&self, note: &Note) -> Result<bool, RecordError> {
        self.keep(note, Earlier::Stays).await
    }

    async fn discard_note(&self, cluster: &str, kind: &str, id: &str) -> Result<bool, RecordError> {
        let name = Name {
            cluster: cluster.to_owned(),
            kind: kind.to_owned(),
            id: id.to_owned(),
        };
        let gone = self.ask(|answer| Job::Discard(name, answer)).await;
        gone.map_err(|why| self.lost(why))
    }

    /// Copies the log into the file. While it waits for work it does so by itself.
    async fn tidy(&self) -> Result<(), RecordError> {
        self.ask(Job::Tidy).await.map_err(|why| self.lost(why))
    }
}
