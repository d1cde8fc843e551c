//! The store as everybody else sees it.

use super::append::{self, Batch};
use super::lease::{HeldInEtcd, Taken, take};
use super::shared::Shared;
use super::worker::Worker;
use super::{messages, notes, reader};
use crate::engine::{
    Durability, Envelope, Held, Inbox, Lease, LeaseError, Letter, Message, RecordError, Recorder,
    RunId,
};
use crate::journal::{
    Announced, Entry, Filter, History, HistoryError, JournalError, Note, RunSummary, Store,
};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a lease lasts that is not renewed.
const TTL: Duration = Duration::from_secs(10);

/// The journal of an installation, kept by etcd and so shared by several machines. Clones share its connections.
///
/// What `record` has acknowledged is on the disks of a majority of etcd's members, whatever durability was asked for.
/// After an error nothing more is accepted for that run: what was not acknowledged may still have been recorded.
///
/// Whether somebody runs a run is told by leases of etcd alone. A runner that was killed is seen when its lease has run
/// out, after 10 s, also on the machine on which it was killed; one that ends by itself gives it back at once.
///
/// Endpoints that begin with `https://` must show a certificate that the authorities of this machine vouch for (those in
/// `SSL_CERT_FILE`, if that is set). There are no certificates of clients, and no users and passwords, yet: an etcd that
/// asks for them refuses. Nothing of a run is ever deleted: see to the compaction of old revisions
/// (`--auto-compaction-retention`) and to the quota of its space. After etcd was restored from a backup, delete the key
/// `store` below the prefix: tokens begin anew then, and hosts would refuse them as those of the store that they know.
#[derive(Debug, Clone)]
pub struct EtcdStore {
    shared: Arc<Shared>,
    worker: Arc<Worker>,
}

impl EtcdStore {
    /// The store at these members of one etcd cluster, below this prefix or `/pgbaton/`. Nobody is asked yet.
    pub fn connect(endpoints: Vec<String>, prefix: Option<String>) -> Result<Self, JournalError> {
        Self::connect_with_ttl(endpoints, prefix, TTL)
    }

    /// The same with leases that last this long unless renewed, in whole seconds; etcd has a least of its own (2 s, as a
    /// rule). All who share a store should agree.
    pub fn connect_with_ttl(
        endpoints: Vec<String>,
        prefix: Option<String>,
        ttl: Duration,
    ) -> Result<Self, JournalError> {
        let shared = Arc::new(Shared::new(endpoints, prefix, ttl)?);
        let worker = Worker::start().map_err(|error| JournalError::Unusable {
            place: shared.place(),
            why: error.to_string(),
        })?;
        Ok(Self {
            shared,
            worker: Arc::new(worker),
        })
    }

    /// What is asked of etcd goes on to its end, also when whoever asked gives up.
    async fn does<T, F>(&self, errand: impl FnOnce(Arc<Shared>) -> F) -> Result<T, String>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.worker.does(errand(Arc::clone(&self.shared))).await
    }

    async fn tells<T, F>(&self, errand: impl FnOnce(Arc<Shared>) -> F) -> Result<T, HistoryError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HistoryError>> + Send + 'static,
    {
        self.does(errand).await.unwrap_or_else(|why| {
            Err(HistoryError::Journal(JournalError::Unusable {
                place: self.shared.place(),
                why,
            }))
        })
    }

    fn lost(&self, why: String) -> RecordError {
        RecordError {
            place: self.shared.place(),
            why,
        }
    }
}

#[async_trait]
impl Recorder for EtcdStore {
    /// In the order in which it is called. Every batch is as durable as the most durable.
    async fn record(
        &self,
        run: &RunId,
        events: &[Envelope],
        _durability: Durability,
    ) -> Result<(), RecordError> {
        if events.is_empty() {
            return Ok(());
        }
        let (run, batch) = (run.clone(), Batch::new(events));
        let recorded = self
            .does(|shared| async move { append::record(&shared, &run, batch).await })
            .await;
        recorded.and_then(|it| it).map_err(|why| self.lost(why))
    }
}

#[async_trait]
impl Lease for EtcdStore {
    async fn acquire(&self, cluster: &str, run: &RunId) -> Result<Box<dyn Held>, LeaseError> {
        let (of, run) = (cluster.to_owned(), run.clone());
        let (shared, worker) = (Arc::clone(&self.shared), Arc::clone(&self.worker));
        let (answer, answered) = oneshot::channel();
        let errand = async move {
            let _turn = shared.turn.lock().await;
            let taken = match take(&shared, &of, &run).await {
                Ok(Taken::Held(grant)) => Ok(Taken::Held(HeldInEtcd::new(
                    grant,
                    Arc::clone(&shared),
                    worker,
                ))),
                Ok(Taken::Busy(holder)) => Ok(Taken::Busy(holder)),
                Err(why) => Err(why),
            };
            // Whoever asks next may wait already: what nobody waited for is given back before.
            if let Err(Ok(Taken::Held(held))) = answer.send(taken) {
                held.give_back().await;
            }
        };
        let gone = || Err("its answer was lost".to_owned());
        let taken = match self.worker.does(errand).await {
            Ok(()) => answered.await.unwrap_or_else(|_| gone()),
            Err(why) => Err(why),
        };
        match taken {
            Ok(Taken::Held(held)) => Ok(Box::new(held)),
            Ok(Taken::Busy(holder)) => Err(LeaseError::Busy {
                cluster: cluster.to_owned(),
                holder,
            }),
            Err(why) => Err(LeaseError::Unavailable {
                cluster: cluster.to_owned(),
                why: format!("{}: {why}", self.shared.place()),
            }),
        }
    }
}

