//! A replication slot, as its server tells of it.

use super::{Lsn, SlotName};
use serde::{Deserialize, Serialize};

/// One replication slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its name.
    pub name: SlotName,
    /// Physical, as opposed to logical.
    pub physical: bool,
    /// The process that holds it.
    pub active_pid: Option<u32>,
    /// The oldest WAL it keeps.
    pub restart: Option<Lsn>,
    /// Whether what it promises to keep is still there.
    pub wal_status: WalStatus,
    /// Standbys are to have a copy of it (logical ones, 17 and later).
    #[serde(default)]
    pub failover: bool,
    /// Where it comes from.
    #[serde(default)]
    pub origin: SlotOrigin,
    /// How far its subscriber has come, as it confirmed; only of a logical one.
    #[serde(default)]
    pub confirmed: Option<Lsn>,
}

impl Slot {
    /// A logical slot from which a subscriber can go on once the node is a primary.
    pub fn serves_subscribers(&self) -> bool {
        !self.physical
            && matches!(self.origin, SlotOrigin::Own | SlotOrigin::Copied)
            && self.wal_status != WalStatus::Lost
    }
}

/// Where a slot comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlotOrigin {
    /// It was made here, and stays.
    #[default]
    Own,
    /// It ends with the session that made it.
    Session,
    /// The standby has it from the primary, and may use it once it is promoted.
    Copied,
    /// The standby has begun to copy it: it goes when the standby is promoted now.
    Copying,
}

/// `pg_replication_slots.wal_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WalStatus {
    /// Within `max_wal_size`.
    Reserved,
    /// Beyond it, kept by the slot.
    Extended,
    /// About to be removed.
    Unreserved,
    /// Removed: useless.
    Lost,
    /// The slot reserves nothing yet, or the server is too old to tell.
    Unknown,
}
