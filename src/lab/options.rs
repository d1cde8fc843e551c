//! What a caller can ask of a lab.

use crate::cluster::{NodeName, SyncMode, Synchronous};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The name of a lab for which none was given.
pub const DEFAULT_NAME: &str = "lab";

/// The cluster to make.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// Its name: 1 to 32 lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// How many standbys follow `n1`; 0 to 15.
    pub standbys: u32,
    /// How commits are synchronous. `unmanaged` leaves the setting empty.
    pub synchronous: Synchronous,
    /// Settings of every server, over the lab's own.
    pub settings: Vec<(String, String)>,
    /// Further settings of single servers.
    pub node_settings: BTreeMap<NodeName, Vec<(String, String)>>,
    /// Standbys that follow another standby in place of `n1`.
    pub upstreams: BTreeMap<NodeName, NodeName>,
    /// The directory of `initdb`, `pg_ctl` and `postgres`; by default `$PGBATON_PG_BIN`, else what is installed.
    pub bin: Option<PathBuf>,
    /// Every node on a host of its own: a network namespace with an address, an ssh server and its server. Linux, root.
    pub hosts: bool,
    /// The directory that holds labs; by default `$PGBATON_LAB_DIR`, else `/var/tmp/pgbaton-labs-0` for root and
    /// `${XDG_STATE_HOME:-~/.local/state}/pgbaton/labs` for everybody else.
    pub root: Option<PathBuf>,
    /// The bound on `up` as a whole.
    pub deadline: Duration,
}

impl Default for LabOptions {
    /// A primary and two standbys; a commit waits for either.
    fn default() -> Self {
        Self {
            name: DEFAULT_NAME.to_owned(),
            standbys: 2,
            synchronous: Synchronous {
                mode: SyncMode::Quorum,
                acks: 1,
            },
            settings: Vec::new(),
            node_settings: BTreeMap::new(),
            upstreams: BTreeMap::new(),
            bin: None,
            hosts: false,
            root: None,
            deadline: Duration::from_secs(90),
        }
    }
}

/// Something bad, or its undoing, that happens to one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL of the postmaster alone. Its children live on for a while, as they do in a real crash.
    Kill,
    /// A clean fast shutdown.
    Stop,
    /// SIGSTOP of every process of the server: connections are accepted by the kernel and never answered.
    Freeze,
    /// SIGCONT of every process of the server.
    Thaw,
    /// Starts a server that is down.
    Start,
    /// The host's cable is pulled: what goes to it and what comes from it is lost. Needs hosts.
    Cut,
    /// Only what goes to the host's ssh server is lost. Needs hosts.
    CutSsh,
    /// Takes back all that was cut on this host.
    Heal,
}

impl Fault {
    /// All faults, in the order of the help text.
    pub const ALL: [Self; 8] = [
        Self::Kill,
        Self::Stop,
        Self::Freeze,
        Self::Thaw,
        Self::Start,
        Self::Cut,
        Self::CutSsh,
        Self::Heal,
    ];

    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
            Self::Start => "start",
            Self::Cut => "cut",
            Self::CutSsh => "cut-ssh",
            Self::Heal => "heal",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a fault; faults are kill, stop, freeze, thaw, start, cut, cut-ssh and heal")]
pub struct UnknownFault(pub String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(word: &str) -> Result<Self, UnknownFault> {
        Self::ALL
            .into_iter()
            .find(|f| f.as_str() == word)
            .ok_or_else(|| UnknownFault(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_back_and_named_in_the_error() {
        for fault in Fault::ALL {
            assert_eq!(fault.as_str().parse(), Ok(fault));
            assert!(
                UnknownFault("x".into())
                    .to_string()
                    .contains(fault.as_str())
            );
        }
        assert_eq!("Kill".parse::<Fault>(), Err(UnknownFault("Kill".into())));
    }
}