#[async_trait]
impl History for EtcdStore {
    async fn runs(&self, filter: &Filter) -> Result<Vec<RunSummary>, HistoryError> {
        let filter = filter.clone();
        self.tells(|shared| async move { reader::runs(&shared, &filter).await })
            .await
    }

    async fn run(&self, id: &str) -> Result<RunSummary, HistoryError> {
        let id = id.to_owned();
        self.tells(|shared| async move { reader::run(&shared, &id).await })
            .await
    }

    async fn events_from(&self, run: &RunId, seq: u64) -> Result<Vec<Envelope>, HistoryError> {
        let run = run.clone();
        self.tells(|shared| async move { reader::events(&shared, &run, seq).await })
            .await
    }

    async fn by_key(&self, cluster: &str, key: &str) -> Result<Option<RunSummary>, HistoryError> {
        let (cluster, key) = (cluster.to_owned(), key.to_owned());
        self.tells(|shared| async move { reader::by_key(&shared, &cluster, &key).await })
            .await
    }

    async fn ledger(&self, cluster: &str) -> Result<Vec<Entry>, HistoryError> {
        let cluster = cluster.to_owned();
        self.tells(|shared| async move { reader::ledger(&shared, &cluster).await })
            .await
    }

    async fn notes(
        &self,
        cluster: Option<&str>,
        kind: &str,
        newest: usize,
    ) -> Result<Vec<Note>, HistoryError> {
        let (cluster, kind) = (cluster.map(str::to_owned), kind.to_owned());
        self.tells(|shared| async move {
            notes::newest(&shared, cluster.as_deref(), &kind, newest).await
        })
        .await
    }
}

#[async_trait]
impl Inbox for EtcdStore {
    async fn messages(&self, run: &RunId, after: u64) -> Result<Vec<Message>, RecordError> {
        let run = run.clone();
        let there = self
            .does(|shared| async move { messages::messages(&shared, &run, after).await })
            .await;
        there.and_then(|it| it).map_err(|why| self.lost(why))
    }
}

#[async_trait]
impl Store for EtcdStore {
    fn place(&self) -> String {
        self.shared.place()
    }

    fn name(&self) -> Option<String> {
        self.shared.name()
    }

    async fn announce(
        &self,
        run: &RunId,
        cluster: &str,
        key: &str,
    ) -> Result<Announced, RecordError> {
        let (run, cluster, key) = (run.clone(), cluster.to_owned(), key.to_owned());
        let earlier = self
            .does(|shared| async move { messages::announce(&shared, &run, &cluster, &key).await })
            .await;
        let earlier = earlier.and_then(|it| it).map_err(|why| self.lost(why))?;
        Ok(earlier.map_or(Announced::New, Announced::Before))
    }

    async fn post(&self, run: &RunId, letter: &Letter) -> Result<u64, RecordError> {
        let (run, letter) = (run.clone(), letter.clone());
        let posted = self
            .does(|shared| async move { messages::post(&shared, &run, &letter).await })
            .await;
        posted.and_then(|it| it).map_err(|why| self.lost(why))
    }

    async fn keep_note(&self, note: &Note) -> Result<(), RecordError> {
        let note = note.clone();
        let kept = self
            .does(|shared| async move { notes::keep(&shared, &note).await })
            .await;
        kept.and_then(|it| it).map_err(|why| self.lost(why))
    }

    async fn keep_note_if_new(&self, note: &Note) -> Result<bool, RecordError> {
        let note = note.clone();
        let kept = self
            .does(|shared| async move { notes::keep_if_new(&shared, &note).await })
            .await;
        kept.and_then(|it| it).map_err(|why| self.lost(why))
    }

    async fn discard_note(&self, cluster: &str, kind: &str, id: &str) -> Result<bool, RecordError> {
        let (cluster, kind, id) = (cluster.to_owned(), kind.to_owned(), id.to_owned());
        let gone = self
            .does(|shared| async move { notes::discard(&shared, &cluster, &kind, &id).await })
            .await;
        gone.and_then(|it| it).map_err(|why| self.lost(why))
    }

    /// Nothing is left to be put in order: what has been acknowledged is where it stays.
    async fn tidy(&self) -> Result<(), RecordError> {
        Ok(())
    }
}
