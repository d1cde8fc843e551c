//! Messages to runs, and the keys with which runs are announced.

use super::answer::Kv;
use super::gateway::Trouble;
use super::rows::{self, AnnouncedRow, KeyRow, LetterRow, VERSION, unique};
use super::shared::Shared;
use super::wire::{Compare, Op, Txn};
use crate::engine::{Letter, Message, RunId};

/// How often others may be first before it is given up.
const TRIES: usize = 20;

/// How many messages come with one answer.
const PAGE: i64 = 100;

/// Keeps a message and gives it the next number of its run.
pub(super) async fn post(shared: &Shared, run: &RunId, letter: &Letter) -> Result<u64, String> {
    shared.identified().await?;
    let value = rows::write(&LetterRow {
        v: VERSION,
        id: unique(),
        letter: letter.clone(),
    })?;
    for _ in 0..TRIES {
        let last = Op::last(
            &shared.keys.message(run, 0),
            &shared.keys.after_messages(run),
        );
        let [last] = shared.gateway.look([last]).await.map_err(Trouble::words)?;
        let number = match last.one() {
            Some(last) => number_of(shared, run, &last)? + 1,
            None => 1,
        };
        let key = shared.keys.message(run, number);
        let posting = Txn {
            compare: vec![Compare::is_absent(&key)],
            success: vec![Op::put(&key, &value)],
            failure: vec![Op::get(&key)],
        };
        let answer = shared.gateway.txn(&posting).await.map_err(Trouble::words)?;
        let is_posted = answer.succeeded;
        let [there] = answer.found();
        // A try whose answer was lost may have done it.
        if is_posted || there.one().is_some_and(|there| there.value.0 == value) {
            return Ok(number);
        }
    }
    Err("others write to this run all the time".to_owned())
}

/// The messages to a run above this number, in order. What cannot be understood is named, not passed over: it could be a
/// cancellation.
pub(super) async fn messages(
    shared: &Shared,
    run: &RunId,
    after: u64,
) -> Result<Vec<Message>, String> {
    let end = shared.keys.after_messages(run);
    let mut after = after;
    let mut messages = Vec::new();
    loop {
        let page = Op::span(
            &shared.keys.message(run, after.saturating_add(1)),
            &end,
            PAGE,
        );
        let [page] = shared.gateway.look([page]).await.map_err(Trouble::words)?;
        for there in &page.kvs {
            let number = number_of(shared, run, there)?;
            let row: LetterRow = rows::read(&there.value.0)
                .map_err(|odd| odd.words(&format!("message {number}")))?;
            messages.push(Message {
                number,
                letter: row.letter,
            });
            after = number;
        }
        if !page.more {
            return Ok(messages);
        }
    }
}

fn number_of(shared: &Shared, run: &RunId, there: &Kv) -> Result<u64, String> {
    let number = shared.keys.number_of(run, &there.key.0);
    number.ok_or_else(|| {
        let key = String::from_utf8_lossy(&there.key.0);
        format!("{key} is the key of no message")
    })
}

/// Keeps the key of a run that is about to begin; answers with the earlier run that has it.
pub(super) async fn announce(
    shared: &Shared,
    run: &RunId,
    cluster: &str,
    key: &str,
) -> Result<Option<RunId>, String> {
    shared.identified().await?;
    let row = AnnouncedRow {
        v: VERSION,
        cluster: cluster.to_owned(),
        key: key.to_owned(),
    };
    let taken = shared.keys.key(cluster, key);
    let announcement = Txn {
        compare: vec![Compare::is_absent(&taken)],
        success: vec![Op::put(&shared.keys.announced(run), &rows::write(&row)?)],
        failure: vec![Op::get(&taken)],
    };
    let answer = shared.gateway.txn(&announcement).await;
    let [there] = answer.map_err(Trouble::words)?.found();
    let Some(there) = there.one() else {
        return Ok(None);
    };
    let earlier: KeyRow =
        rows::read(&there.value.0).map_err(|odd| odd.words("the run of this key"))?;
    Ok((earlier.run != *run).then_some(earlier.run))
}
