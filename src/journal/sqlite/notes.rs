//! Notes about clusters, within a transaction.

use super::super::note::moment;
use crate::journal::Note;
use rusqlite::{Connection, params};

/// Which note is meant.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) cluster: String,
    pub(super) kind: String,
    pub(super) id: String,
}

/// A note as it stands in the table.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) name: Name,
    pub(super) at: String,
    pub(super) json: String,
}

/// What becomes of a note that has the name already.
#[derive(Debug, Clone, Copy)]
pub(super) enum Earlier {
    Goes,
    Stays,
}

impl Row {
    pub(super) fn of(note: &Note) -> Result<Self, String> {
        let written = note.written()?;
        Ok(Self {
            name: Name {
                cluster: note.cluster.clone(),
                kind: note.kind.clone(),
                id: note.id.clone(),
            },
            at: written.at,
            json: written.json,
        })
    }

    /// The note; what cannot be understood is named, not passed over.
    pub(super) fn understood(self) -> Result<Note, (Name, String)> {
        let read = moment(&self.at).and_then(|at| {
            let body = serde_json::from_str(&self.json).map_err(|error| error.to_string())?;
            Ok((at, body))
        });
        match read {
            Ok((at, body)) => Ok(Note {
                cluster: self.name.cluster,
                kind: self.name.kind,
                id: self.name.id,
                at,
                body,
            }),
            Err(why) => Err((self.name, why)),
        }
    }
}

/// Keeps a note; whether it was kept.
pub(super) fn keep(change: &Connection, row: &Row, earlier: Earlier) -> rusqlite::Result<bool> {
    let then = match earlier {
        Earlier::Goes => "DO UPDATE SET at = excluded.at, json = excluded.json",
        Earlier::Stays => "DO NOTHING",
    };
    let kept = change
        .prepare_cached(&format!(
            "INSERT INTO notes (cluster, kind, id, at, json) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (cluster, kind, id) {then}"
        ))?
        .execute(params![
            row.name.cluster,
            row.name.kind,
            row.name.id,
            row.at,
            row.json
        ])?;
    Ok(kept > 0)
}

/// Takes a note away; whether it was there.
pub(super) fn discard(change: &Connection, name: &Name) -> rusqlite::Result<bool> {
    let gone = change
        .prepare_cached("DELETE FROM notes WHERE cluster = ?1 AND kind = ?2 AND id = ?3")?
        .execute([&name.cluster, &name.kind, &name.id])?;
    Ok(gone > 0)
}

/// So many notes of a kind at most, the newest first.
pub(super) fn newest(
    connection: &Connection,
    cluster: Option<&str>,
    kind: &str,
    count: usize,
) -> rusqlite::Result<Vec<Row>> {
    // A file that an earlier version wrote, and that nobody has written since, has none.
    let kept = "SELECT count(*) FROM sqlite_schema WHERE name = 'notes'";
    if connection.query_row(kept, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(Vec::new());
    }
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    connection
        .prepare(
            "SELECT cluster, kind, id, at, json FROM notes \
             WHERE kind = ?1 AND (?2 IS NULL OR cluster = ?2) \
             ORDER BY at DESC, cluster DESC, id DESC LIMIT ?3",
        )?
        .query_map(params![kind, cluster, count], |row| {
            Ok(Row {
                name: Name {
                    cluster: row.get(0)?,
                    kind: row.get(1)?,
                    id: row.get(2)?,
                },
                at: row.get(3)?,
                json: row.get(4)?,
            })
        })?
        .collect()
}
