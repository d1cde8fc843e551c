//! The fewest faults that still break the same invariant.

use super::invariant::Violation;
use super::play::{Want, play};
use super::subject::Subject;

/// Drops faults one at a time, as long as the invariant stays broken.
pub fn shrink(subject: &Subject, violation: &Violation) -> Violation {
    let mut best = violation.clone();
    'again: loop {
        for index in 0..best.scenario.faults.len() {
            let mut fewer = best.scenario.clone();
            fewer.faults.remove(index);
            let Ok(played) = play(subject, &fewer, Want::Outcome) else {
                continue;
            };
            let same = |v: &&Violation| v.invariant == best.invariant;
            if let Some(found) = played.violations.iter().find(same) {
                best = found.clone();
                continue 'again;
            }
        }
        return best;
    }
}
