//! What is kept, as JSON. Every value carries the version of its form.

use crate::engine::{Letter, Outcome, Owed, RunId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version that this program writes and reads.
pub(super) const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreRow {
    pub(super) v: u32,
    pub(super) name: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRow {
    pub(super) v: u32,
    pub(super) last: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HolderRow {
    pub(super) v: u32,
    pub(super) run: RunId,
    pub(super) token: u64,
    /// The lease of etcd that takes it away. No other acquisition has the same.
    pub(super) lease: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunRow {
    pub(super) v: u32,
    pub(super) run: RunId,
    pub(super) cluster: String,
    pub(super) playbook: String,
    pub(super) version: Option<String>,
    pub(super) trigger: String,
    pub(super) key: Option<String>,
    pub(super) started: String,
    pub(super) ended: Option<String>,
    pub(super) outcome: Option<Outcome>,
    pub(super) last_seq: u64,
    /// Who writes it: a name that no two have.
    pub(super) writer: String,
    /// The token of the lease under which it is written; none when it only reads.
    pub(super) token: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReaderRow {
    pub(super) v: u32,
    pub(super) run: RunId,
    pub(super) writer: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRow {
    pub(super) v: u32,
    pub(super) run: RunId,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DebtRow {
    pub(super) v: u32,
    pub(super) run: RunId,
    pub(super) paid: bool,
    pub(super) owed: Owed,
    pub(super) text: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnnouncedRow {
    pub(super) v: u32,
    pub(super) cluster: String,
    pub(super) key: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LetterRow {
    pub(super) v: u32,
    /// Tells it from others that say the same.
    pub(super) id: String,
    pub(super) letter: Letter,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoteRow {
    pub(super) v: u32,
    /// Tells it from others that say the same.
    pub(super) mark: String,
    pub(super) cluster: String,
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) at: String,
    pub(super) body: serde_json::Value,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// Why a value cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Odd {
    /// Of another version.
    Version(u32),
    /// Not what this program writes.
    Damaged(String),
}

impl Odd {
    /// For people, and what can be done.
    pub(super) fn words(self, what: &str) -> String {
        match self {
            Self::Version(version) => format!(
                "{what} has version {version}, this pgbaton knows {VERSION}: use the pgbaton that wrote it, or a later one"
            ),
            Self::Damaged(why) => format!("{what} is damaged: {why}"),
        }
    }
}

pub(super) fn write(row: &impl Serialize) -> Result<Vec<u8>, String> {
    serde_json::to_vec(row).map_err(|error| format!("it cannot be written down: {error}"))
}

pub(super) fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, Odd> {
    let damaged = |error: serde_json::Error| Odd::Damaged(error.to_string());
    // A later version may have any form beside its number.
    let version: Version = serde_json::from_slice(value).map_err(damaged)?;
    if version.v != VERSION {
        return Err(Odd::Version(version.v));
    }
    serde_json::from_slice(value).map_err(damaged)
}

/// A name that nobody else has.
pub(super) fn unique() -> String {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    format!("{:016x}", RandomState::new().build_hasher().finish())
}
