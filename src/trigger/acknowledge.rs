//! A person has looked at a run that was started by itself: the next one need not wait any more.

use crate::engine::RunId;
use crate::journal::Note;
use crate::runs::{Records, RunsError};
use serde_json::json;

const KIND: &str = "acknowledged";

/// Keeps that somebody has looked at the run.
pub async fn acknowledge(
    records: &Records,
    cluster: &str,
    run: &RunId,
    by: &str,
    reason: &str,
) -> Result<(), RunsError> {
    let note = Note {
        cluster: cluster.to_owned(),
        kind: KIND.to_owned(),
        id: run.to_string(),
        at: jiff::Timestamp::now(),
        body: json!({ "v": 1, "by": by, "reason": reason }),
    };
    records.keep_note(&note).await
}

/// Whether somebody has. Where that cannot be told nobody has.
pub(super) async fn acknowledged(records: &Records, cluster: &str, run: &RunId) -> bool {
    let kept = records.notes(Some(cluster), KIND, 100).await;
    kept.is_ok_and(|kept| kept.iter().any(|note| note.id == run.0.as_ref()))
}
