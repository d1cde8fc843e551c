//! Reads a store, beside whoever writes it.

use super::super::belief::now_ms;
use super::super::outline::word;
use super::error::JournalError;
use super::lease::Row as LeaseRow;
use super::notes;
use super::open::open_to_read;
use super::process::Process;
use crate::engine::{Envelope, Outcome, RunId};
use crate::journal::{Entry, Filter, History, HistoryError, Note, RunSummary, Standing, Which};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::{Path, PathBuf};

/// The version of the format of events that this program reads.
const VERSION: u32 = 1;

/// How many runs an ambiguous id names.
const NAMED: u32 = 5;

const SUMMARY: &str = "SELECT id, cluster, playbook, version, trigger, key, started, ended, \
                       last_seq, outcome, process, token FROM runs";

/// The runs of a store, for somebody who only looks: it is neither made nor changed, and nobody waits for it.
#[derive(Debug, Clone)]
pub struct SqliteHistory {
    path: PathBuf,
}

impl SqliteHistory {
    /// The store at this path, which must be there. Blocks for a moment.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let path = path.into();
        open_to_read(&path)?;
        Ok(Self { path })
    }

    /// One that was opened already.
    pub(super) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Whether a run of exactly this id is there.
    pub(super) async fn has(&self, run: &RunId) -> Result<bool, HistoryError> {
        let run = run.clone();
        self.ask(move |store| Ok(store.exactly(&run.0)?.is_some()))
            .await
    }

    /// Every question has a connection of its own: what one reads does not change under it, and none waits for another.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Store) -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, HistoryError> {
        let path = self.path.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let store = Store::open(path)?;
            let whole = store.connection.unchecked_transaction();
            let whole = whole.map_err(|error| store.sql(&error))?;
            let answer = question(&store);
            drop(whole);
            answer
        });
        asked.await.unwrap_or_else(|_| {
            Err(HistoryError::Journal(JournalError::Open {
                path: self.path.clone(),
                why: "the thread that read it ended unexpectedly".to_owned(),
            }))
        })
    }
}

#[async_trait]
impl History for SqliteHistory {
    async fn runs(&self, filter: &Filter) -> Result<Vec<RunSummary>, HistoryError> {
        let filter = filter.clone();
        self.ask(move |store| store.runs(&filter)).await
    }

    async fn run(&self, id: &str) -> Result<RunSummary, HistoryError> {
        let id = id.to_owned();
        self.ask(move |store| store.run(&id)).await
    }

    async fn events_from(&self, run: &RunId, seq: u64) -> Result<Vec<Envelope>, HistoryError> {
        let run = run.clone();
        self.ask(move |store| store.events(&run, seq)).await
    }

    async fn by_key(&self, cluster: &str, key: &str) -> Result<Option<RunSummary>, HistoryError> {
        let (cluster, key) = (cluster.to_owned(), key.to_owned());
        self.ask(move |store| store.by_key(&cluster, &key)).await
    }

    async fn ledger(&self, cluster: &str) -> Result<Vec<Entry>, HistoryError> {
        let cluster = cluster.to_owned();
        self.ask(move |store| store.ledger(&cluster)).await
    }

    async fn notes(
        &self,
        cluster: Option<&str>,
        kind: &str,
        newest: usize,
    ) -> Result<Vec<Note>, HistoryError> {
        let (cluster, kind) = (cluster.map(str::to_owned), kind.to_owned());
        self.ask(move |store| store.notes(cluster.as_deref(), &kind, newest))
            .await
    }
}

/// A store that is being read.
struct Store {
    path: PathBuf,
    connection: Connection,
    here: Process,
}

impl Store {
    fn open(path: PathBuf) -> Result<Self, JournalError> {
        let here = Process::current().map_err(|error| JournalError::Open {
            path: path.clone(),
            why: error.to_string(),
        })?;
        Ok(Self {
            connection: open_to_read(&path)?,
            path,
            here,
        })
    }

