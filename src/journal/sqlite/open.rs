//! Opens the file of a store: makes it, refuses what is not ours, brings an older one up to date.

use super::super::file::make_directory;
use super::error::{BUSY, JournalError};
use super::held;
use super::owner::what_to_do;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// Tells a journal from other SQLite files: `pgbt`.
pub(super) const APPLICATION: i64 = 0x7067_6274;

/// What leads from each version to the next. What stands here once is never changed: files of that version exist.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("1.sql"),
    include_str!("2.sql"),
    include_str!("3.sql"),
    include_str!("4.sql"),
];

/// The oldest version of which everything that is only looked at can be read.
const READABLE: i64 = 1;

/// How far the log may grow before it is copied into the file in the middle of a run, in pages of 4 KiB. A failover
/// fills a tenth of it; between runs it is copied anyway.
const LOG_PAGES: i64 = 4096;

/// What a new log is written over, in bytes: a failover needs some 160 KiB.
const LOG_MADE: u64 = 256 << 10;

/// The length to which the log is cut back when it starts anew.
const LOG_KEPT: i64 = 4 << 20;

/// Opens a store for reading and writing, and makes it when it is not there.
pub(super) fn open_to_write(path: &Path) -> Result<Connection, JournalError> {
    make(path).map_err(|error| refused(path, &error))?;
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let sql = |error: rusqlite::Error| JournalError::of(path, &error);
    if connection.is_readonly("main").map_err(sql)? {
        return Err(JournalError::read_only(path));
    }
    bring_up_to_date(&mut connection, path, MIGRATIONS)?;
    write_ahead(&connection).map_err(sql)?;
    for (name, value) in [
        ("wal_autocheckpoint", LOG_PAGES),
        ("journal_size_limit", LOG_KEPT),
    ] {
        connection
            .pragma_update_and_check(None, name, value, |_| Ok(()))
            .map_err(sql)?;
    }
    keep_log(&mut connection, path).map_err(sql)?;
    Ok(connection)
}

/// Has the log begin anew with a length that it keeps: a commit that lengthens its file waits until the file system has
/// written down what everybody else is doing to the disk, and in a failover that is a lot. So the log stays when the
/// last one closes it, and a new one is written once over what a failover needs.
fn keep_log(connection: &mut Connection, path: &Path) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let length = std::fs::metadata(&log).map_or(0, |log| log.len());
    if length < LOG_MADE {
        // Where there is no room for it the log grows as it is needed.
        if let Err(error) = lengthen(connection) {
            tracing::debug!(%error, "the log of the journal is not made longer");
        }
    }
    let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    match copied {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(()),
        other => other,
    }
}

fn lengthen(connection: &mut Connection) -> rusqlite::Result<()> {
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    change.execute_batch("CREATE TABLE IF NOT EXISTS room (x BLOB) STRICT")?;
    change.execute("INSERT INTO room VALUES (zeroblob(?1))", [LOG_MADE])?;
    change.commit()?;
    connection.execute_batch("DROP TABLE IF EXISTS room")
}

/// Opens a store to look at it. Nothing is made and nothing is changed. Blocks for a second at most, where somebody has
/// just begun to make it.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, JournalError> {
    /// For so long a file without anything in it is not called unreadable.
    const MADE_WITHIN: Duration = Duration::from_secs(1);
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let begun = Instant::now();
    let version = loop {
        let version = version(&connection).map_err(|error| JournalError::of(path, &error))?;
        if version >= READABLE || begun.elapsed() > MADE_WITHIN {
            break version;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    if version < READABLE {
        return Err(JournalError::Open {
            path: path.to_owned(),
            why: format!(
                "it has version {version}; the next run brings it to version {}",
                known(MIGRATIONS)
            ),
        });
    }
    Ok(connection)
}

/// Makes the file if it is not there. SQLite would open one that may not be written, for reading.
fn make(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make_directory(directory)?;
    held::make(path, directory)
}

pub(super) fn refused(path: &Path, error: &io::Error) -> JournalError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            JournalError::read_only(&path)
        }
        io::ErrorKind::StorageFull => JournalError::Open {
            path,
            why: "its disk is full: make room there".to_owned(),
        },
        _ => JournalError::Open {
            path,
            why: error.to_string(),
        },
    }
}

