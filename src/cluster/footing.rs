//! What a server stands on: the disks that it writes to, the file that holds its settings, and what it starts with.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The settings that a standby must have at least as high as its primary: with a lower one it stops, or stops replaying.
pub const STANDBY_LIMITS: [&str; 5] = [
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
];

/// What the host of a node says about that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footing {
    /// How many bytes the server may still write where its data lie.
    pub data_free: u64,
    /// The same where its WAL lies.
    pub wal_free: u64,
    /// Why `ALTER SYSTEM` could not change its settings, or would lose some: what is the matter with their file.
    pub settings_file: Option<String>,
    /// What it would start with; only where that was asked for.
    pub start: Option<StartLimits>,
}

/// The settings of [`STANDBY_LIMITS`], by name, as far as they could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartLimits {
    /// What its data ask for at least, by the control data: what its primary had.
    pub least: BTreeMap<String, i64>,
    /// What its files say.
    pub files: BTreeMap<String, i64>,
}
