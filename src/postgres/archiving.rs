//! How far archiving is behind: asked of the running server, and how the answer is read.

use super::questions::Garbled;
use super::wire::Answer;
use crate::cluster::Archiving;

/// Needs `pg_monitor`. Without a command or library the archiver only warns, and holds up nothing.
pub(crate) const ARCHIVING: &str = "SELECT (current_setting('archive_mode') <> 'off' AND \
     (length(current_setting('archive_command')) > 0 OR length(current_setting('archive_library', true)) > 0))::int, \
     count(f.name), extract(epoch FROM clock_timestamp() - min(f.modification))::bigint, \
     (SELECT coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)::int FROM pg_stat_archiver) \
     FROM pg_ls_archive_statusdir() f WHERE f.name LIKE '%.ready'";

/// Reads the answer to [`ARCHIVING`].
pub(crate) fn archiving(answers: &[Answer]) -> Result<Archiving, Garbled> {
    let row = answers
        .first()
        .and_then(|a| a.rows.first())
        .ok_or(Garbled("row"))?;
    let text = |index: usize| row.get(index).and_then(Option::as_deref);
    Ok(Archiving {
        active: text(0) == Some("1"),
        waiting: text(1)
            .and_then(|t| t.parse().ok())
            .ok_or(Garbled("waiting"))?,
        oldest_s: text(2)
            .map(|t| t.parse().map_err(|_| Garbled("modification")))
            .transpose()?,
        failing: text(3) == Some("1"),
    })
}
