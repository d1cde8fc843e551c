//! A run's own row: as it stands in etcd, and as a batch will leave it.

use super::super::outline::{Begin, Outline};
use super::gateway::Trouble;
use super::lease::Kept;
use super::rows::{self, AnnouncedRow, RunRow, VERSION};
use super::shared::Shared;
use super::wire::Op;
use crate::engine::RunId;

/// What this store knows about a run that it writes.
#[derive(Debug, Default)]
pub(super) enum Page {
    /// Nothing yet.
    #[default]
    Unread,
    /// Its row, as this store wrote it last.
    Open(Box<Known>),
    /// A batch was not recorded, and why: nothing more is accepted.
    Broken(String),
}

/// A run's own row and where it stands in time.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) row: RunRow,
    pub(super) changed_at: i64,
    /// Shows that somebody runs it, when no lease on a cluster does.
    pub(super) reader: Option<Kept>,
}

/// The run as it stands there, and the key that was announced for it.
pub(super) async fn find(
    shared: &Shared,
    run: &RunId,
) -> Result<(Option<Known>, Option<AnnouncedRow>), String> {
    shared.identified().await?;
    let there = [
        Op::get(&shared.keys.run(&run.0)),
        Op::get(&shared.keys.announced(run)),
    ];
    let [row, announced] = shared.gateway.look(there).await.map_err(Trouble::words)?;
    let known = match row.one() {
        None => None,
        Some(kv) => Some(Known {
            row: rows::read(&kv.value.0).map_err(|odd| odd.words("the summary of this run"))?,
            changed_at: kv.mod_revision,
            reader: None,
        }),
    };
    let announced = match announced.one() {
        None => None,
        Some(kv) => Some(rows::read(&kv.value.0).map_err(|odd| odd.words("the key of this run"))?),
    };
    Ok((known, announced))
}

/// The run's row as the batch will leave it, if it fits.
pub(super) struct Next {
    pub(super) row: RunRow,
    /// The first event of the batch.
    pub(super) due: u64,
    pub(super) changed_at: i64,
    pub(super) begins: bool,
    pub(super) reader: Option<Kept>,
    /// The reader's key has to be written.
    pub(super) is_reader_new: bool,
}

impl Next {
    pub(super) fn known(self, changed_at: i64) -> Known {
        Known {
            row: self.row,
            changed_at,
            reader: self.reader,
        }
    }
}

pub(super) fn next(
    shared: &Shared,
    run: &RunId,
    before: Option<Known>,
    announced: Option<AnnouncedRow>,
    outline: &Outline,
) -> Result<Next, String> {
    let mut next = match (&outline.begin, before) {
        (Some(begin), None) if begin.run == *run => Next {
            row: first_row(shared, begin, announced),
            due: 0,
            changed_at: 0,
            begins: true,
            reader: None,
            is_reader_new: false,
        },
        (Some(begin), None) => {
            return Err(format!("its first event is that of run {}", begin.run));
        }
        (None, Some(known)) if known.row.outcome.is_some() => {
            return Err("this run has ended".to_owned());
        }
        (None, Some(known)) => Next {
            due: known.row.last_seq + 1,
            row: known.row,
            changed_at: known.changed_at,
            begins: false,
            reader: known.reader,
            is_reader_new: false,
        },
        (Some(_), Some(_)) => return Err("a run of this id stands in it already".to_owned()),
        (None, None) => return Err("the beginning of this run does not stand in it".to_owned()),
    };
    next.row.last_seq = outline.fit(next.due)?;
    next.row.writer.clone_from(&shared.writer);
    if let Some(end) = &outline.end {
        next.row.ended = end.moment(&next.row.started);
        next.row.outcome = Some(end.outcome);
    }
    Ok(next)
}

fn first_row(shared: &Shared, begin: &Begin, announced: Option<AnnouncedRow>) -> RunRow {
    RunRow {
        v: VERSION,
        run: begin.run.clone(),
        cluster: begin.cluster.clone(),
        playbook: begin.playbook.clone(),
        version: begin.version.clone(),
        trigger: begin.trigger.clone(),
        key: announced.map(|announced| announced.key),
        started: begin.started.clone(),
        ended: None,
        outcome: None,
        last_seq: 0,
        writer: shared.writer.clone(),
        token: None,
    }
}

/// A run without a lease shows by a key of its own that somebody runs it. It may have run out meanwhile: that makes the
/// run look interrupted and nothing else, so it is made anew.
pub(super) async fn keep_reader(shared: &Shared, next: &mut Next) -> Result<(), String> {
    let is_kept = next.reader.as_ref().is_some_and(Kept::is_valid);
    if next.row.outcome.is_none() && !is_kept {
        next.reader = Some(Kept::new(shared).await.map_err(Trouble::words)?);
        next.is_reader_new = true;
    }
    Ok(())
}
