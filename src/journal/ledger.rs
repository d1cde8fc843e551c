//! What runs of a cluster leave to be done, and what later ones have done of it.

use crate::engine::{Envelope, Event, Owed, RunId};

/// A line of a cluster's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The run that says so.
    pub run: RunId,
    /// It is done; otherwise it is left to be done.
    pub paid: bool,
    /// What.
    pub owed: Owed,
    /// The same in a sentence.
    pub text: String,
}

/// What is left to be done after all of these, oldest first. What several runs leave is told once, as the last of them
/// has it.
pub fn open_debts(entries: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
    let mut open: Vec<Entry> = Vec::new();
    for entry in entries {
        open.retain(|earlier| !entry.owed.covers(&earlier.owed));
        if !entry.paid {
            open.push(entry);
        }
    }
    open
}

/// An entry as an event of a run makes it: the number of the event, whether it pays, what, and its sentence.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) seq: u64,
    pub(super) paid: bool,
    pub(super) owed: Owed,
    pub(super) text: String,
}

impl Line {
    pub(super) fn of(envelope: &Envelope) -> Option<Self> {
        let Event::Noted { evidence, .. } = &envelope.event else {
            return None;
        };
        let (paid, owed) = match (evidence.owes(), evidence.pays()) {
            (Some(owed), _) => (false, owed),
            (None, Some(owed)) => (true, owed),
            (None, None) => return None,
        };
        Some(Self {
            seq: envelope.seq,
            paid,
            owed,
            text: evidence.text.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(run: &str, paid: bool, owed: Owed) -> Entry {
        Entry {
            run: RunId(run.into()),
            paid,
            text: format!("{owed:?}"),
            owed,
        }
    }

    fn slot(on: &str, slot: Option<&str>) -> Owed {
        let (on, slot) = (on.to_owned(), slot.map(str::to_owned));
        Owed::Slot { on, slot }
    }

    #[test]
    fn what_is_done_later_is_not_left_to_do_and_what_is_owed_again_is() {
        let stop = |node: &str| Owed::Stop {
            node: node.to_owned(),
        };
        let (a, b) = (slot("n1", Some("a")), slot("n1", Some("b")));
        let other = slot("n2", Some("a"));
        let entries = [
            entry("1", false, stop("n1")),
            entry("1", false, a.clone()),
            entry("2", false, a),
            entry("2", false, b),
            entry("2", false, other.clone()),
            entry("3", true, slot("n1", None)),
            entry("3", true, stop("n1")),
            entry("4", false, stop("n1")),
            entry("4", true, stop("n2")),
        ];
        let open: Vec<(String, Owed)> = open_debts(entries)
            .into_iter()
            .map(|entry| (entry.run.to_string(), entry.owed))
            .collect();
        assert_eq!(
            open,
            [("2".to_owned(), other), ("4".to_owned(), stop("n1"))]
        );
    }
}
