//! Events of a run on their way into the tables.

use super::super::outline::{Begin, Outline, word};
use super::process::Process;
use crate::engine::{Durability, Envelope, RunId};
use rusqlite::{Connection, OptionalExtension, params};

/// Events of one run that become durable together.
pub(super) struct Batch {
    pub(super) run: RunId,
    pub(super) durability: Durability,
    outline: Outline,
    rows: Vec<Row>,
}

struct Row {
    seq: u64,
    v: u32,
    at_ms: f64,
    json: String,
}

/// Who writes a batch.
pub(super) enum Writer<'a> {
    /// This process runs it; it may have begun with this batch to do so.
    Runner {
        process: &'a Process,
        is_first_batch: bool,
    },
    /// Nobody runs it: it is brought in from elsewhere.
    Nobody,
}

/// Why a batch was not appended.
#[derive(Debug)]
pub(super) enum Refused {
    /// It does not fit what is there; nothing was changed.
    Unfit(String),
    /// SQLite could not.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Batch {
    pub(super) fn new(
        run: &RunId,
        events: &[Envelope],
        durability: Durability,
    ) -> serde_json::Result<Self> {
        let row = |envelope: &Envelope| {
            Ok(Row {
                seq: envelope.seq,
                v: envelope.v,
                at_ms: envelope.at_ms,
                json: serde_json::to_string(&envelope.event)?,
            })
        };
        Ok(Self {
            run: run.clone(),
            durability,
            outline: Outline::new(events),
            rows: events.iter().map(row).collect::<Result<_, _>>()?,
        })
    }

    /// Whether it ends its run.
    pub(super) fn ends(&self) -> bool {
        self.outline.end.is_some()
    }
}

/// A run as it stands before a batch.
struct Known {
    number: i64,
    last: u64,
    started: String,
    outcome: Option<String>,
    process: Option<String>,
}

impl Known {
    /// Whether a batch may go on with it; the position of its last event then.
    fn goes_on(&self, batch: &Batch, writer: &Writer<'_>) -> Result<u64, Refused> {
        if self.outcome.is_some() {
            return Err(unfit("this run has ended"));
        }
        let last = batch.outline.fit(self.last + 1).map_err(unfit)?;
        match writer {
            Writer::Runner {
                process,
                is_first_batch: false,
            } if self.process.as_deref() != Some(&process.to_string()) => {
                Err(unfit("another process has taken this run over"))
            }
            _ => Ok(last),
        }
    }
}

/// Appends a batch within a transaction. Everything is checked before anything is written.
pub(super) fn append(
    change: &Connection,
    batch: &Batch,
    writer: &Writer<'_>,
) -> Result<(), Refused> {
    let (number, started, last) = match (&batch.outline.begin, known(change, &batch.run)?) {
        (Some(begin), None) if begin.run == batch.run => {
            let last = batch.outline.fit(0).map_err(unfit)?;
            (insert(change, begin)?, begin.started.clone(), last)
        }
        (Some(begin), None) => {
            return Err(unfit(format!(
                "its first event is that of run {}",
                begin.run
            )));
        }
        (None, Some(known)) => {
            let last = known.goes_on(batch, writer)?;
            (known.number, known.started, last)
        }
        (Some(_), Some(_)) => return Err(unfit("a run of this id stands in it already")),
        (None, None) => return Err(unfit("the beginning of this run does not stand in it")),
    };
    let mut insert = change
        .prepare_cached("INSERT INTO events (place, v, at_ms, json) VALUES (?1, ?2, ?3, ?4)")?;
    for row in &batch.rows {
        let place = (number << 32) | i64::try_from(row.seq).unwrap_or(i64::MAX);
        insert.execute(params![place, row.v, row.at_ms, row.json])?;
    }
    for line in &batch.outline.ledger {
        let place = (number << 32) | i64::try_from(line.seq).unwrap_or(i64::MAX);
        let owed = serde_json::to_string(&line.owed).map_err(|error| unfit(error.to_string()))?;
        change
            .prepare_cached(
                "INSERT INTO debts (place, cluster, paid, owed, text) \
                 SELECT ?2, cluster, ?3, ?4, ?5 FROM runs WHERE number = ?1",
            )?
            .execute(params![number, place, line.paid, owed, line.text])?;
    }
    change
        .prepare_cached("UPDATE runs SET last_seq = ?2 WHERE number = ?1")?
        .execute(params![number, last])?;
    if let Writer::Runner {
        process,
        is_first_batch: true,
    } = writer
    {
        claim(change, number, process)?;
    }
    if let Some(end) = &batch.outline.end {
        let ended = end.moment(&started);
        change
            .prepare_cached(
                "UPDATE runs SET ended = ?2, outcome = ?3, process = NULL WHERE number = ?1",
            )?
            .execute(params![number, ended, word(end.outcome)])?;
    }
    Ok(())
}

/// Says who runs it from now on, and under which lease.
fn claim(change: &Connection, number: i64, process: &Process) -> rusqlite::Result<()> {
    change
        .prepare_cached(
            "UPDATE runs SET process = ?2, token = \
             (SELECT token FROM leases WHERE leases.cluster = runs.cluster AND run = runs.id) \
             WHERE number = ?1",
        )?
        .execute(params![number, process.to_string()])?;
    Ok(())
}

fn unfit(why: impl Into<String>) -> Refused {
    Refused::Unfit(why.into())
}

fn known(change: &Connection, run: &RunId) -> rusqlite::Result<Option<Known>> {
    change
        .prepare_cached(
            "SELECT number, last_seq, started, outcome, process FROM runs WHERE id = ?1",
        )?
        .query_row([&*run.0], |row| {
            Ok(Known {
                number: row.get(0)?,
                last: row.get(1)?,
                started: row.get(2)?,
                outcome: row.get(3)?,
                process: row.get(4)?,
            })
        })
        .optional()
}

/// The run's own row, with the key that was announced for it.
fn insert(change: &Connection, begin: &Begin) -> rusqlite::Result<i64> {
    change
        .prepare_cached(
            "INSERT INTO runs (id, cluster, playbook, version, trigger, started, last_seq, key) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, -1, (SELECT key FROM announced WHERE run = ?1))",
        )?
        .execute(params![
            &*begin.run.0,
            begin.cluster,
            begin.playbook,
            begin.version,
            begin.trigger,
            begin.started,
        ])?;
    let number = change.last_insert_rowid();
    change
        .prepare_cached("DELETE FROM announced WHERE run = ?1")?
        .execute([&*begin.run.0])?;
    Ok(number)
}
