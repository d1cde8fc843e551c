//! Looks on while somebody else runs.

use super::{Records, RunsError};
use crate::engine::{Envelope, Event, RunId};
use crate::journal::Standing;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

/// How often is looked whether there is something new.
const LOOK: Duration = Duration::from_millis(100);

impl Records {
    /// Tells an observer all events of a run, those of the past at once and the others as they come, until the run has
    /// ended or nobody runs it any more. Whoever stops waiting for it stops nothing else.
    pub async fn follow(
        &self,
        run: &RunId,
        observer: &UnboundedSender<Arc<Envelope>>,
    ) -> Result<Standing, RunsError> {
        let mut next = 0;
        loop {
            // Asked first: what came between the two questions is read.
            let standing = self.standing(run).await?;
            for event in self.read_from(run, next).await? {
                next = event.seq + 1;
                let ended = matches!(event.event, Event::RunEnded { .. });
                // An observer that went away has seen enough.
                if observer.send(Arc::new(event)).is_err() || ended {
                    return self.standing(run).await;
                }
            }
            if standing != Standing::UnderWay {
                return Ok(standing);
            }
            sleep(LOOK).await;
        }
    }
}
