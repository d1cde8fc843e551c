//! Messages to runs, within a transaction.

use crate::engine::{Letter, Message, RunId};
use rusqlite::{Connection, params};

/// Keeps a message and gives it the next number of its run.
pub(super) fn post(change: &Connection, run: &RunId, letter: &str) -> rusqlite::Result<u64> {
    change
        .prepare_cached(
            "INSERT INTO messages (run, number, json) \
             VALUES (?1, 1 + (SELECT coalesce(max(number), 0) FROM messages WHERE run = ?1), ?2) \
             RETURNING number",
        )?
        .query_row(params![&*run.0, letter], |row| row.get(0))
}

/// The messages to a run above this number, in order.
pub(super) fn messages(
    connection: &Connection,
    run: &RunId,
    after: u64,
) -> rusqlite::Result<Vec<(u64, String)>> {
    connection
        .prepare_cached(
            "SELECT number, json FROM messages WHERE run = ?1 AND number > ?2 ORDER BY number",
        )?
        .query_map(params![&*run.0, after], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
}

/// A message as it was kept; what cannot be understood is named, not passed over: it could be a cancellation.
pub(super) fn understood((number, json): (u64, String)) -> Result<Message, String> {
    serde_json::from_str::<Letter>(&json)
        .map(|letter| Message { number, letter })
        .map_err(|error| format!("message {number} is damaged: {error}"))
}
