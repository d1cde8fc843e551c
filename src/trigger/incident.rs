//! What a watch made of a loss, kept for those who ask later why something was done, or was not.

use super::sentry::Notice;
use crate::journal::Note;
use crate::runs::{Records, RunsError};

const KIND: &str = "incident";

/// How many of a cluster are kept.
const KEPT: usize = 200;

/// Keeps it. The oldest go when there are many.
pub(super) async fn keep(records: &Records, notice: &Notice) -> Result<(), RunsError> {
    let at = jiff::Timestamp::now();
    let body = serde_json::to_value(notice).unwrap_or_default();
    let note = Note {
        cluster: notice.cluster.clone(),
        kind: KIND.to_owned(),
        id: at.to_string(),
        at,
        body,
    };
    records.keep_note(&note).await?;
    let kept = records
        .notes(Some(&notice.cluster), KIND, KEPT + 20)
        .await?;
    for old in kept.iter().skip(KEPT) {
        records.discard_note(&old.cluster, KIND, &old.id).await?;
    }
    Ok(())
}

/// The last ones, newest first; of one cluster where it is named.
pub async fn incidents(
    records: &Records,
    cluster: Option<&str>,
    newest: usize,
) -> Result<Vec<Note>, RunsError> {
    records.notes(cluster, KIND, newest).await
}
