//! Events of a run on their way into etcd.
//!
//! What was recorded together becomes one text of JSON lines. Its last piece comes in one transaction with the run's own
//! row, and that is what makes it recorded; a text that is too long for one request leaves its other pieces there
//! before, where nobody looks yet. Every one of these transactions compares two things: that the run's row is still the
//! one that this store wrote (or found) last, and that the holder of the cluster's lease is still this run, with this
//! token. So whoever lost the lease or was replaced is refused by etcd itself, whatever it still believes.

use super::super::ledger::Line;
use super::super::outline::Outline;
use super::answer::Found;
use super::gateway::Trouble;
use super::page::{Known, Next, Page, find, keep_reader, next};
use super::rows::{self, DebtRow, HolderRow, KeyRow, ReaderRow, RunRow, VERSION};
use super::shared::{Holding, Shared};
use super::wire::{Compare, Op, Txn, after_all};
use crate::engine::{Envelope, RunId};
use std::time::Duration;

/// How much of a text goes into one request. etcd takes 1.5 MiB unless told otherwise.
const PIECE: usize = 128 << 10;

/// How long a last look may take at whether something stands there, when no answer came to the writing of it.
const LAST_LOOK: Duration = Duration::from_secs(3);

/// Events of one run that are recorded together.
pub(super) struct Batch {
    outline: Outline,
    text: Vec<u8>,
}

impl Batch {
    pub(super) fn new(events: &[Envelope]) -> serde_json::Result<Self> {
        let mut text = Vec::with_capacity(events.len() * 256);
        for envelope in events {
            serde_json::to_writer(&mut text, envelope)?;
            text.push(b'\n');
        }
        Ok(Self {
            outline: Outline::new(events),
            text,
        })
    }
}

/// Appends a batch. After an error nothing more is accepted for the run.
pub(super) async fn record(
    shared: &Shared,
    run: &RunId,
    batch: serde_json::Result<Batch>,
) -> Result<(), String> {
    let page = shared.page(run);
    let mut page = page.lock().await;
    let known = match std::mem::take(&mut *page) {
        Page::Broken(why) => {
            let error = format!("an earlier write failed: {why}");
            *page = Page::Broken(why);
            return Err(error);
        }
        Page::Open(known) => Some(*known),
        Page::Unread => None,
    };
    let written = match batch {
        Ok(batch) => append(shared, run, known, &batch).await,
        Err(error) => Err(error.to_string()),
    };
    match written {
        Ok(known) if known.row.outcome.is_some() => shared.turn_page(run),
        Ok(known) => *page = Page::Open(Box::new(known)),
        Err(why) => {
            *page = Page::Broken(why.clone());
            return Err(why);
        }
    }
    Ok(())
}

async fn append(
    shared: &Shared,
    run: &RunId,
    known: Option<Known>,
    batch: &Batch,
) -> Result<Known, String> {
    let (before, announced) = match known {
        Some(known) => (Some(known), None),
        None => find(shared, run).await?,
    };
    let mut next = next(shared, run, before, announced, &batch.outline)?;
    let holding = shared.held(run, &next.row.cluster);
    match &holding {
        None if next.row.token.is_some() => {
            return Err(format!(
                "this run does not hold the lease on cluster {}",
                next.row.cluster
            ));
        }
        None => keep_reader(shared, &mut next).await?,
        Some(_) => next.reader = None,
    }
    next.row.token = holding.as_ref().map(|holding| holding.token);
    write(shared, run, next, holding.as_ref(), batch).await
}

