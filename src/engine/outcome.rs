//! What a run has come to. Pure.

use super::{Consequence, Outcome};

/// What the outcome depends on.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts; the table below goes over all of them"
)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    /// What the deciding failure means; none when nothing failed.
    pub(super) failed: Option<Consequence>,
    /// It was cancelled.
    pub(super) cancelled: bool,
    /// The point of no return has passed.
    pub(super) passed: bool,
    /// The steps reached their goal, and what failed is the finally.
    pub(super) only_finally: bool,
    /// Something that was allowed to fail did.
    pub(super) degraded: bool,
}

/// Where several apply, the order of the exit codes decides: refused, held, cancelled, failed, degraded.
pub(super) fn outcome(facts: Facts) -> Outcome {
    match facts.failed {
        // The goal was reached for good; a report that was not sent must not stop the service.
        Some(Consequence::Fail | Consequence::Refuse) if facts.passed && facts.only_finally => {
            Outcome::Degraded
        }
        Some(_) if facts.passed => Outcome::Held,
        Some(Consequence::Refuse) => Outcome::Refused,
        Some(Consequence::Hold) => Outcome::Held,
        _ if facts.cancelled => Outcome::Cancelled,
        Some(Consequence::Fail) => Outcome::Failed,
        None if facts.degraded => Outcome::Degraded,
        None => Outcome::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_its_outcome() {
        use Consequence::{Fail, Hold, Refuse};
        let yes = [false, true];
        for failed in [None, Some(Fail), Some(Refuse), Some(Hold)] {
            for cancelled in yes {
                for passed in yes {
                    for degraded in yes {
                        let facts = Facts {
                            failed,
                            cancelled,
                            passed,
                            only_finally: false,
                            degraded,
                        };
                        let expected = match (passed, failed, cancelled, degraded) {
                            (false, Some(Refuse), _, _) => Outcome::Refused,
                            (true, Some(_), _, _) | (false, Some(Hold), _, _) => Outcome::Held,
                            (_, _, true, _) => Outcome::Cancelled,
                            (false, Some(Fail), false, _) => Outcome::Failed,
                            (_, None, false, true) => Outcome::Degraded,
                            (_, None, false, false) => Outcome::Ok,
                        };
                        assert_eq!(outcome(facts), expected, "{facts:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_finally_that_fails_after_the_goal_was_reached() {
        let facts = |passed, failed| Facts {
            failed: Some(failed),
            cancelled: false,
            passed,
            only_finally: true,
            degraded: false,
        };
        assert_eq!(outcome(facts(true, Consequence::Fail)), Outcome::Degraded);
        assert_eq!(outcome(facts(true, Consequence::Hold)), Outcome::Held);
        assert_eq!(outcome(facts(false, Consequence::Fail)), Outcome::Failed);
    }
}
