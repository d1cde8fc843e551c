//! What a look comes to, by name.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A conclusion. The first ones are about the primary, the others about what else is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The primary works.
    Ok,
    /// Nobody hears anything of the primary or of its host, and every standby that answers has failed to connect to it.
    PrimaryDead,
    /// The same, and standbys are silent with it.
    PrimaryDeadAndSomeStandbys,
    /// Its host answers and says that the server does not run.
    PostgresDownHostUp,
    /// The server is there and does nothing: stopped by a signal, or it accepts connections and says nothing.
    PrimaryHangs,
    /// Nothing was reached: whoever looks is the suspect.
    NobodyReachable,
    /// It is not reached from here, and others reach it, or nobody else could tell.
    PrimaryUnreachable,
    /// It answers that it starts up, shuts down or recovers.
    PrimaryInCrashRecovery,
    /// It answers that it has no free connection.
    ConnectionsExhausted,
    /// It answers that it does not let pgbaton in.
    AuthFailure,
    /// Its commits wait for standbys.
    CommitStalled,
    /// Its disk does not answer.
    DiskStalled,
    /// More than one node is a primary.
    TwoPrimaries,
    /// No node is a primary, and none is known to have been one.
    NoPrimary,
    /// A program outside has said something by a hook; nobody here has looked yet.
    Reported,
    /// A standby does not answer.
    StandbyDown,
    /// A standby answers, the primary does, and there is no way between them.
    ReplicationLinkCut,
    /// A standby does not stream.
    StandbyNotStreaming,
    /// A standby follows somebody else than a node of this cluster.
    StandbyWrongUpstream,
    /// A standby is on a timeline that is not its primary's.
    StandbyForked,
    /// A slot has lost WAL that its owner needs, or is about to.
    SlotAtRisk,
    /// Commits do not wait for whom the site file says.
    SyncSetMismatch,
}

impl Code {
    /// Its name, as in policies, metrics and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::PrimaryDead => "primary_dead",
            Self::PrimaryDeadAndSomeStandbys => "primary_dead_and_some_standbys",
            Self::PostgresDownHostUp => "postgres_down_host_up",
            Self::PrimaryHangs => "primary_hangs",
            Self::NobodyReachable => "nobody_reachable",
            Self::PrimaryUnreachable => "primary_unreachable",
            Self::PrimaryInCrashRecovery => "primary_in_crash_recovery",
            Self::ConnectionsExhausted => "connections_exhausted",
            Self::AuthFailure => "auth_failure",
            Self::CommitStalled => "commit_stalled",
            Self::DiskStalled => "disk_stalled",
            Self::TwoPrimaries => "two_primaries",
            Self::NoPrimary => "no_primary",
            Self::Reported => "reported",
            Self::StandbyDown => "standby_down",
            Self::ReplicationLinkCut => "replication_link_cut",
            Self::StandbyNotStreaming => "standby_not_streaming",
            Self::StandbyWrongUpstream => "standby_wrong_upstream",
            Self::StandbyForked => "standby_forked",
            Self::SlotAtRisk => "slot_at_risk",
            Self::SyncSetMismatch => "sync_set_mismatch",
        }
    }

    /// The primary is lost, as far as the look could tell.
    pub fn is_loss(self) -> bool {
        matches!(
            self,
            Self::PrimaryDead
                | Self::PrimaryDeadAndSomeStandbys
                | Self::PostgresDownHostUp
                | Self::PrimaryHangs
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::LOSSES;

    #[test]
    fn what_the_site_file_may_name_is_what_is_acted_on() {
        let acted_on = [
            Code::PostgresDownHostUp,
            Code::PrimaryDead,
            Code::PrimaryDeadAndSomeStandbys,
            Code::PrimaryHangs,
        ];
        assert!(acted_on.iter().all(|code| code.is_loss()));
        assert_eq!(acted_on.map(Code::as_str), LOSSES);
    }
}
