//! Timelines, their histories, and whether one place in the log lies on the history of another.

use super::Lsn;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A timeline id; grows by every promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timeline(pub u32);

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The database system identifier: the same on all nodes of one physical cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SystemId(pub u64);

impl fmt::Display for SystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where a timeline ended and the next began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// The timeline that was left.
    pub timeline: Timeline,
    /// The position at which it was left: the end of what the two have in common.
    pub at: Lsn,
}

/// The ancestry of a timeline, oldest first, as its history file tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The timeline whose history this is.
    pub timeline: Timeline,
    /// Its ancestors, oldest first.
    pub forks: Vec<Fork>,
}

/// A history file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the history of timeline {timeline} cannot be read: `{text}`")]
pub struct HistoryError {
    /// Which history.
    pub timeline: Timeline,
    /// Line number, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
}

/// How a position on a timeline relates to a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ancestry {
    /// The position lies on the history; the common part reaches at least this far.
    On,
    /// The position's timeline is an ancestor, but the position lies beyond the fork by `bytes`.
    Beyond {
        /// The end of the common part.
        fork: Lsn,
        /// How far beyond it.
        bytes: i64,
    },
    /// The position's timeline is not in the history at all: another promotion.
    Stranger,
}

impl History {
    /// A timeline without ancestors.
    pub fn first(timeline: Timeline) -> Self {
        Self {
            timeline,
            forks: Vec::new(),
        }
    }

    /// Reads the contents of a `NNNNNNNN.history` file: lines of parent timeline, switch point, reason; `#` comments.
    pub fn parse(timeline: Timeline, text: &str) -> Result<Self, HistoryError> {
        let mut forks: Vec<Fork> = Vec::new();
        for (index, raw) in text.lines().enumerate() {
            let line = raw.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let bad = || HistoryError {
                timeline,
                line: index + 1,
                text: raw.to_owned(),
            };
            let mut words = line.split_whitespace();
            let parent = words.next().and_then(|w| w.parse().ok()).ok_or_else(bad)?;
            let at = words.next().and_then(|w| w.parse().ok()).ok_or_else(bad)?;
            if parent >= timeline.0 || forks.last().is_some_and(|f| f.timeline.0 >= parent) {
                return Err(bad());
            }
            forks.push(Fork {
                timeline: Timeline(parent),
                at,
            });
        }
        Ok(Self { timeline, forks })
    }

    /// Whether this is the history of one of `other`'s ancestors, or of its own timeline. A node that holds a history which
    /// is not runs astray with `recovery_target_timeline = latest`: files that are there already are not fetched.
    pub fn leads_to(&self, other: &Self) -> bool {
        let known = self.timeline == other.timeline || other.fork_of(self.timeline).is_some();
        let before = other.forks.iter().filter(|f| f.timeline < self.timeline);
        known && self.forks.iter().eq(before)
    }

    /// The position at which this history left `timeline`; none when it is not an ancestor (or is the timeline itself).
    pub fn fork_of(&self, timeline: Timeline) -> Option<Lsn> {
        self.forks
            .iter()
            .find(|f| f.timeline == timeline)
            .map(|f| f.at)
    }

    /// Relates a position on a timeline to this history. On the history's own timeline every position is `On`:
    /// whether it is ahead of the server is a question for the server's position, not for the history.
    pub fn relate(&self, timeline: Timeline, position: Lsn) -> Ancestry {
        if timeline == self.timeline {
            return Ancestry::On;
        }
        match self.fork_of(timeline) {
            None => Ancestry::Stranger,
            Some(fork) if position <= fork => Ancestry::On,
            Some(fork) => Ancestry::Beyond {
                fork,
                bytes: position.bytes_since(fork),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "1\t0/3000110\tno recovery target specified\n\n2\t0/5000000\tno recovery target specified\n";

    #[test]
    fn the_whole_ancestry_counts() {
        let history = History::parse(Timeline(3), TEXT).unwrap();
        assert_eq!(history.relate(Timeline(1), Lsn(0x300_0110)), Ancestry::On);
        assert_eq!(
            history.relate(Timeline(1), Lsn(0x300_0118)),
            Ancestry::Beyond {
                fork: Lsn(0x300_0110),
                bytes: 8
            }
        );
        assert_eq!(history.relate(Timeline(2), Lsn(0x500_0000)), Ancestry::On);
        assert_eq!(history.relate(Timeline(4), Lsn(1)), Ancestry::Stranger);
    }

    #[test]
    fn a_history_of_another_branch_leads_nowhere() {
        let ours = History::parse(Timeline(3), TEXT).unwrap();
        let of = |timeline, text| History::parse(Timeline(timeline), text).unwrap();
        assert!(ours.leads_to(&ours));
        assert!(of(2, "1 0/3000110 x").leads_to(&ours));
        assert!(!of(2, "1 0/3000200 x").leads_to(&ours), "another fork");
        assert!(!of(4, "1 0/3000110 x").leads_to(&ours), "a later promotion");
        assert!(
            !of(3, "1 0/3000110 x").leads_to(&ours),
            "without timeline 2"
        );
    }

    #[test]
    fn a_broken_history_is_named_by_line() {
        let error = History::parse(Timeline(3), "1 0/1 x\nrubbish").unwrap_err();
        assert_eq!(error.line, 2);
        assert!(History::parse(Timeline(2), "2 0/1 its own parent").is_err());
    }
}
