//! Whether runs could be recorded, asked before there is one.

use super::records::Place;
use super::{Records, RunsError};
use crate::journal::writable;
use std::time::Duration;

/// How long the answer may take.
const LOOK: Duration = Duration::from_secs(3);

impl Records {
    /// An error where no run could be recorded now: without that none begins, and none is gone on with. Nothing is made and
    /// nothing is changed by asking. Bounded by a few seconds.
    pub async fn usable(&self) -> Result<(), RunsError> {
        let look = async {
            // What is there can be read, and is a journal.
            if let Some(history) = self.history().await? {
                history.interrupted().await?;
            }
            if let Place::Here(state) = self.kept() {
                writable(&super::records::file(state))?;
            }
            Ok(())
        };
        self.within(LOOK, look).await
    }
}
