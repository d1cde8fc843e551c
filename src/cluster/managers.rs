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
