//! What keeps a run from starting.

use super::Change;
use crate::cluster::NodeName;
use crate::document::Diagnostics;
use crate::engine::{LeaseError, RecordError, RunId};
use crate::journal::{HistoryError, JournalError};
use crate::playbook::ParamError;
use crate::site::SiteError;

/// What keeps a run from starting, or a cluster from being looked at. Nothing has been touched.
#[derive(Debug, thiserror::Error)]
pub enum RunsError {
    /// The site file or playbook has errors (exit code 2).
    #[error("{what} has errors")]
    Invalid {
        /// Which file.
        what: String,
        /// All of them.
        diagnostics: Diagnostics,
    },
    /// Parameters cannot be used (exit code 2).
    #[error("playbook `{playbook}` cannot be run with these parameters")]
    Params {
        /// The playbook.
        playbook: String,
        /// All of them.
        errors: Vec<ParamError>,
    },
    /// A file, cluster or playbook is not there, or cannot be read (exit code 2).
    #[error("{what}")]
    NotFound {
        /// What is missing, a lower-case fragment.
        what: String,
        /// What there is instead.
        help: Option<String>,
    },
    /// Another run holds the cluster (exit code 5).
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// A run cannot be gone on with (exit code 2).
    #[error("run {run} cannot be resumed: {why}")]
    Unresumable {
        /// The run.
        run: String,
        /// Why.
        why: String,
    },
    /// What an interrupted run proved does not hold any more (exit code 3).
    #[error(
        "run {run} is not resumed: it proved that {node} acknowledges no commits, and {node} is a running primary now"
    )]
    Contradicted {
        /// The run.
        run: String,
        /// The node.
        node: NodeName,
    },
    /// A run of this cluster has this idempotency key already.
    #[error("run {run} has the key `{key}` already")]
    SameKey {
        /// The key.
        key: String,
        /// The run.
        run: RunId,
    },
    /// Nobody would read what is written to the run (exit code 2).
    #[error("run {run} cannot be asked: {why}")]
    Unheard {
        /// The run.
        run: RunId,
        /// Why.
        why: String,
    },
    /// The journal cannot be used (exit code 1).
    #[error(transparent)]
    Store(#[from] JournalError),
    /// A question about runs has no answer: exit code 2 where the question is at fault, otherwise 1.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The journal does not take what has to stand in it before a run begins (exit code 1).
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The journal cannot be opened (exit code 1).
    #[error("the journal {place} cannot be opened")]
    Journal {
        /// Where.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// The simulation that a preview needs cannot be run (exit code 1).
    #[error("the simulation cannot be run")]
    Simulation(#[source] std::io::Error),
    /// A plan does not hold any more (exit code 3).
    #[error("the plan does not hold any more: what it rests on has changed")]
    Moved {
        /// What has.
        changes: Vec<Change>,
    },
    /// The plan itself says that it would not succeed (exit code 3).
    #[error("the plan ends without success, there is nothing in it to run: {why}")]
    Hopeless {
        /// What would stop it.
        why: String,
    },
}

impl From<SiteError> for RunsError {
    fn from(error: SiteError) -> Self {
        match error {
            SiteError::Invalid { path, diagnostics } => Self::Invalid {
                what: format!("site file {}", path.display()),
                diagnostics,
            },
            SiteError::Read { path, source } => Self::NotFound {
                what: format!("site file {} cannot be read: {source}", path.display()),
                help: Some(
                    "give one with --site FILE; `pgbaton lab up` makes a cluster with a site file to try"
                        .to_owned(),
                ),
            },
        }
    }
}
