//! What runs left behind: their journals, read without any connection.

use super::world::default_state;
use super::{RunsError, pinned, site_file};
use crate::engine::{Envelope, RunId};
use crate::journal::{journal_path, read};
use crate::playbook::Checked;
use crate::site::Site;
use std::path::{Path, PathBuf};

/// The journals that a site keeps, of all its clusters.
pub struct Records {
    folder: PathBuf,
}

impl Records {
    /// Those of the site file that [`super::World::open`] would read.
    pub fn open(site: Option<&Path>) -> Result<Self, RunsError> {
        let site = Site::load(&site_file(site)?)?;
        Ok(Self::in_state(&site.journal.unwrap_or_else(default_state)))
    }

    /// Those below a state folder.
    pub(super) fn in_state(state: &Path) -> Self {
        Self {
            folder: state.join("runs"),
        }
    }

    /// Where the journal of a run is, or will be.
    pub fn journal_of(&self, run: &RunId) -> PathBuf {
        journal_path(&self.folder, run)
    }

    /// Everything that a run has recorded so far. Blocks while it reads.
    pub fn read(&self, run: &RunId) -> Result<Vec<Envelope>, RunsError> {
        let missing = |why: String| RunsError::NotFound {
            what: format!("run {run} has no journal that can be read: {why}"),
            help: Some(format!("the journals are in {}", self.folder.display())),
        };
        // An id comes from a command line, and must not name a file elsewhere.
        if run.0.is_empty() || run.0.contains(['/', '\0']) {
            return Err(missing("that is no id of a run".to_owned()));
        }
        read(&self.journal_of(run)).map_err(|error| missing(with_cause(&error)))
    }
}

/// The playbook that a run was started with, and what it nests, as they were then.
pub fn playbook_of(events: &[Envelope]) -> Result<Checked, RunsError> {
    pinned::playbook_of(events)
}

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
