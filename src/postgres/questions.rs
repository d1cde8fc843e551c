//! What is asked of a running server, each in one round trip, and how the answer is read.

use super::wire::Answer;
use super::{literal, wal_files};
use crate::cluster::{
    Identity, Lsn, Receiver, Sender, Server, Setting, Slot, SlotName, SlotOrigin, StartupState,
    SystemId, Timeline, WalStatus,
};
use std::collections::BTreeMap;
use std::str::FromStr;

/// An answer that is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer has no usable `{0}`")]
pub(crate) struct Garbled(pub(super) &'static str);

/// One row, read by position.
pub(super) struct Fields<'a> {
    row: &'a [Option<String>],
    next: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn of(row: &'a [Option<String>]) -> Self {
        Self { row, next: 0 }
    }

    fn text(&mut self) -> Option<&'a str> {
        let value = self.row.get(self.next).and_then(Option::as_deref);
        self.next += 1;
        value
    }

    fn optional<T: FromStr>(&mut self, name: &'static str) -> Result<Option<T>, Garbled> {
        self.text()
            .map(|text| text.parse().map_err(|_| Garbled(name)))
            .transpose()
    }

    pub(super) fn required<T: FromStr>(&mut self, name: &'static str) -> Result<T, Garbled> {
        self.optional(name)?.ok_or(Garbled(name))
    }

    /// `t` or `true`: KingbaseES prints both, depending on its mode.
    fn boolean(&mut self) -> bool {
        matches!(self.text(), Some("t" | "true" | "1"))
    }

    fn slot(&mut self) -> Option<SlotName> {
        self.text().and_then(|name| SlotName::parse(name).ok())
    }
}

/// A server's view of itself, with what is worth remembering of a primary.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) server: Server,
    /// The session may see other sessions' columns; without that, a receiver that exists looks absent.
    pub(crate) may_see: bool,
    pub(crate) synchronous_standby_names: String,
    pub(crate) synchronous_commit: String,
    pub(crate) receivers: Vec<String>,
    /// Of a primary.
    pub(crate) timeline: Option<Timeline>,
}

/// Our own replication session is a row of `pg_stat_replication`, too: one that never starts to stream. So are the two of
/// a copy that is being made ([`super::rebuild::COPYING`]), which is no standby yet.
macro_rules! senders {
    () => {
        "pg_stat_replication WHERE NOT (application_name = 'pgbaton' AND state = 'startup' OR application_name = 'pgbaton-copy')"
    };
}

/// The statement behind [`seen`]. Asks the functions below the views where it can: planning the views' joins would
/// take longer than all the rest.
pub(crate) fn server(major: u32) -> String {
    let flushed = if major >= 13 {
        "flushed_lsn"
    } else {
        "received_lsn"
    };
    let senders = senders!();
    format!(
        "WITH me AS MATERIALIZED (SELECT pg_is_in_recovery() AS standby), \
         active AS MATERIALIZED (SELECT pid, backend_type, wait_event FROM pg_stat_get_activity(NULL)), \
         rep AS MATERIALIZED (SELECT count(*) AS n, string_agg(application_name, E'\\n' ORDER BY application_name) AS names FROM {senders}) \
         SELECT current_setting('server_version_num'), standby::int, \
         CASE WHEN NOT standby THEN pg_current_wal_flush_lsn() END, \
         CASE WHEN standby THEN pg_last_wal_receive_lsn() END, \
         CASE WHEN standby THEN pg_last_wal_replay_lsn() END, \
         CASE WHEN standby THEN pg_is_wal_replay_paused()::int ELSE 0 END, \
         (SELECT coalesce(wait_event, '') FROM active WHERE backend_type = 'startup' LIMIT 1), \
         (SELECT pid FROM active WHERE backend_type = 'walreceiver' LIMIT 1), \
         (SELECT n FROM rep), \
         pg_has_role('pg_read_all_stats', 'USAGE')::int, \
         current_setting('synchronous_standby_names'), current_setting('synchronous_commit'), \
         (SELECT names FROM rep), \
         CASE WHEN NOT standby THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END, \
         r.pid, r.status, r.sender_host, r.sender_port, r.slot_name, r.received_tli, r.{flushed}, \
         round(extract(epoch FROM clock_timestamp() - r.last_msg_receipt_time) * 1000)::bigint \
         FROM me LEFT JOIN pg_stat_wal_receiver r ON true"
    )
}

/// What every failover asks.
pub(crate) const USUAL: [fn(u32) -> String; 5] = [
    server,
    slots,
    |_| SENDERS.to_owned(),
    |_| settings(&["primary_conninfo"]),
    |_| wal_files::WAL_FILES.to_owned(),
];