    fn sql(&self, error: &rusqlite::Error) -> HistoryError {
        HistoryError::Journal(JournalError::of(&self.path, error))
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn runs(&self, filter: &Filter) -> Result<Vec<RunSummary>, HistoryError> {
        let (is_unended, outcome) = match filter.which {
            Which::All => (false, None),
            Which::Unended => (true, None),
            Which::Ended(outcome) => (false, Some(word(outcome))),
        };
        let query = format!(
            "{SUMMARY} WHERE (?1 IS NULL OR cluster = ?1) AND (?2 IS NULL OR outcome = ?2) \
             AND (NOT ?3 OR outcome IS NULL) ORDER BY started DESC, number DESC LIMIT ?4"
        );
        let limit = filter.limit.map_or(-1, i64::from);
        self.summaries(&query, params![filter.cluster, outcome, is_unended, limit])
    }

    fn run(&self, id: &str) -> Result<RunSummary, HistoryError> {
        if let Some(run) = self.exactly(id)? {
            return Ok(run);
        }
        let query = format!("{SUMMARY} WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id LIMIT ?2");
        let mut found = self.summaries(&query, params![id, NAMED])?;
        match (found.pop(), found.as_slice()) {
            (Some(only), []) => Ok(only),
            (Some(last), others) => Err(HistoryError::Ambiguous {
                given: id.to_owned(),
                runs: others
                    .iter()
                    .chain([&last])
                    .map(|run| run.run.to_string())
                    .collect(),
            }),
            (None, _) => Err(HistoryError::Unknown {
                given: id.to_owned(),
                place: self.place(),
            }),
        }
    }

    fn exactly(&self, id: &str) -> Result<Option<RunSummary>, HistoryError> {
        let found = self.summaries(&format!("{SUMMARY} WHERE id = ?1"), params![id])?;
        Ok(found.into_iter().next())
    }

    fn by_key(&self, cluster: &str, key: &str) -> Result<Option<RunSummary>, HistoryError> {
        let query = format!(
            "{SUMMARY} WHERE cluster = ?1 AND key = ?2 ORDER BY started DESC, number DESC LIMIT 1"
        );
        let found = self.summaries(&query, params![cluster, key])?;
        Ok(found.into_iter().next())
    }

    fn ledger(&self, cluster: &str) -> Result<Vec<Entry>, HistoryError> {
        // A file that an earlier version wrote, and that nobody has written since, has none.
        let kept = "SELECT count(*) FROM sqlite_schema WHERE name = 'debts'";
        let query = "SELECT id, paid, owed, text FROM debts JOIN runs ON number = place >> 32 \
                     WHERE debts.cluster = ?1 ORDER BY place";
        let connection = &self.connection;
        let read = || -> rusqlite::Result<Vec<(String, bool, String, String)>> {
            if connection.query_row(kept, [], |row| row.get::<_, i64>(0))? == 0 {
                return Ok(Vec::new());
            }
            let mut query = connection.prepare(query)?;
            let rows = query.query_map([cluster], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
            rows.collect()
        };
        let rows = read().map_err(|error| self.sql(&error))?;
        let entry = |(run, paid, owed, text): (String, bool, String, String)| {
            let run = RunId(run.into());
            match serde_json::from_str(&owed) {
                Ok(owed) => Ok(Entry {
                    run,
                    paid,
                    owed,
                    text,
                }),
                Err(error) => Err(HistoryError::Debt {
                    run,
                    place: self.place(),
                    why: error.to_string(),
                }),
            }
        };
        rows.into_iter().map(entry).collect()
    }

    fn notes(
        &self,
        cluster: Option<&str>,
        kind: &str,
        newest: usize,
    ) -> Result<Vec<Note>, HistoryError> {
        let rows = notes::newest(&self.connection, cluster, kind, newest);
        let rows = rows.map_err(|error| self.sql(&error))?;
        let understood = rows.into_iter().map(|row| {
            row.understood().map_err(|(name, why)| HistoryError::Note {
                cluster: name.cluster,
                kind: name.kind,
                id: name.id,
                place: self.place(),
                why,
            })
        });
        understood.collect()
    }

    fn summaries(
        &self,
        query: &str,
        params: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<RunSummary>, HistoryError> {
        let rows: Vec<Summary> = self
            .connection
            .prepare(query)
            .and_then(|mut query| query.query_map(params, Summary::read)?.collect())
            .map_err(|error| self.sql(&error))?;
        rows.into_iter().map(|row| self.summary(row)).collect()
    }

    fn summary(&self, row: Summary) -> Result<RunSummary, HistoryError> {
        let standing = self.standing(&row)?;
        let mut run = row.run;
        run.standing = standing;
        Ok(run)
    }

    fn standing(&self, row: &Summary) -> Result<Standing, HistoryError> {
        if let Some(outcome) = &row.outcome {
            let outcome: Outcome =
                serde_json::from_value(outcome.as_str().into()).map_err(|error| {
                    HistoryError::Summary {
                        run: row.run.run.clone(),
                        place: self.place(),
                        why: error.to_string(),
                    }
                })?;
            return Ok(Standing::Ended(outcome));
        }
        let process = row.process.as_deref().and_then(Process::parse);
        if process.is_none_or(|process| process.is_gone(&self.here)) {
            return Ok(Standing::Interrupted);
        }
        // A run that only reads has no lease to lose.
        let Some(token) = row.token else {
            return Ok(Standing::UnderWay);
        };
        let lease = LeaseRow::read(&self.connection, &row.run.cluster);
        let lease = lease.map_err(|error| self.sql(&error))?;
        let holds = lease.is_some_and(|lease| {
            lease.token == token && lease.holder(&self.here, now_ms()) == Some(&*row.run.run.0)
        });
        Ok(if holds {
            Standing::UnderWay
        } else {
            Standing::Interrupted
        })
    }

    fn events(&self, run: &RunId, from: u64) -> Result<Vec<Envelope>, HistoryError> {
        let row: Option<(i64, u64)> = self
            .connection
            .query_row(
                "SELECT number, last_seq FROM runs WHERE id = ?1",
                [&*run.0],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map_err(|error| self.sql(&error))?;
        let Some((number, last)) = row else {
            return Err(HistoryError::Unknown {
                given: run.to_string(),
                place: self.place(),
            });
        };
        let first = number << 32;
        let from = from.min(last + 1);
        let at = first + i64::try_from(from).unwrap_or(i64::from(u32::MAX));
        let rows: Vec<(u64, u32, f64, String)> = self
            .connection
            .prepare("SELECT seq, v, at_ms, json FROM events WHERE place BETWEEN ?1 AND ?2 ORDER BY place")
            .and_then(|mut query| {
                query
                    .query_map([at, first + i64::from(u32::MAX)], |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                    })?
                    .collect()
            })
            .map_err(|error| self.sql(&error))?;
        let mut events = Vec::with_capacity(rows.len());
        for (expected, (seq, v, at_ms, json)) in (from..).zip(rows) {
            if seq != expected {
                return Err(self.gap(run, expected));
            }
            if v != VERSION {
                return Err(HistoryError::Version {
                    run: run.clone(),
                    seq,
                    place: self.place(),
                    version: v,
                    known: VERSION,
                });
            }
            let event = serde_json::from_str(&json).map_err(|source| HistoryError::Event {
                run: run.clone(),
                seq,
                place: self.place(),
                source,
            })?;
            events.push(Envelope {
                v,
                seq,
                at_ms,
                event,
            });
        }
        let due = from.saturating_add(u64::try_from(events.len()).unwrap_or(u64::MAX));
        if due == last + 1 {
            Ok(events)
        } else {
            Err(self.gap(run, due))
        }
    }

    fn gap(&self, run: &RunId, expected: u64) -> HistoryError {
        HistoryError::Gap {
            run: run.clone(),
            expected,
            place: self.place(),
        }
    }
}

/// A run's own row.
struct Summary {
    run: RunSummary,
    outcome: Option<String>,
    process: Option<String>,
    token: Option<i64>,
}

impl Summary {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            run: RunSummary {
                run: RunId(row.get::<_, String>(0)?.into()),
                cluster: row.get(1)?,
                playbook: row.get(2)?,
                version: row.get(3)?,
                trigger: row.get(4)?,
                key: row.get(5)?,
                started: row.get(6)?,
                ended: row.get(7)?,
                last_seq: row.get(8)?,
                standing: Standing::UnderWay,
            },
            outcome: row.get(9)?,
            process: row.get(10)?,
            token: row.get(11)?,
        })
    }
}