/// Connects, and makes sure that the file is ours and not of a later version before anything is changed.
fn connect(path: &Path, access: OpenFlags) -> Result<Connection, JournalError> {
    /// Another process may be just making it: for so long a file is not called foreign.
    const MAKING: Duration = Duration::from_millis(200);
    let begun = Instant::now();
    while let Err(error) = look(path) {
        if !matches!(error, JournalError::NotOurs { .. }) || begun.elapsed() > MAKING {
            return Err(error);
        }
        std::thread::sleep(MAKING / 10);
    }
    let sql = |error: rusqlite::Error| JournalError::of(path, &error);
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.busy_timeout(BUSY).map_err(sql)?;
    // So that closing a file that is refused leaves it as it is.
    let keep = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(keep, true).map_err(sql)?;
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)
        .map_err(sql)?;
    let (application, version, tables) = identity(&connection).map_err(sql)?;
    let empty = (application, version, tables) == (0, 0, 0);
    if application != APPLICATION && !empty {
        return Err(JournalError::NotOurs {
            path: path.to_owned(),
        });
    }
    if version > known(MIGRATIONS) {
        return Err(newer(path, version));
    }
    connection.set_db_config(keep, false).map_err(sql)?;
    Ok(connection)
}

/// Whose file it is, of which version, and how much is in it, all at one moment.
fn identity(connection: &Connection) -> rusqlite::Result<(i64, i64, i64)> {
    let moment = connection.unchecked_transaction()?;
    let tables = moment.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let application = moment.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok((application, version(&moment)?, tables))
}

/// Looks at the first page without SQLite, which makes files beside it as soon as it looks. What is only in the log so
/// far cannot be seen from here: SQLite is asked afterwards.
fn look(path: &Path) -> Result<(), JournalError> {
    let head = held::head(path, 100).map_err(|error| JournalError::Open {
        path: path.to_owned(),
        why: match error.kind() {
            io::ErrorKind::PermissionDenied => what_to_do(path),
            _ => error.to_string(),
        },
    })?;
    if head.is_empty() {
        return Ok(());
    }
    let number = |at: usize| {
        let bytes = head.get(at..at + 4)?;
        Some(i64::from(u32::from_be_bytes(bytes.try_into().ok()?)))
    };
    let application = number(68);
    if !head.starts_with(b"SQLite format 3\0")
        || application.is_none_or(|id| id != 0 && id != APPLICATION)
    {
        return Err(JournalError::NotOurs {
            path: path.to_owned(),
        });
    }
    match number(60) {
        Some(version) if version > known(MIGRATIONS) && application == Some(APPLICATION) => {
            Err(newer(path, version))
        }
        _ => Ok(()),
    }
}

fn newer(path: &Path, version: i64) -> JournalError {
    JournalError::Newer {
        path: path.to_owned(),
        version,
        known: known(MIGRATIONS),
    }
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn known(migrations: &[&str]) -> i64 {
    i64::try_from(migrations.len()).unwrap_or(i64::MAX)
}

/// Takes every step from the version of the file to the latest, each in a transaction of its own.
pub(super) fn bring_up_to_date(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), JournalError> {
    loop {
        let from = version(connection).map_err(|error| JournalError::of(path, &error))?;
        if from >= known(migrations) {
            return Ok(());
        }
        step(connection, migrations).map_err(|error| match JournalError::of(path, &error) {
            JournalError::Open { path, why } => JournalError::Migration {
                path,
                from,
                to: from + 1,
                why,
            },
            other => other,
        })?;
    }
}

fn step(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again under the lock: another process may have been first.
    let from = version(&change)?;
    if let Some(migration) = usize::try_from(from).ok().and_then(|at| migrations.get(at)) {
        change.execute_batch(migration)?;
        change.pragma_update(None, "application_id", APPLICATION)?;
        change.pragma_update(None, "user_version", from + 1)?;
    }
    change.commit()
}

/// Turns write-ahead logging on. SQLite does not wait by itself here when another process does the same.
fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    let begun = Instant::now();
    loop {
        let turned = connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()));
        match turned {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && begun.elapsed() < BUSY =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}
