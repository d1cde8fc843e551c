//! What can be wrong with a store.

use super::owner::what_to_do;
use rusqlite::ErrorCode;
use std::path::PathBuf;
use std::time::Duration;

/// How long anybody waits for another process that is writing.
pub(super) const BUSY: Duration = Duration::from_secs(20);

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It or its directory cannot be made or opened.
    #[error("the journal {path} cannot be opened: {why}")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why, and what can be done.
        why: String,
    },
    /// It cannot be written.
    #[error("the journal {path} cannot be written: {help}")]
    ReadOnly {
        /// Which.
        path: PathBuf,
        /// What can be done.
        help: String,
    },
    /// A later pgbaton made it.
    #[error(
        "the journal {path} has version {version}, this pgbaton knows up to {known}: use the pgbaton that wrote it, \
         or a later one; nothing was changed"
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// What it has.
        version: i64,
        /// What this program has.
        known: i64,
    },
    /// It belongs to another program.
    #[error(
        "{path} is no journal of pgbaton: keep the journal in another place; nothing was changed"
    )]
    NotOurs {
        /// Which.
        path: PathBuf,
    },
    /// Its content contradicts itself.
    #[error(
        "the journal {path} is damaged ({why}): see first whether a run was under way, and how its cluster stands; then \
         move it away, with the files beside it that end in -wal and -shm. `sqlite3 FILE .recover` shows what is left"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
    /// It could not be brought to the version of this program.
    #[error(
        "the journal {path} stays at version {from}, it could not be brought to version {to}: {why}"
    )]
    Migration {
        /// Which.
        path: PathBuf,
        /// What it has.
        from: i64,
        /// What was tried.
        to: i64,
        /// Why.
        why: String,
    },
    /// What was given as an address of a store is none.
    #[error("the journal cannot be kept at {endpoint}: {why}")]
    Endpoint {
        /// Which, without what may be secret in it.
        endpoint: String,
        /// Why.
        why: String,
    },
    /// The servers that keep it gave no answer that can be used.
    #[error("the journal {place} cannot be used: {why}")]
    Unusable {
        /// Where.
        place: String,
        /// Why, and what can be done.
        why: String,
    },
}

impl JournalError {
    pub(super) fn read_only(path: &std::path::Path) -> Self {
        Self::ReadOnly {
            path: path.to_owned(),
            help: what_to_do(path),
        }
    }

    pub(super) fn of(path: &std::path::Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::ReadOnly) => Self::read_only(&path),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged {
                path,
                why: error.to_string(),
            },
            _ => Self::Open {
                path,
                why: words(error),
            },
        }
    }
}

/// What SQLite says, in words for a person who may have to do something.
pub(super) fn words(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "its disk is full: make room there".to_owned(),
        Some(ErrorCode::ReadOnly) => {
            "it may only be read: allow writing of the file and of its directory".to_owned()
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => format!(
            "another process has kept it locked for {} s: see which with `fuser`",
            BUSY.as_secs()
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            format!("it is damaged ({error}): move it away and see to the cluster")
        }
        Some(ErrorCode::CannotOpen) => {
            format!("the file, or one beside it, cannot be made or opened ({error})")
        }
        Some(ErrorCode::SystemIoFailure) => {
            format!("the system cannot read or write it ({error}): see to its disk, or its limits")
        }
        _ => error.to_string(),
    }
}

/// Whether a later write may be tried after this. After a failed sync of the disk, what was written before and was in
/// order may be lost although later syncs succeed: nothing may be built on it.
pub(super) fn is_passing(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}