/// Writes the text and the row that makes it count.
async fn write(
    shared: &Shared,
    run: &RunId,
    next: Next,
    holding: Option<&Holding>,
    batch: &Batch,
) -> Result<Known, String> {
    let (run_key, holder_key) = (
        shared.keys.run(&run.0),
        shared.keys.holder(&next.row.cluster),
    );
    let mut fence = vec![Compare::changed_at(&run_key, next.changed_at)];
    fence.extend(holding.map(|holding| Compare::has(&holder_key, &holding.value)));
    let guarded = |success: Vec<Op>| Txn {
        compare: fence.clone(),
        success,
        failure: vec![Op::get(&run_key), Op::get(&holder_key)],
    };
    let refused = |[row, holder]: [Found; 2]| refusal(shared, &next, holding, row, holder);
    let mut pieces: Vec<&[u8]> = batch.text.chunks(PIECE).collect();
    let last = pieces.pop().unwrap_or_default();
    let count = pieces.len();
    for (piece, part) in pieces.into_iter().enumerate() {
        let put = Op::put(&shared.keys.piece(run, next.due, piece), part);
        let answer = shared.gateway.txn(&guarded(vec![put])).await;
        let answer = answer.map_err(Trouble::words)?;
        if !answer.succeeded {
            return Err(refused(answer.found()));
        }
    }
    let value = rows::write(&next.row)?;
    let mut success = vec![
        Op::put(&run_key, &value),
        Op::put(&shared.keys.piece(run, next.due, count), last),
        // Somebody who died here may have left more pieces than there are now.
        Op::delete_span(
            &shared.keys.piece(run, next.due, count + 1),
            &after_all(&shared.keys.batch(run, next.due)),
        ),
    ];
    success.extend(beside(shared, run, &next)?);
    success.extend(debts(shared, run, &next, &batch.outline)?);
    let answer = match shared.gateway.txn(&guarded(success)).await {
        Ok(answer) => answer,
        // Whether it was done is to be seen there; if not, it may still be, and counts as an error.
        Err(Trouble::Silent(why)) => {
            let there = [Op::get(&run_key)];
            let there = shared.gateway.look_within(there, LAST_LOOK).await;
            let there = there.ok().and_then(|[row]| row.one());
            return match there.filter(|there| there.value.0 == value) {
                Some(there) => Ok(next.known(there.mod_revision)),
                None => Err(Trouble::Silent(why).words()),
            };
        }
        Err(trouble) => return Err(trouble.words()),
    };
    if answer.succeeded {
        let changed_at = answer.header.revision;
        return Ok(next.known(changed_at));
    }
    let [row, holder] = answer.found();
    // A try whose answer was lost may have done it.
    match row.kvs.first() {
        Some(there) if there.value.0 == value => Ok(next.known(there.mod_revision)),
        _ => Err(refused([row, holder])),
    }
}

/// What else changes with the row.
fn beside(shared: &Shared, run: &RunId, next: &Next) -> Result<Vec<Op>, String> {
    let mut ops = Vec::new();
    if next.begins {
        ops.push(Op::delete(&shared.keys.announced(run)));
        if let Some(key) = &next.row.key {
            let row = KeyRow {
                v: VERSION,
                run: run.clone(),
            };
            let key = shared.keys.key(&next.row.cluster, key);
            ops.push(Op::put(&key, &rows::write(&row)?));
        }
    }
    match &next.reader {
        Some(_) if next.row.outcome.is_some() => ops.push(Op::delete(&shared.keys.reader(run))),
        Some(kept) if next.is_reader_new => {
            let row = ReaderRow {
                v: VERSION,
                run: run.clone(),
                writer: shared.writer.clone(),
            };
            let value = rows::write(&row)?;
            ops.push(Op::put_leased(&shared.keys.reader(run), &value, kept.id));
        }
        _ => {}
    }
    Ok(ops)
}

/// What it leaves to be done, and what it has done of that.
fn debts(shared: &Shared, run: &RunId, next: &Next, outline: &Outline) -> Result<Vec<Op>, String> {
    let put = |line: &Line| {
        let row = DebtRow {
            v: VERSION,
            run: run.clone(),
            paid: line.paid,
            owed: line.owed.clone(),
            text: line.text.clone(),
        };
        let key = shared.keys.debt(&next.row.cluster, run, line.seq);
        Ok(Op::put(&key, &rows::write(&row)?))
    };
    outline.ledger.iter().map(put).collect()
}

/// Why a transaction was refused, by what stands there instead of what was compared.
fn refusal(
    shared: &Shared,
    next: &Next,
    holding: Option<&Holding>,
    row: Found,
    holder: Found,
) -> String {
    let row = row
        .one()
        .and_then(|kv| rows::read::<RunRow>(&kv.value.0).ok());
    let holder = holder.one();
    match (row, holding) {
        (Some(_), _) if next.changed_at == 0 => "a run of this id stands in it already".to_owned(),
        (Some(row), _) if row.writer != shared.writer => {
            "another process has taken this run over".to_owned()
        }
        (None, _) if next.changed_at != 0 => "this run does not stand in it any more".to_owned(),
        (_, Some(holding)) if holder.as_ref().is_none_or(|kv| kv.value.0 != holding.value) => {
            let cluster = &holding.cluster;
            match holder.and_then(|kv| rows::read::<HolderRow>(&kv.value.0).ok()) {
                Some(holder) => format!(
                    "this run has lost the lease on cluster {cluster}, run {} holds it now",
                    holder.run
                ),
                None => format!("the lease of this run on cluster {cluster} has run out"),
            }
        }
        _ => "somebody else has changed this run".to_owned(),
    }
}
