//! Notes about clusters.

use super::super::note::{moment, newest_first};
use super::answer::Kv;
use super::gateway::Trouble;
use super::reader::{silent, unusable};
use super::rows::{self, NoteRow, VERSION, unique};
use super::shared::Shared;
use super::wire::{Compare, Op, Txn, after_all};
use crate::journal::{HistoryError, Note};

/// How often others may be first before it is given up.
const TRIES: usize = 20;

/// How many notes come with one answer: 3 MiB at most.
const PAGE: i64 = 3;

/// Keeps a note in place of an earlier one.
pub(super) async fn keep(shared: &Shared, note: &Note) -> Result<(), String> {
    let value = value(note)?;
    let key = shared.keys.note(&note.cluster, &note.kind, &note.id);
    let mut there = look(shared, &key).await?;
    for _ in 0..TRIES {
        let (done, now) = change(shared, &key, there, Op::put(&key, &value)).await?;
        // A try whose answer was lost may have done it.
        if done || now.as_ref().is_some_and(|now| now.value.0 == value) {
            return Ok(());
        }
        there = now;
    }
    Err("others change this note all the time".to_owned())
}

/// Keeps a note where there is none; whether it was kept.
pub(super) async fn keep_if_new(shared: &Shared, note: &Note) -> Result<bool, String> {
    let value = value(note)?;
    let key = shared.keys.note(&note.cluster, &note.kind, &note.id);
    shared.identified().await?;
    let (done, now) = change(shared, &key, None, Op::put(&key, &value)).await?;
    Ok(done || now.is_some_and(|now| now.value.0 == value))
}

/// Takes a note away; whether it was there.
pub(super) async fn discard(
    shared: &Shared,
    cluster: &str,
    kind: &str,
    id: &str,
) -> Result<bool, String> {
    let key = shared.keys.note(cluster, kind, id);
    let mut there = look(shared, &key).await?;
    if there.is_none() {
        return Ok(false);
    }
    for _ in 0..TRIES {
        let (done, now) = change(shared, &key, there, Op::delete(&key)).await?;
        // A try whose answer was lost may have done it.
        if done || now.is_none() {
            return Ok(true);
        }
        there = now;
    }
    Err("others change this note all the time".to_owned())
}

async fn look(shared: &Shared, key: &str) -> Result<Option<Kv>, String> {
    shared.identified().await?;
    let there = shared.gateway.look([Op::get(key)]).await;
    let [there] = there.map_err(Trouble::words)?;
    Ok(there.one())
}

/// Changes a note that stands there as it was seen; whether it did, and what stands there otherwise.
async fn change(
    shared: &Shared,
    key: &str,
    seen: Option<Kv>,
    how: Op,
) -> Result<(bool, Option<Kv>), String> {
    let revision = seen.map_or(0, |seen| seen.mod_revision);
    let change = Txn {
        compare: vec![Compare::changed_at(key, revision)],
        success: vec![how],
        failure: vec![Op::get(key)],
    };
    let answer = shared.gateway.txn(&change).await.map_err(Trouble::words)?;
    let done = answer.succeeded;
    let [now] = answer.found();
    Ok((done, now.one()))
}

/// So many notes of a kind at most, the newest first. All of the kind are read for it, and few of them come with one
/// answer: whoever keeps many discards those that nobody needs any more.
pub(super) async fn newest(
    shared: &Shared,
    cluster: Option<&str>,
    kind: &str,
    count: usize,
) -> Result<Vec<Note>, HistoryError> {
    let mut from = shared.keys.notes(kind, cluster);
    let end = after_all(&from);
    let mut notes = Vec::new();
    loop {
        let page = shared.gateway.look([Op::span(&from, &end, PAGE)]).await;
        let [page] = page.map_err(silent(shared))?;
        for kv in &page.kvs {
            notes.push(understood(shared, kv)?);
        }
        newest_first(&mut notes, count);
        match page.kvs.last() {
            Some(last) if page.more => {
                from = String::from_utf8_lossy(&last.key.0).into_owned() + "\0";
            }
            _ => return Ok(notes),
        }
    }
}

fn value(note: &Note) -> Result<Vec<u8>, String> {
    let written = note.written()?;
    rows::write(&NoteRow {
        v: VERSION,
        mark: unique(),
        cluster: note.cluster.clone(),
        kind: note.kind.clone(),
        id: note.id.clone(),
        at: written.at,
        body: note.body.clone(),
    })
}

/// What cannot be understood is named, not passed over.
fn understood(shared: &Shared, kv: &Kv) -> Result<Note, HistoryError> {
    let row: NoteRow = rows::read(&kv.value.0).map_err(|odd| {
        let key = String::from_utf8_lossy(&kv.key.0);
        HistoryError::Journal(unusable(shared, odd.words(&key)))
    })?;
    match moment(&row.at) {
        Ok(at) => Ok(Note {
            cluster: row.cluster,
            kind: row.kind,
            id: row.id,
            at,
            body: row.body,
        }),
        Err(why) => Err(HistoryError::Note {
            cluster: row.cluster,
            kind: row.kind,
            id: row.id,
            place: shared.place(),
            why,
        }),
    }
}
