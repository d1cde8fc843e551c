//! Leases as rows: who may change a cluster, until when, and under which token.

use super::super::belief::{Term, now_ms};
use super::process::Process;
use rusqlite::{Connection, OptionalExtension, params};

/// A lease in somebody's hands.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) cluster: String,
    pub(super) run: String,
    pub(super) token: i64,
}

/// What became of a wish for a lease.
pub(super) enum Granted {
    /// It is taken, until then.
    Taken(Grant, i64),
    /// This run has it.
    Busy(String),
}

/// Takes the lease within a transaction, if nobody has it.
pub(super) fn take(
    change: &Connection,
    cluster: &str,
    run: &str,
    here: &Process,
    term: Term,
) -> rusqlite::Result<Granted> {
    let now = now_ms();
    let known = Row::read(change, cluster)?;
    if let Some(holder) = known.as_ref().and_then(|row| row.holder(here, now)) {
        return Ok(Granted::Busy(holder.to_owned()));
    }
    let grant = Grant {
        cluster: cluster.to_owned(),
        run: run.to_owned(),
        token: known.map_or(0, |row| row.token) + 1,
    };
    let expires = now + term.ttl_ms();
    change
        .prepare_cached(
            "INSERT OR REPLACE INTO leases (cluster, token, run, process, expires_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            cluster,
            grant.token,
            run,
            here.to_string(),
            expires
        ])?;
    Ok(Granted::Taken(grant, expires))
}

/// Renews within a transaction, and says until when; none when the lease is lost: it has run out, even if nobody has
/// taken it yet, or somebody has.
pub(super) fn renew(
    change: &Connection,
    grant: &Grant,
    term: Term,
) -> rusqlite::Result<Option<i64>> {
    let now = now_ms();
    let expires = now + term.ttl_ms();
    let renewed = change
        .prepare_cached(
            "UPDATE leases SET expires_ms = ?4 \
             WHERE cluster = ?1 AND token = ?2 AND run = ?3 AND expires_ms > ?5",
        )?
        .execute(params![grant.cluster, grant.token, grant.run, expires, now])?;
    Ok((renewed == 1).then_some(expires))
}

/// Gives a lease back within a transaction, if it is still this one.
pub(super) fn give_back(change: &Connection, grant: &Grant) -> rusqlite::Result<()> {
    change
        .prepare_cached(
            "UPDATE leases SET run = NULL, process = NULL, expires_ms = NULL \
             WHERE cluster = ?1 AND token = ?2 AND run = ?3",
        )?
        .execute(params![grant.cluster, grant.token, grant.run])?;
    Ok(())
}

/// A cluster's lease as it stands in the table.
pub(super) struct Row {
    pub(super) token: i64,
    run: Option<String>,
    process: Option<String>,
    expires_ms: Option<i64>,
}

impl Row {
    pub(super) fn read(connection: &Connection, cluster: &str) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT token, run, process, expires_ms FROM leases WHERE cluster = ?1",
            )?
            .query_row([cluster], |row| {
                Ok(Self {
                    token: row.get(0)?,
                    run: row.get(1)?,
                    process: row.get(2)?,
                    expires_ms: row.get(3)?,
                })
            })
            .optional()
    }

    /// The run that has it now.
    pub(super) fn holder(&self, here: &Process, now: i64) -> Option<&str> {
        let run = self.run.as_deref()?;
        let in_time = self.expires_ms.is_some_and(|expires| now < expires);
        let process = self.process.as_deref().and_then(Process::parse);
        (in_time && !process.is_some_and(|process| process.is_gone(here))).then_some(run)
    }
}
