//! The log: branches, and what a node has of them.
//!
//! A timeline's number does not tell its contents: two promotions of the same parent both make a timeline 2. Servers
//! cannot tell them apart and the model can, so that a lost commit is seen: here every promotion makes a *branch*.

use crate::cluster::{Fork, History, Lsn, Timeline};

/// `wal_segment_size` where nothing else is known.
pub(super) const SEGMENT: u64 = 16 << 20;

/// The start of the segment that holds this position.
pub(super) fn segment_start(at: Lsn) -> Lsn {
    Lsn(at.0 - at.0 % SEGMENT)
}

/// One contents of one timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BranchId(usize);

#[derive(Debug, Clone)]
struct Branch {
    timeline: Timeline,
    parent: Option<(BranchId, Lsn)>,
}

/// All branches that ever were.
#[derive(Debug, Clone, Default)]
pub(super) struct Branches(Vec<Branch>);

impl Branches {
    /// A branch without a parent.
    pub(super) fn root(&mut self, timeline: Timeline) -> BranchId {
        self.add(timeline, None)
    }

    /// A branch that leaves `parent` at this position, with this number.
    pub(super) fn fork(&mut self, parent: BranchId, at: Lsn, timeline: Timeline) -> BranchId {
        self.add(timeline, Some((parent, at)))
    }

    fn add(&mut self, timeline: Timeline, parent: Option<(BranchId, Lsn)>) -> BranchId {
        self.0.push(Branch { timeline, parent });
        BranchId(self.0.len() - 1)
    }

    pub(super) fn timeline(&self, branch: BranchId) -> Timeline {
        self.0[branch.0].timeline
    }

    /// The branch and its ancestors, newest first, each with where it was left.
    fn line(&self, branch: BranchId) -> impl Iterator<Item = (BranchId, Lsn)> {
        std::iter::successors(Some((branch, Lsn(u64::MAX))), |(id, end)| {
            self.0[id.0].parent.map(|(up, at)| (up, at.min(*end)))
        })
    }

    /// The timelines on its line that began with a promotion, oldest first.
    pub(super) fn promoted(&self, branch: BranchId) -> Vec<Timeline> {
        let begun = |id: &BranchId| self.0[id.0].parent.is_some();
        let mut found: Vec<Timeline> = self
            .line(branch)
            .filter(|(id, _)| begun(id))
            .map(|(id, _)| self.timeline(id))
            .collect();
        found.reverse();
        found
    }

    /// As a history file tells it.
    pub(super) fn history(&self, branch: BranchId) -> History {
        let mut forks: Vec<Fork> = self
            .line(branch)
            .skip(1)
            .map(|(id, at)| Fork {
                timeline: self.timeline(id),
                at,
            })
            .collect();
        forks.reverse();
        History {
            timeline: self.timeline(branch),
            forks,
        }
    }

    /// The ancestor (or the branch itself) of this number, and where it was left.
    pub(super) fn named(&self, branch: BranchId, timeline: Timeline) -> Option<(BranchId, Lsn)> {
        self.line(branch)
            .find(|(id, _)| self.timeline(*id) == timeline)
    }

    /// Up to where two branches hold the same.
    pub(super) fn common(&self, one: BranchId, other: BranchId) -> Lsn {
        self.line(one)
            .find_map(|(id, end)| {
                let (_, theirs) = self.line(other).find(|(theirs, _)| *theirs == id)?;
                Some(end.min(theirs))
            })
            .unwrap_or_default()
    }

    /// Whether what was written at this position of `branch` is on the line of `of`.
    pub(super) fn holds(&self, of: BranchId, branch: BranchId, at: Lsn) -> bool {
        self.line(of).any(|(id, end)| id == branch && at <= end)
    }
}

/// What a node has of the log.
#[derive(Debug, Clone)]
pub(super) struct Wal {
    /// The branch that it is on: that of the last record it has.
    pub(super) branch: BranchId,
    /// Older WAL is removed.
    pub(super) begin: Lsn,
    /// The end of what is on its disk.
    pub(super) end: Lsn,
    /// `pg_last_wal_receive_lsn()`: none after a start until something streams, then the start of a segment.
    pub(super) received: Option<Lsn>,
    /// Replayed up to here; on a primary the same as the end.
    pub(super) replayed: Lsn,
}

impl Wal {
    /// It holds all that this one on the same branch does; drained before, drained after.
    pub(super) fn holds(&mut self, other: &Self) {
        if self.branch != other.branch || self.end >= other.end {
            return;
        }
        if self.replayed >= self.end {
            self.replayed = other.end;
        }
        self.received = self.received.map(|received| received.max(other.end));
        self.end = other.end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_of_one_number_are_told_apart() {
        let mut branches = Branches::default();
        let root = branches.root(Timeline(1));
        let one = branches.fork(root, Lsn(100), Timeline(2));
        let other = branches.fork(root, Lsn(120), Timeline(2));
        let third = branches.fork(one, Lsn(200), Timeline(3));
        assert_eq!(branches.common(one, other), Lsn(100));
        assert_eq!(branches.common(third, one), Lsn(200));
        assert_eq!(branches.common(third, third), Lsn(u64::MAX));
        assert!(branches.holds(third, root, Lsn(100)));
        assert!(!branches.holds(third, root, Lsn(101)));
        assert!(!branches.holds(third, other, Lsn(130)));
        let history = branches.history(third);
        assert_eq!(history.fork_of(Timeline(1)), Some(Lsn(100)));
        assert_eq!(history.fork_of(Timeline(2)), Some(Lsn(200)));
        assert_eq!(branches.named(third, Timeline(2)), Some((one, Lsn(200))));
    }
}