/// Reads the answer to [`server`].
pub(crate) fn seen(answers: &[Answer]) -> Result<Seen, Garbled> {
    let row = answers
        .first()
        .and_then(|a| a.rows.first())
        .ok_or(Garbled("row"))?;
    let mut f = Fields::of(row);
    let version = f.required("server_version_num")?;
    let in_recovery = f.boolean();
    let written = f.optional("current lsn")?;
    let received = f.optional("received lsn")?;
    let replayed = f.optional("replayed lsn")?;
    let replay_paused = f.boolean();
    let startup = startup_state(f.text());
    let receiver_pid = f.optional("receiver pid")?;
    let senders = f.required("senders")?;
    let may_see = f.boolean();
    let synchronous_standby_names = f.text().unwrap_or_default().to_owned();
    let synchronous_commit = f.text().unwrap_or_default().to_owned();
    let receivers = f
        .text()
        .map(|t| t.lines().map(str::to_owned).collect())
        .unwrap_or_default();
    let timeline = f
        .text()
        .map(|t| u32::from_str_radix(t, 16).map_err(|_| Garbled("timeline")))
        .transpose()?
        .map(Timeline);
    let row = match f.optional("receiver pid")? {
        Some(pid) => Some(Receiver {
            pid,
            status: f.text().unwrap_or_default().to_owned(),
            host: f.text().unwrap_or_default().to_owned(),
            port: f.optional("sender port")?.unwrap_or_default(),
            slot: f.slot(),
            timeline: f.optional("received timeline")?.map(Timeline),
            flushed: f.optional("flushed lsn")?,
            silent_ms: f.optional("last message")?,
        }),
        None => None,
    };
    Ok(Seen {
        server: Server {
            version,
            in_recovery,
            written,
            received,
            replayed,
            replay_paused,
            startup,
            receiver: row,
            receiver_pid,
            senders,
        },
        may_see,
        synchronous_standby_names,
        synchronous_commit,
        receivers,
        timeline,
    })
}

/// What the startup process waits for, by the names of several versions: up to 12 `RecoveryWalAll` is the wait for WAL
/// and `RecoveryWalStream` the pause after nothing was found; since 13 they are `RecoveryWalStream` and
/// `RecoveryRetrieveRetryInterval`.
fn startup_state(wait_event: Option<&str>) -> StartupState {
    match wait_event {
        None => StartupState::NotSeen,
        Some("RecoveryWalStream" | "RecoveryWalAll" | "RecoveryRetrieveRetryInterval") => {
            StartupState::WaitsForWal
        }
        Some(_) => StartupState::Busy,
    }
}

/// Reads the answer to `IDENTIFY_SYSTEM`.
pub(crate) fn identity(answers: &[Answer]) -> Result<Identity, Garbled> {
    let row = answers
        .first()
        .and_then(|a| a.rows.first())
        .ok_or(Garbled("row"))?;
    let mut f = Fields::of(row);
    Ok(Identity {
        system: SystemId(f.required("systemid")?),
        timeline: Timeline(f.required("timeline")?),
        at: f.required("xlogpos")?,
    })
}

pub(crate) const SENDERS: &str = concat!(
    "SELECT pid, application_name, state, sent_lsn, flush_lsn, replay_lsn, sync_state FROM ",
    senders!(),
    " ORDER BY application_name, pid"
);

/// Reads the answer to [`SENDERS`].
pub(crate) fn senders(answers: &[Answer]) -> Result<Vec<Sender>, Garbled> {
    let rows = answers.iter().flat_map(|a| &a.rows);
    rows.map(|row| {
        let mut f = Fields::of(row);
        Ok(Sender {
            pid: f.required("pid")?,
            application: f.text().unwrap_or_default().to_owned(),
            state: f.text().ok_or(Garbled("state"))?.to_owned(),
            sent: f.optional("sent_lsn")?,
            flushed: f.optional("flush_lsn")?,
            replayed: f.optional("replay_lsn")?,
            sync_state: f.text().unwrap_or_default().to_owned(),
        })
    })
    .collect()
}

/// The slots, and in every row how many there may be.
pub(crate) fn slots(major: u32) -> String {
    let status = if major >= 13 { "s.wal_status" } else { "NULL" };
    let copies = if major >= 17 {
        "s.failover::int, CASE WHEN s.synced AND s.temporary THEN 'copying' WHEN s.synced THEN 'copied'"
    } else {
        "0, CASE"
    };
    format!(
        "SELECT current_setting('max_replication_slots'), s.slot_name, s.slot_type, s.active_pid, s.restart_lsn, {status}, \
         {copies} WHEN s.temporary THEN 'session' ELSE 'own' END, \
         s.confirmed_flush_lsn \
         FROM (SELECT 1) one LEFT JOIN pg_replication_slots s ON true ORDER BY s.slot_name"
    )
}

