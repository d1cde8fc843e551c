//! What is kept about clusters beside their runs: small documents, each under a kind and an id.

use jiff::Timestamp;
use serde_json::Value;

/// More than this is not kept: a plan in full has its room, and a few notes fit one answer of a store.
const LARGEST: usize = 1 << 20;

/// How a moment is written: all of one length, so that their order is that of the texts.
const MOMENT: &str = "%Y-%m-%dT%H:%M:%S%.9fZ";

/// A document about a cluster: a pause, what somebody was told, what was asked for and not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The cluster.
    pub cluster: String,
    /// What kind of note it is. Whoever keeps notes has kinds of their own.
    pub kind: String,
    /// Which one of its kind; the next one with this id takes its place.
    pub id: String,
    /// The moment that it is of. The latest is the newest.
    pub at: Timestamp,
    /// What it says. Who reads it may be of another version than who wrote it: it tells which.
    pub body: Value,
}

/// What a store keeps of a note beside its names.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) at: String,
    pub(super) json: String,
}

impl Note {
    /// Its moment and body as texts. What is too long, and what could not be read back, is refused: one such note would
    /// hide all others of its kind.
    pub(super) fn written(&self) -> Result<Written, String> {
        let json = serde_json::to_string(&self.body)
            .map_err(|error| format!("the note cannot be written down: {error}"))?;
        let names = [&self.cluster, &self.kind, &self.id];
        let length = json.len() + names.map(String::len).iter().sum::<usize>();
        if length > LARGEST {
            return Err(format!(
                "a note of {length} bytes is not kept, {LARGEST} are the most"
            ));
        }
        // A store may keep it within a value of its own.
        serde_json::from_str::<Value>(&format!("[{json}]"))
            .map_err(|error| format!("the note could not be read back: {error}"))?;
        let at = self.at.strftime(MOMENT).to_string();
        if moment(&at) != Ok(self.at) {
            return Err(format!(
                "the moment {at} of the note cannot be written down"
            ));
        }
        Ok(Written { at, json })
    }
}

/// The moment of a note, from its text.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse::<Timestamp>()
        .map_err(|error| format!("its moment `{text}` cannot be read: {error}"))
}

/// Leaves only so many, the newest first. Those of one moment have an order, too: that of their names, backwards.
pub(super) fn newest_first(notes: &mut Vec<Note>, newest: usize) {
    notes.sort_by(|a, b| (b.at, &b.cluster, &b.id).cmp(&(a.at, &a.cluster, &a.id)));
    notes.truncate(newest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn note(id: &str, second: i64, body: Value) -> Note {
        Note {
            cluster: "orders".to_owned(),
            kind: "told".to_owned(),
            id: id.to_owned(),
            at: Timestamp::from_second(second).unwrap(),
            body,
        }
    }

    #[test]
    fn what_could_not_be_read_back_is_refused() {
        let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert!(note("a", 0, deep(100)).written().is_ok());
        let refused = note("a", 0, deep(127)).written().unwrap_err();
        assert!(refused.contains("could not be read back"), "{refused}");
        let refused = note("a", 0, json!("x".repeat(LARGEST)))
            .written()
            .unwrap_err();
        assert!(refused.contains("1048576 are the most"), "{refused}");
        let early = Note {
            at: Timestamp::MIN,
            ..note("a", 0, json!(1))
        };
        let refused = early.written().unwrap_err();
        assert!(refused.contains("cannot be written down"), "{refused}");
    }

    #[test]
    fn moments_are_kept_whole_and_their_texts_have_their_order() {
        let at = |nanos: i128| Timestamp::from_nanosecond(nanos).unwrap();
        let moments = [
            at(0),
            at(1),
            at(1_000_000),
            at(999_999_999),
            at(1_000_000_000),
        ];
        let texts = moments.map(|at| {
            Note {
                at,
                ..note("a", 0, json!(1))
            }
            .written()
            .unwrap()
            .at
        });
        assert!(texts.is_sorted(), "{texts:?}");
        let back = texts.map(|text| moment(&text).unwrap());
        assert_eq!(back, moments);
    }

    #[test]
    fn the_newest_stay() {
        let mut notes = [("a", 1), ("b", 3), ("c", 2), ("d", 3)]
            .map(|(id, second)| note(id, second, json!(1)))
            .to_vec();
        newest_first(&mut notes, 3);
        let ids: Vec<_> = notes.iter().map(|note| note.id.as_str()).collect();
        assert_eq!(ids, ["d", "b", "c"]);
    }
}
