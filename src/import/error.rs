//! Why no site file could be made.

use crate::cluster::Trouble;
use crate::document::Diagnostics;
use std::path::PathBuf;

/// Why no site file could be made. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A configuration file cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It has no connection string, and none was given.
    #[error("{} has no `conninfo`", .0.display())]
    NoConninfo(PathBuf),
    /// A connection string cannot be read.
    #[error("{0}")]
    Conninfo(String),
    /// The server or its table did not answer.
    #[error("failed to read what repmgr knows: {0}")]
    Registry(Trouble),
    /// No node can be written.
    #[error("repmgr knows no node that can be written into a site file")]
    NoNodes(Vec<String>),
    /// What came of it is no site file.
    #[error("what repmgr knows does not make a site file that can be used")]
    Unusable(Diagnostics),
}

impl ImportError {
    /// What to do.
    pub fn help(&self) -> Vec<String> {
        use crate::cluster::TroubleKind as Kind;
        match self {
            Self::NoConninfo(_) => vec!["give it with --conninfo".to_owned()],
            Self::Registry(trouble) => match (&trouble.help, trouble.kind) {
                (Some(help), _) => vec![help.clone()],
                (None, Kind::Denied) => vec![
                    "check the user and the password; put the password into ~/.pgpass (mode 0600) or a file that \
                     `passfile=…` names"
                        .to_owned(),
                ],
                (None, Kind::Unreachable | Kind::Timeout) => vec![
                    "any node of the cluster will do: give the connection string of one that runs"
                        .to_owned(),
                ],
                (None, _) => Vec::new(),
            },
            Self::NoNodes(why) => why.clone(),
            _ => Vec::new(),
        }
    }
}
