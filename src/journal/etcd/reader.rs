//! Tells about runs.

use super::answer::{Found, Kv};
use super::gateway::Trouble;
use super::rows::{self, DebtRow, HolderRow, KeyRow, ReaderRow, RunRow};
use super::shared::Shared;
use super::wire::{Op, after_all};
use crate::engine::{Envelope, RunId};
use crate::journal::{Entry, Filter, HistoryError, JournalError, RunSummary, Standing, Which};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The version of the format of events that this program reads.
const VERSION: u32 = 1;

/// How many runs an ambiguous id names.
const NAMED: i64 = 5;

/// How many runs come with one answer.
const RUNS: i64 = 500;

/// How many pieces of events come with one answer: 3 MiB at most.
const PIECES: i64 = 24;

/// Everything under a lease of etcd, at the same moment as the runs that it is about.
struct Alive {
    holders: Vec<HolderRow>,
    readers: Vec<ReaderRow>,
}

/// What an event is, before anything else of it is understood.
#[derive(Deserialize)]
struct Head {
    v: u32,
    seq: u64,
}

pub(super) async fn runs(
    shared: &Shared,
    filter: &Filter,
) -> Result<Vec<RunSummary>, HistoryError> {
    let wanted = |run: &RunSummary| {
        let is_of_cluster = filter.cluster.as_ref().is_none_or(|it| *it == run.cluster);
        is_of_cluster
            && match (filter.which, run.standing) {
                (Which::All, _) => true,
                (Which::Unended, standing) => !matches!(standing, Standing::Ended(_)),
                (Which::Ended(wanted), standing) => standing == Standing::Ended(wanted),
            }
    };
    let end = after_all(&shared.keys.runs());
    let mut from = shared.keys.runs();
    let mut runs = Vec::new();
    loop {
        let (page, more) = summaries(shared, Op::span(&from, &end, RUNS)).await?;
        if let (true, Some(last)) = (more, page.last()) {
            from = shared.keys.run(&last.run.0) + "\0";
        }
        runs.extend(page.into_iter().filter(wanted));
        if !more {
            break;
        }
    }
    runs.sort_by(|a, b| (&b.started, &b.run).cmp(&(&a.started, &a.run)));
    if let Some(limit) = filter.limit {
        runs.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    Ok(runs)
}

pub(super) async fn run(shared: &Shared, id: &str) -> Result<RunSummary, HistoryError> {
    if let Some(run) = exactly(shared, id).await? {
        return Ok(run);
    }
    let prefix = shared.keys.run(id);
    let (mut found, _) = summaries(shared, Op::span(&prefix, &after_all(&prefix), NAMED)).await?;
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
        (None, _) => Err(unknown(shared, id)),
    }
}

pub(super) async fn by_key(
    shared: &Shared,
    cluster: &str,
    key: &str,
) -> Result<Option<RunSummary>, HistoryError> {
    let there = [Op::get(&shared.keys.key(cluster, key))];
    let [there] = shared.gateway.look(there).await.map_err(silent(shared))?;
    let Some(there) = there.one() else {
        return Ok(None);
    };
    let row: KeyRow = rows::read(&there.value.0).map_err(|odd| {
        let what = format!("the run of key {key}");
        HistoryError::Journal(unusable(shared, odd.words(&what)))
    })?;
    exactly(shared, &row.run.0).await
}

/// Runs are named by when they began, so their keys stand in the order in which they were.
pub(super) async fn ledger(shared: &Shared, cluster: &str) -> Result<Vec<Entry>, HistoryError> {
    let end = after_all(&shared.keys.debts(cluster));
    let mut from = shared.keys.debts(cluster);
    let mut entries = Vec::new();
    loop {
        let page = shared.gateway.look([Op::span(&from, &end, RUNS)]).await;
        let [page] = page.map_err(silent(shared))?;
        for kv in &page.kvs {
            let row: DebtRow = rows::read(&kv.value.0).map_err(|odd| {
                let what = String::from_utf8_lossy(&kv.key.0);
                HistoryError::Journal(unusable(shared, odd.words(&what)))
            })?;
            entries.push(Entry {
                run: row.run,
                paid: row.paid,
                owed: row.owed,
                text: row.text,
            });
        }
        match page.kvs.last() {
            Some(last) if page.more => {
                from = String::from_utf8_lossy(&last.key.0).into_owned() + "\0";
            }
            _ => return Ok(entries),
        }
    }
}

async fn exactly(shared: &Shared, id: &str) -> Result<Option<RunSummary>, HistoryError> {
    let (found, _) = summaries(shared, Op::get(&shared.keys.run(id))).await?;
    Ok(found.into_iter().next())
}

/// Runs and how they stand, all at one moment; and whether there are more.
async fn summaries(shared: &Shared, which: Op) -> Result<(Vec<RunSummary>, bool), HistoryError> {
    let there = [
        which,
        Op::all(&shared.keys.holders()),
        Op::all(&shared.keys.readers()),
    ];
    let [runs, holders, readers] = shared.gateway.look(there).await.map_err(silent(shared))?;
    let alive = Alive::read(&holders, &readers)
        .map_err(|why| HistoryError::Journal(unusable(shared, why)))?;
    let more = runs.more;
    let summaries = runs.kvs.iter().map(|kv| summary(shared, kv, &alive));
    Ok((summaries.collect::<Result<_, _>>()?, more))
}

