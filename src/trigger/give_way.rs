//! A failover goes before the return of a node: the run by which a watch brings one back gives way, however long it takes.
//!
//! Without that a rewind from a primary that hangs would keep everybody from replacing it. Runs of people are not broken off.

use super::sentry::RETURN;
use crate::engine::{Ask, RunId};
use crate::journal::{RunSummary, Standing};
use crate::runs::{Answer, Records, RunsError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Who asks for it, in the run's record.
const BY: &str = "detector";
const WHY: &str = "the primary is lost, and a failover goes before a return";

/// How long is waited for its end: it breaks off what it does, and takes back what it has done. Whoever found no end tries
/// again a little later.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often is looked for the end.
const LOOK: Duration = Duration::from_millis(50);

/// Whether this run brings a node back, and is under way.
pub(super) fn is_return(run: &RunSummary) -> bool {
    run.trigger == RETURN && run.standing == Standing::UnderWay
}

/// Cancels it and waits for its end, for half a minute at most.
pub(super) async fn give_way(records: &Records, run: &RunId) -> Result<(), RunsError> {
    let begun = Instant::now();
    let answer = records.ask_as(BY.to_owned(), run, Ask::Cancel, WHY).await?;
    if let Answer::Refused(why) = answer {
        // It may be on its way to its end already.
        tracing::info!(%run, why, "it gives no way");
    }
    while begun.elapsed() < PATIENCE {
        if matches!(records.find(&run.0).await?.standing, Standing::Ended(_)) {
            break;
        }
        sleep(LOOK).await;
    }
    Ok(())
}
