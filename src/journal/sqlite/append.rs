//! Events of a run on their way into the tables.

use super::process::Process;
use crate::engine::{Durability, Envelope, Event, Outcome, RunId};
use rusqlite::{Connection, OptionalExtension, params};

/// How a moment of the clock is written: all of one length, so that their order is that of the texts.
const MOMENT: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";

/// A run's number of events is bounded by the number that a place in the table leaves them.
const LAST: u64 = u32::MAX as u64;

/// Events of one run that become durable together.
pub(super) struct Batch {
    pub(super) run: RunId,
    pub(super) durability: Durability,
    begin: Option<Begin>,
    rows: Vec<Row>,
    end: Option<End>,
}

/// What a run's own row takes from its first event.
struct Begin {
    run: RunId,
    cluster: String,
    playbook: String,
    version: Option<String>,
    trigger: String,
    started: String,
}

struct Row {
    seq: u64,
    v: u32,
    at_ms: f64,
    json: String,
}

/// What it takes from its last event.
struct End {
    seq: u64,
    at_ms: f64,
    outcome: Outcome,
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
        let mut batch = Self {
            run: run.clone(),
            durability,
            begin: None,
            rows: Vec::with_capacity(events.len()),
            end: None,
        };
        for envelope in events {
            match &envelope.event {
                Event::RunStarted {
                    run,
                    playbook,
                    version,
                    cluster,
                    trigger,
                    started,
                    ..
                } if envelope.seq == 0 => {
                    batch.begin = Some(Begin {
                        run: run.clone(),
                        cluster: cluster.clone(),
                        playbook: playbook.clone(),
                        version: version.clone(),
                        trigger: trigger.clone(),
                        started: of_one_length(started),
                    });
                }
                Event::RunEnded { outcome, .. } => {
                    batch.end = Some(End {
                        seq: envelope.seq,
                        at_ms: envelope.at_ms,
                        outcome: *outcome,
                    });
                }
                _ => {}
            }
            batch.rows.push(Row {
                seq: envelope.seq,
                v: envelope.v,
                at_ms: envelope.at_ms,
                json: serde_json::to_string(&envelope.event)?,
            });
        }
        Ok(batch)
    }

    /// Whether it ends its run.
    pub(super) fn ends(&self) -> bool {
        self.end.is_some()
    }

    /// The position of its last event, when all of it fits from `due` on.
    fn fit(&self, due: u64) -> Result<u64, Refused> {
        let mut due = due;
        for row in &self.rows {
            if row.seq != due {
                return Err(unfit(format!("event {} came where {due} was due", row.seq)));
            }
            if self.end.as_ref().is_some_and(|end| end.seq < row.seq) {
                return Err(unfit(format!("event {due} came after the end of the run")));
            }
            due += 1;
        }
        match due.checked_sub(1) {
            Some(last) if last <= LAST => Ok(last),
            _ => Err(unfit(format!("a run has from 1 to {LAST} events"))),
        }
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
        let last = batch.fit(self.last + 1)?;
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
    let (number, started, last) = match (&batch.begin, known(change, &batch.run)?) {
        (Some(begin), None) if begin.run == batch.run => {
            let last = batch.fit(0)?;
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
    if let Some(end) = &batch.end {
        let ended = later(&started, end.at_ms);
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

/// What cannot be read as a moment stays as it is.
fn of_one_length(moment: &str) -> String {
    match moment.parse::<jiff::Timestamp>() {
        Ok(moment) => moment.strftime(MOMENT).to_string(),
        Err(_) => moment.to_owned(),
    }
}

fn later(started: &str, at_ms: f64) -> Option<String> {
    let started: jiff::Timestamp = started.parse().ok()?;
    let passed = jiff::SignedDuration::try_from_secs_f64(at_ms / 1000.0).ok()?;
    let ended = started.checked_add(passed).ok()?;
    Some(ended.strftime(MOMENT).to_string())
}

/// An outcome as it stands in the events.
pub(super) fn word(outcome: Outcome) -> String {
    serde_json::to_value(outcome)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}