/// Reads the answer to [`slots`].
pub(crate) fn slots_seen(answers: &[Answer]) -> Result<(Vec<Slot>, u32), Garbled> {
    let mut limit = None;
    let mut slots = Vec::new();
    for row in answers.iter().flat_map(|a| &a.rows) {
        let mut f = Fields::of(row);
        limit = Some(f.required("max_replication_slots")?);
        let Some(name) = f.slot() else { continue };
        slots.push(Slot {
            name,
            physical: f.text() == Some("physical"),
            active_pid: f.optional("active_pid")?,
            restart: f.optional::<Lsn>("restart_lsn")?,
            wal_status: match f.text() {
                Some("reserved") => WalStatus::Reserved,
                Some("extended") => WalStatus::Extended,
                Some("unreserved") => WalStatus::Unreserved,
                Some("lost") => WalStatus::Lost,
                _ => WalStatus::Unknown,
            },
            failover: f.boolean(),
            origin: match f.text() {
                Some("copied") => SlotOrigin::Copied,
                Some("copying") => SlotOrigin::Copying,
                Some("session") => SlotOrigin::Session,
                _ => SlotOrigin::Own,
            },
            confirmed: f.optional::<Lsn>("confirmed_flush_lsn")?,
        });
    }
    Ok((slots, limit.ok_or(Garbled("max_replication_slots"))?))
}

/// Settings whose values may hold a password or a site's secret.
const SECRET: [&str; 6] = [
    "primary_conninfo",
    "restore_command",
    "archive_command",
    "archive_cleanup_command",
    "recovery_end_command",
    "ssl_passphrase_command",
];

/// Settings by name; the values of secret ones do not leave the server.
pub(crate) fn settings(names: &[&str]) -> String {
    let list = |names: &[&str]| {
        names
            .iter()
            .map(|n| literal(n))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if names.is_empty() {
        return "SELECT NULL WHERE false".to_owned();
    }
    // Lengths and no comparison with '': in KingbaseES' Oracle mode that is NULL.
    format!(
        "SELECT name, CASE WHEN name IN ({}) THEN '' ELSE setting END, context, source, pending_restart::int, \
         (name IN ({}))::int, (length(setting) > 0)::int, \
         (source = 'configuration file' AND coalesce(sourcefile LIKE '%.auto.conf', true))::int \
         FROM pg_settings WHERE name IN ({})",
        list(&SECRET),
        list(&SECRET),
        list(names)
    )
}

/// Reads the answer to [`settings`].
pub(crate) fn settings_seen(answers: &[Answer]) -> Result<BTreeMap<String, Setting>, Garbled> {
    let rows = answers.iter().flat_map(|a| &a.rows);
    rows.map(|row| {
        let mut f = Fields::of(row);
        let name = f.text().ok_or(Garbled("name"))?.to_owned();
        let setting = Setting {
            value: f.text().unwrap_or_default().to_owned(),
            context: f.text().unwrap_or_default().to_owned(),
            source: f.text().unwrap_or_default().to_owned(),
            pending_restart: f.boolean(),
            secret: f.boolean(),
            set: f.boolean(),
            // A file that we may not see: to set the value is nearer than to lose it.
            by_alter_system: f.boolean(),
        };
        Ok((name, setting))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(row: &[Option<&str>]) -> Vec<Answer> {
        vec![Answer {
            rows: vec![row.iter().map(|v| v.map(str::to_owned)).collect()],
            ..Answer::default()
        }]
    }

    #[test]
    fn each_version_is_asked_for_columns_that_it_has() {
        for (major, flushed, status, copies) in [
            (12, "received_lsn", "NULL", false),
            (16, "flushed_lsn", "wal_status", false),
            (17, "flushed_lsn", "wal_status", true),
        ] {
            assert!(server(major).contains(&format!("r.{flushed}")));
            assert!(slots(major).contains(status));
            assert_eq!(slots(major).contains("s.synced"), copies);
        }
    }

    #[test]
    fn the_startup_process_waits_for_wal_under_every_name() {
        for (event, state) in [
            (Some("RecoveryWalStream"), StartupState::WaitsForWal),
            (Some("RecoveryWalAll"), StartupState::WaitsForWal),
            (
                Some("RecoveryRetrieveRetryInterval"),
                StartupState::WaitsForWal,
            ),
            (Some("RecoveryPause"), StartupState::Busy),
            (Some("RecoveryApplyDelay"), StartupState::Busy),
            (Some(""), StartupState::Busy),
            (None, StartupState::NotSeen),
        ] {
            assert_eq!(startup_state(event), state, "{event:?}");
        }
    }

    #[test]
    fn a_server_without_slots_still_tells_its_limit() {
        let none = answer(&[Some("10"), None, None, None, None, None]);
        assert_eq!(slots_seen(&none).unwrap(), (vec![], 10));
        assert!(slots_seen(&[]).is_err());
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert!(identity(&answer(&[Some("7"), Some("x"), Some("0/1")])).is_err());
        assert!(seen(&answer(&[Some("150019")])).is_err());
    }

    #[test]
    fn names_are_quoted() {
        assert!(settings(&["x'; DROP"]).contains("'x''; DROP'"));
    }
}
