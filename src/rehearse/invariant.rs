//! What must hold whatever goes wrong.

use super::scenario::Scenario;
use std::fmt;

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// Never two nodes that can acknowledge writes, but for a fence that was waived or left to the site's own command.
    OnePrimary,
    /// No acknowledged commit is lost beyond the loss that the run told and somebody agreed to.
    NothingLost,
    /// No promotion without a recorded proof about the primary that is replaced.
    Proof,
    /// What was compared cannot grow any more.
    FrozenBeforeCompared,
    /// A step that says ok has its goal reached.
    GoalReached,
    /// A run that says ok or degraded has evidence for what it does not name.
    Evidence,
    /// Nothing is left behind that the run does not name.
    Named,
    /// Every run ends in a declared outcome, within its budget.
    Ends,
    /// One promotion a run.
    OnePromotion,
    /// After the faults are over, another run reaches the goal or says why not.
    Progress,
}

impl Invariant {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::OnePrimary => "one-primary",
            Self::NothingLost => "nothing-lost",
            Self::Proof => "proof",
            Self::FrozenBeforeCompared => "frozen-before-compared",
            Self::GoalReached => "goal-reached",
            Self::Evidence => "evidence",
            Self::Named => "named",
            Self::Ends => "ends",
            Self::OnePromotion => "one-promotion",
            Self::Progress => "progress",
        }
    }

    /// What it says.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::OnePrimary => "never two nodes that can acknowledge writes",
            Self::NothingLost => {
                "no acknowledged commit is lost beyond the loss that somebody agreed to"
            }
            Self::Proof => "no promotion without a recorded proof",
            Self::FrozenBeforeCompared => "what was compared cannot grow any more",
            Self::GoalReached => "a step that says ok has its goal reached",
            Self::Evidence => "no success without evidence",
            Self::Named => "nothing is left behind that the run does not name",
            Self::Ends => "every run ends in a declared outcome within its budget",
            Self::OnePromotion => "one promotion a run",
            Self::Progress => "after healing, another run reaches the goal or says why not",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub detail: String,
    /// In which run of the scenario, from 1.
    pub run: usize,
    /// When, in milliseconds of simulated time since the first run began.
    pub at_ms: u64,
    /// Where a replay finds it.
    pub scenario: Scenario,
}
