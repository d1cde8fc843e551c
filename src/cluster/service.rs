//! What starts and stops a server in place of `pg_ctl`: a service manager, or a site's own commands.

use serde::{Deserialize, Serialize};

/// How a node's server is started, and stopped gently. Rougher stops are signals to its processes, whoever started them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// A unit of systemd's.
    Systemd {
        /// Its name.
        unit: String,
        /// It takes root.
        sudo: bool,
    },
    /// A cluster of Debian's.
    PgCtlcluster {
        /// `15`.
        version: String,
        /// `main`.
        cluster: String,
        /// It is done as root.
        sudo: bool,
    },
    /// The site's own commands. The one that stops may wait for the end or not.
    Commands {
        /// Starts it.
        start: Vec<String>,
        /// Stops it, so that it writes its last checkpoint.
        stop: Vec<String>,
    },
}

/// A command that a node's account may not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forbidden {
    /// The command, as the site file has it.
    pub command: Vec<String>,
    /// Why not.
    pub why: String,
    /// The line that sudoers lacks; none where sudo is not what is missing.
    pub sudoers: Option<String>,
}

impl Service {
    /// The command that starts the server.
    pub fn start(&self) -> Vec<String> {
        match self {
            Self::Systemd { unit, sudo } => as_root(*sudo, &["systemctl", "start", unit]),
            Self::PgCtlcluster {
                version,
                cluster,
                sudo,
            } => as_root(*sudo, &["pg_ctlcluster", version, cluster, "start"]),
            Self::Commands { start, .. } => start.clone(),
        }
    }

    /// The command that stops the server.
    pub fn stop(&self) -> Vec<String> {
        match self {
            // Its end is seen by its processes, and may be waited for too long here.
            Self::Systemd { unit, sudo } => {
                as_root(*sudo, &["systemctl", "stop", "--no-block", unit])
            }
            Self::PgCtlcluster {
                version,
                cluster,
                sudo,
            } => as_root(
                *sudo,
                &["pg_ctlcluster", version, cluster, "stop", "-m", "fast"],
            ),
            Self::Commands { stop, .. } => stop.clone(),
        }
    }
}

/// `-n`: nobody is there who could be asked for a password.
fn as_root(sudo: bool, words: &[&str]) -> Vec<String> {
    let root: &[&str] = if sudo { &["sudo", "-n"] } else { &[] };
    let all = root.iter().chain(words);
    all.map(|word| (*word).to_owned()).collect()
}
