//! What runs left behind, and where new ones record: opened when something needs it.

use super::place::default_state;
use super::{RunsError, pinned, site_file};
use crate::engine::{Envelope, RunId};
use crate::journal::{
    Entry, EtcdStore, Filter, History, RunSummary, SqliteHistory, SqliteJournal, Standing, Store,
    open_debts,
};
use crate::playbook::Checked;
use crate::site::Site;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// The store of a site: the runs of all its clusters.
pub struct Records {
    place: Place,
    store: OnceCell<Arc<dyn Store>>,
}

/// Where runs are recorded.
pub(super) enum Place {
    /// In a directory of this machine.
    Here(PathBuf),
    /// In an etcd that several machines share.
    Shared(crate::site::EtcdStore),
}

impl Records {
    /// That of the site file that [`super::World::open`] would read.
    pub fn open(site: Option<&Path>) -> Result<Self, RunsError> {
        Ok(Self::of(&Site::load(&site_file(site)?)?))
    }

    /// That of a site. Nothing is opened yet.
    pub(super) fn of(site: &Site) -> Self {
        let here = || site.journal.clone().unwrap_or_else(default_state);
        Self {
            place: match &site.store {
                Some(shared) => Place::Shared(shared.clone()),
                None => Place::Here(here()),
            },
            store: OnceCell::new(),
        }
    }

    /// Where it is.
    pub(super) fn kept(&self) -> &Place {
        &self.place
    }

    /// Where it is, for people.
    pub fn place(&self) -> String {
        match &self.place {
            Place::Here(state) => file(state).display().to_string(),
            Place::Shared(shared) => format!("etcd {}", shared.endpoints.join(", ")),
        }
    }

    /// The store, made where it is not there. What an earlier version kept in files of JSON lines is brought in.
    pub(super) async fn store(&self) -> Result<Arc<dyn Store>, RunsError> {
        let opened = self.store.get_or_try_init(|| async {
            match &self.place {
                Place::Here(state) => self.open_here(state).await,
                Place::Shared(shared) => {
                    let (members, prefix) = (shared.endpoints.clone(), shared.prefix.clone());
                    Ok(Arc::new(EtcdStore::connect(members, prefix)?) as Arc<dyn Store>)
                }
            }
        });
        opened.await.map(Arc::clone)
    }

    async fn open_here(&self, state: &Path) -> Result<Arc<dyn Store>, RunsError> {
        let file = file(state);
        let journal = tokio::task::spawn_blocking(move || SqliteJournal::open(file)).await;
        let journal = journal.map_err(|error| self.lost(error))??;
        bring_in(state, &journal).await;
        Ok(Arc::new(journal))
    }

    fn lost(&self, error: tokio::task::JoinError) -> RunsError {
        RunsError::Journal {
            place: self.place(),
            source: io::Error::other(error),
        }
    }

    /// The store's name, once it was opened: hosts compare the tokens of one store only.
    pub(super) fn name(&self) -> io::Result<String> {
        let name = self.store.get().and_then(|store| store.name());
        name.ok_or_else(|| io::Error::other("no lease of this cluster has been taken"))
    }

    /// The store to look at, which is not made; none while there was no run.
    pub(super) async fn history(&self) -> Result<Option<Arc<dyn History>>, RunsError> {
        if let Some(store) = self.store.get() {
            return Ok(Some(Arc::clone(store) as Arc<dyn History>));
        }
        let state = match &self.place {
            Place::Here(state) if earlier(state).is_empty() => state,
            _ => return Ok(Some(self.store().await? as Arc<dyn History>)),
        };
        let file = file(state);
        if !file.exists() {
            return Ok(None);
        }
        let opened = tokio::task::spawn_blocking(move || SqliteHistory::open(file)).await;
        Ok(Some(Arc::new(opened.map_err(|error| self.lost(error))??)))
    }

    /// Runs, newest first.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<RunSummary>, RunsError> {
        match self.history().await? {
            Some(history) => Ok(history.runs(filter).await?),
            None => Ok(Vec::new()),
        }
    }

    /// Runs that nobody goes on with, newest first; of one cluster where it is named.
    pub async fn cut_off(&self, cluster: Option<&str>) -> Result<Vec<RunSummary>, RunsError> {
        let Some(history) = self.history().await? else {
            return Ok(Vec::new());
        };
        let mut runs = history.interrupted().await?;
        runs.retain(|run| cluster.is_none_or(|cluster| run.cluster == cluster));
        Ok(runs)
    }

    /// What runs of this cluster left to do and no later one has done, oldest first.
    pub async fn debts(&self, cluster: &str) -> Result<Vec<Entry>, RunsError> {
        match self.history().await? {
            Some(history) => Ok(open_debts(history.ledger(cluster).await?)),
            None => Ok(Vec::new()),
        }
    }

    /// The run of this id, or the only one whose id begins so.
    pub async fn find(&self, id: &str) -> Result<RunSummary, RunsError> {
        Ok(self.needed(id).await?.run(id).await?)
    }

    /// The run of this cluster that has this idempotency key.
    pub async fn by_key(&self, cluster: &str, key: &str) -> Result<Option<RunSummary>, RunsError> {
        match self.history().await? {
            Some(history) => Ok(history.by_key(cluster, key).await?),
            None => Ok(None),
        }
    }

    /// Everything that a run has recorded so far.
    pub async fn read(&self, run: &RunId) -> Result<Vec<Envelope>, RunsError> {
        self.read_from(run, 0).await
    }

    /// What a run has recorded from this position on.
    pub async fn read_from(&self, run: &RunId, seq: u64) -> Result<Vec<Envelope>, RunsError> {
        Ok(self.needed(&run.0).await?.events_from(run, seq).await?)
    }

    /// How a run stands.
    pub(super) async fn standing(&self, run: &RunId) -> Result<Standing, RunsError> {
        Ok(self.find(&run.0).await?.standing)
    }

    async fn needed(&self, id: &str) -> Result<Arc<dyn History>, RunsError> {
        let missing = || RunsError::NotFound {
            what: format!(
                "there is no run {id}: the journal {} does not exist",
                self.place()
            ),
            help: Some("it is made by the first run; `--site FILE` names another site".to_owned()),
        };
        self.history().await?.ok_or_else(missing)
    }
}

/// The store of a directory.
pub(super) fn file(state: &Path) -> PathBuf {
    state.join("journal.db")
}

/// Journals that an earlier version kept as files.
fn earlier(state: &Path) -> Vec<PathBuf> {
    let Ok(folder) = std::fs::read_dir(state.join("runs")) else {
        return Vec::new();
    };
    let paths = folder.flatten().map(|entry| entry.path());
    let mut found: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .collect();
    found.sort();
    found
}

/// A file that was brought in is put aside; one that could not be stays, and is no reason not to run.
async fn bring_in(state: &Path, journal: &SqliteJournal) {
    let aside = state.join("runs/imported");
    for path in earlier(state) {
        if let Err(error) = journal.import(&path).await {
            tracing::warn!(path = %path.display(), %error, "an earlier journal was not imported");
            continue;
        }
        let moved = std::fs::create_dir_all(&aside).and_then(|()| {
            std::fs::rename(&path, aside.join(path.file_name().unwrap_or_default()))
        });
        if let Err(error) = moved {
            tracing::warn!(path = %path.display(), %error, "an imported journal stays where it is");
        }
    }
}

/// The playbook that a run was started with, and what it nests, as they were then.
pub fn playbook_of(events: &[Envelope]) -> Result<Checked, RunsError> {
    pinned::playbook_of(events)
}