impl Alive {
    fn read(holders: &Found, readers: &Found) -> Result<Self, String> {
        Ok(Self {
            holders: all(holders)?,
            readers: all(readers)?,
        })
    }

    /// Whether somebody runs it.
    fn has(&self, row: &RunRow) -> bool {
        let (mut holders, mut readers) = (self.holders.iter(), self.readers.iter());
        if let Some(token) = row.token {
            holders.any(|holder| holder.run == row.run && holder.token == token)
        } else {
            readers.any(|reader| reader.run == row.run && reader.writer == row.writer)
        }
    }
}

fn all<T: DeserializeOwned>(found: &Found) -> Result<Vec<T>, String> {
    let each = found.kvs.iter().map(|kv| {
        rows::read(&kv.value.0).map_err(|odd| odd.words(&String::from_utf8_lossy(&kv.key.0)))
    });
    each.collect()
}

fn summary(shared: &Shared, kv: &Kv, alive: &Alive) -> Result<RunSummary, HistoryError> {
    let row: RunRow = rows::read(&kv.value.0).map_err(|odd| {
        let key = String::from_utf8_lossy(&kv.key.0);
        let run = key.rsplit('/').next().unwrap_or_default();
        HistoryError::Summary {
            run: RunId(run.into()),
            place: shared.place(),
            why: odd.words("it"),
        }
    })?;
    let standing = match row.outcome {
        Some(outcome) => Standing::Ended(outcome),
        None if alive.has(&row) => Standing::UnderWay,
        None => Standing::Interrupted,
    };
    Ok(RunSummary {
        run: row.run,
        cluster: row.cluster,
        playbook: row.playbook,
        version: row.version,
        trigger: row.trigger,
        key: row.key,
        started: row.started,
        ended: row.ended,
        last_seq: row.last_seq,
        standing,
    })
}

pub(super) async fn events(
    shared: &Shared,
    run: &RunId,
    from: u64,
) -> Result<Vec<Envelope>, HistoryError> {
    let Some(summary) = exactly(shared, &run.0).await? else {
        return Err(unknown(shared, &run.0));
    };
    let last = summary.last_seq;
    if from > last {
        return Ok(Vec::new());
    }
    let text = text(shared, run, from, last).await?;
    let mut events = Vec::new();
    let mut expected = None;
    for line in text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let due = expected.unwrap_or(from);
        let damaged = |source| HistoryError::Event {
            run: run.clone(),
            seq: due,
            place: shared.place(),
            source,
        };
        let head: Head = serde_json::from_slice(line).map_err(damaged)?;
        // The first of what was recorded together may lie before what is wanted.
        if expected.is_none() && head.seq < from {
            continue;
        }
        if head.seq != due {
            return Err(gap(shared, run, due));
        }
        if head.v != VERSION {
            return Err(HistoryError::Version {
                run: run.clone(),
                seq: head.seq,
                place: shared.place(),
                version: head.v,
                known: VERSION,
            });
        }
        events.push(serde_json::from_slice(line).map_err(damaged)?);
        expected = Some(due + 1);
    }
    match expected.unwrap_or(from) {
        due if due == last + 1 => Ok(events),
        due => Err(gap(shared, run, due)),
    }
}

/// The text of the events from one to another, and of those before that were recorded together with the first. What was
/// recorded never changes, so it need not be read at one moment.
async fn text(shared: &Shared, run: &RunId, from: u64, last: u64) -> Result<Vec<u8>, HistoryError> {
    let end = after_all(&shared.keys.batch(run, last));
    let mut first = shared.keys.batch(run, 0);
    if from > 0 {
        let behind = after_all(&shared.keys.batch(run, from));
        let found = shared.gateway.look([Op::last(&first, &behind)]).await;
        let [found] = found.map_err(silent(shared))?;
        let seq = found
            .one()
            .and_then(|kv| shared.keys.seq_of(run, &kv.key.0));
        first = shared
            .keys
            .batch(run, seq.ok_or_else(|| gap(shared, run, from))?);
    }
    let mut text = Vec::new();
    loop {
        let page = shared.gateway.look([Op::span(&first, &end, PIECES)]).await;
        let [page] = page.map_err(silent(shared))?;
        for kv in &page.kvs {
            text.extend_from_slice(&kv.value.0);
        }
        match page.kvs.last() {
            Some(last) if page.more => {
                first = String::from_utf8_lossy(&last.key.0).into_owned() + "\0";
            }
            _ => return Ok(text),
        }
    }
}

pub(super) fn unusable(shared: &Shared, why: String) -> JournalError {
    JournalError::Unusable {
        place: shared.place(),
        why,
    }
}

pub(super) fn silent(shared: &Shared) -> impl Fn(Trouble) -> HistoryError {
    move |trouble| HistoryError::Journal(unusable(shared, trouble.words()))
}

fn unknown(shared: &Shared, given: &str) -> HistoryError {
    HistoryError::Unknown {
        given: given.to_owned(),
        place: shared.place(),
    }
}

fn gap(shared: &Shared, run: &RunId, expected: u64) -> HistoryError {
    HistoryError::Gap {
        run: run.clone(),
        expected,
        place: shared.place(),
    }
}
