//! Other programs that manage the same servers.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ManagerKind {
    /// repmgr's daemon: it promotes, and lets follow.
    Repmgrd,
    /// KingbaseES's: it starts servers and repmgrd again.
    Kbha,
    /// It promotes, stops, starts and configures.
    Patroni,
}

impl ManagerKind {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Repmgrd => "repmgrd",
            Self::Kbha => "kbha",
            Self::Patroni => "Patroni",
        }
    }

    /// Reads the name of a process.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Repmgrd, Self::Kbha, Self::Patroni]
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(word))
    }
}

/// Who acts on a node, as far as it could be told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Managers {
    /// Those that were seen.
    pub found: Vec<Manager>,
    /// Its host could not be looked at: what shows only there, kbha and Patroni, is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unseen: bool,
}

/// Something that acts on a node, and not at pgbaton's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manager {
    /// Which.
    pub kind: ManagerKind,
    /// What told of it: `process 4711`, `cron /etc/cron.d/KINGBASECRON`.
    pub sign: String,
    /// Whether it has been told to do nothing; none where nobody can tell, or it cannot be told so.
    pub paused: Option<bool>,
}

/// What somebody else who acts on a node means to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearing {
    /// It would do nothing.
    Harmless,
    /// A run tells it to do nothing while it is at work.
    Paused,
    /// A run is refused because of it; what to do about that.
    InTheWay(&'static str),
}

impl Manager {
    /// A repmgrd whose own server is down promotes nobody and starts nothing.
    pub fn bearing(&self, may_be_up: bool) -> Bearing {
        match (self.kind, self.paused) {
            (ManagerKind::Repmgrd | ManagerKind::Patroni, Some(true)) => Bearing::Harmless,
            (ManagerKind::Repmgrd, Some(false)) => Bearing::Paused,
            (ManagerKind::Repmgrd, None) if !may_be_up => Bearing::Harmless,
            (ManagerKind::Repmgrd, None) => Bearing::InTheWay(
                "let pgbaton pause it: say in the site file where repmgr keeps its table, `repmgr: { database: repmgr }` (its \
                 library must be in shared_preload_libraries), or stop repmgrd for the time being",
            ),
            (ManagerKind::Kbha, _) => Bearing::InTheWay(
                "kbha starts servers and repmgrd again: put a # before its line in cron, and stop kbha and repmgrd on these \
                 hosts for the time being",
            ),
            (ManagerKind::Patroni, _) => Bearing::InTheWay(
                "leave it to Patroni (`patronictl failover`, `patronictl switchover`), or put it into maintenance mode first: \
                 `patronictl pause --wait`",
            ),
        }
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paused = match self.paused {
            Some(true) => ", paused",
            Some(false) => ", not paused",
            None => "",
        };
        write!(f, "{} ({}{paused})", self.kind.as_str(), self.sign)
    }
}
