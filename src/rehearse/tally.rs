//! How many runs there were, where, and what they showed.

use super::fault::Kind;
use super::play::Played;
use super::scenario::Scenario;
use super::situation::Situation;
use crate::engine::Outcome;
use std::collections::BTreeMap;
use std::time::Duration;

/// What met the runs of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Column {
    /// Nothing.
    None,
    /// One fault of this kind.
    One(Kind),
    /// Several.
    Several,
}

/// The runs of one situation with faults of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cell {
    /// How many.
    pub runs: u64,
    /// The longest time without an acknowledged write in those that promoted somebody.
    pub gap: Option<Duration>,
    /// How many broke an invariant.
    pub violated: u64,
}

/// All runs.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// By situation and by what met them.
    pub cells: BTreeMap<(Situation, Column), Cell>,
    /// How many first runs of a situation ended so. None: not at all.
    pub outcomes: BTreeMap<(Situation, &'static str), u64>,
}

impl Column {
    /// Where a scenario belongs.
    pub fn of(scenario: &Scenario) -> Self {
        match scenario.faults.as_slice() {
            [] => Self::None,
            [one] => Self::One(one.kind),
            _ => Self::Several,
        }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::One(kind) => kind.word(),
            Self::Several => "many",
        }
    }
}

impl Cell {
    fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.gap = self.gap.max(other.gap);
        self.violated += other.violated;
    }
}

impl Tally {
    /// Counts a run.
    pub(super) fn count(&mut self, scenario: &Scenario, played: &Played) {
        let cell = Cell {
            runs: 1,
            gap: played.promoted.then_some(played.gap),
            violated: u64::from(!played.violations.is_empty()),
        };
        let key = (scenario.situation, Column::of(scenario));
        self.cells.entry(key).or_default().add(&cell);
        let outcome = (scenario.situation, word(played.outcome));
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    /// Takes in what another thread counted.
    pub(super) fn add(&mut self, other: &Self) {
        for (key, cell) in &other.cells {
            self.cells.entry(*key).or_default().add(cell);
        }
        for (key, count) in &other.outcomes {
            *self.outcomes.entry(*key).or_default() += count;
        }
    }

    /// Everything in one cell.
    pub fn total(&self) -> Cell {
        let mut total = Cell::default();
        for cell in self.cells.values() {
            total.add(cell);
        }
        total
    }

    /// Everything of one situation.
    pub fn of(&self, situation: Situation) -> Cell {
        let mut total = Cell::default();
        for ((of, _), cell) in &self.cells {
            if *of == situation {
                total.add(cell);
            }
        }
        total
    }
}

/// An outcome's word.
pub fn word(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Ok) => "ok",
        Some(Outcome::Degraded) => "degraded",
        Some(Outcome::Failed) => "failed",
        Some(Outcome::Refused) => "refused",
        Some(Outcome::Held) => "held",
        Some(Outcome::Cancelled) => "cancelled",
        None => "endless",
    }
}
