//! Whether a failed attempt is followed by another, and when. Pure.

use super::Consequence;
use crate::playbook::{Jitter, Retry, TroubleKind};
use std::time::Duration;

/// Attempts when `retry` says neither `attempts` nor `within`.
const ATTEMPTS: u32 = 3;

/// The least wait where nothing but `within` limits the attempts, so that they cannot spin.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// A failed attempt, as far as the decision depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    /// Which attempt failed, from 1.
    pub(super) attempt: u32,
    /// How.
    pub(super) kind: TroubleKind,
    /// What it means.
    pub(super) consequence: Consequence,
    /// What `retry.if` says, where there is one.
    pub(super) condition: Option<bool>,
    /// Time spent in all attempts and waits so far.
    pub(super) spent: Duration,
    /// Evenly between 0 and 1, for jitter.
    pub(super) random: f64,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Another attempt, after this wait.
    Again(Duration),
    /// The step has failed for good.
    Enough,
}

/// Decides. A failure that a person must decide on is never tried again: the next attempt would be a guess.
pub(super) fn decide(retry: Option<&Retry>, failed: Failed) -> Decision {
    let Some(retry) = retry else {
        return Decision::Enough;
    };
    let worth = failed.condition.unwrap_or(!matches!(
        failed.kind,
        TroubleKind::Conflict | TroubleKind::Denied
    ));
    if !worth || failed.consequence == Consequence::Hold {
        return Decision::Enough;
    }
    let attempts = retry
        .attempts
        .or(retry.within.is_none().then_some(ATTEMPTS));
    if attempts.is_some_and(|most| failed.attempt >= most) {
        return Decision::Enough;
    }
    let mut wait = full_wait(retry, failed.attempt);
    if retry.jitter == Jitter::Full {
        wait = wait.mul_f64(failed.random.clamp(0.0, 1.0));
    }
    if attempts.is_none() {
        wait = wait.max(LEAST_WAIT);
    }
    match retry.within {
        Some(within) if failed.spent.saturating_add(wait) >= within => Decision::Enough,
        _ => Decision::Again(wait),
    }
}

/// The wait after this attempt, before jitter.
fn full_wait(retry: &Retry, attempt: u32) -> Duration {
    // A bound on the exponent keeps the power finite; the longest wait is a year either way.
    const LONGEST: f64 = 365.0 * 24.0 * 3600.0;
    if retry.delay.is_zero() {
        return Duration::ZERO;
    }
    let factor = f64::from(retry.factor_thousandths) / 1000.0;
    let power = i32::try_from(attempt.saturating_sub(1).min(1000)).unwrap_or(1000);
    let seconds = (retry.delay.as_secs_f64() * factor.powi(power)).clamp(0.0, LONGEST);
    let wait = if seconds.is_finite() {
        Duration::from_secs_f64(seconds)
    } else {
        Duration::from_secs_f64(LONGEST)
    };
    retry.max_delay.map_or(wait, |most| wait.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [TroubleKind; 7] = [
        TroubleKind::Unreachable,
        TroubleKind::Timeout,
        TroubleKind::Denied,
        TroubleKind::Failed,
        TroubleKind::Conflict,
        TroubleKind::Unmet,
        TroubleKind::Unknown,
    ];

    fn retry() -> Retry {
        Retry {
            attempts: None,
            within: None,
            delay: Duration::from_secs(1),
            factor_thousandths: 1000,
            max_delay: None,
            jitter: Jitter::None,
            condition: None,
        }
    }

    fn failed(attempt: u32) -> Failed {
        Failed {
            attempt,
            kind: TroubleKind::Failed,
            consequence: Consequence::Fail,
            condition: None,
            spent: Duration::ZERO,
            random: 0.5,
        }
    }

    fn again(decision: Decision) -> bool {
        decision != Decision::Enough
    }

    /// Every kind, every answer of `if`, every consequence, with and without attempts left.
    #[test]
    fn who_is_tried_again() {
        for kind in KINDS {
            for condition in [None, Some(true), Some(false)] {
                for consequence in [Consequence::Fail, Consequence::Refuse, Consequence::Hold] {
                    for attempt in 1..=3 {
                        let by_default = match kind {
                            TroubleKind::Conflict | TroubleKind::Denied => false,
                            TroubleKind::Unreachable
                            | TroubleKind::Timeout
                            | TroubleKind::Failed
                            | TroubleKind::Unmet
                            | TroubleKind::Unknown => true,
                        };
                        let expected = condition.unwrap_or(by_default)
                            && consequence != Consequence::Hold
                            && attempt < 3;
                        let case = Failed {
                            kind,
                            consequence,
                            condition,
                            ..failed(attempt)
                        };
                        assert_eq!(again(decide(Some(&retry()), case)), expected, "{case:?}");
                        assert!(!again(decide(None, case)), "without retry: {case:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn attempts_are_a_total() {
        for (attempts, failed_attempt, expected) in [
            (Some(1), 1, false),
            (Some(2), 1, true),
            (Some(2), 2, false),
            (None, 2, true),
            (None, 3, false),
        ] {
            let retry = Retry {
                attempts,
                ..retry()
            };
            assert_eq!(
                again(decide(Some(&retry), failed(failed_attempt))),
                expected
            );
        }
    }

    #[test]
    fn within_bounds_attempts_and_waits_together() {
        let retry = Retry {
            within: Some(Duration::from_secs(10)),
            ..retry()
        };
        for (spent, expected) in [(0, true), (8, true), (9, false), (10, false), (99, false)] {
            let case = Failed {
                spent: Duration::from_secs(spent),
                // Not limited to three when `within` stands alone.
                ..failed(7)
            };
            assert_eq!(again(decide(Some(&retry), case)), expected, "{spent}");
        }
        let both = Retry {
            attempts: Some(2),
            ..retry
        };
        assert!(!again(decide(Some(&both), failed(2))));
    }

    #[test]
    fn waits_grow_by_the_factor_up_to_the_limit() {
        let retry = Retry {
            attempts: Some(10),
            factor_thousandths: 2500,
            max_delay: Some(Duration::from_secs(10)),
            ..retry()
        };
        let waits: Vec<_> = (1..5)
            .map(|attempt| decide(Some(&retry), failed(attempt)))
            .collect();
        let millis = [1000, 2500, 6250, 10_000];
        assert_eq!(
            waits,
            millis.map(|ms| Decision::Again(Duration::from_millis(ms)))
        );
    }

    #[test]
    fn jitter_takes_a_part_of_the_wait() {
        let retry = Retry {
            jitter: Jitter::Full,
            ..retry()
        };
        for (random, ms) in [(0.0, 0), (0.25, 250), (1.0, 1000)] {
            let case = Failed {
                random,
                ..failed(1)
            };
            assert_eq!(
                decide(Some(&retry), case),
                Decision::Again(Duration::from_millis(ms))
            );
        }
    }

    #[test]
    fn extremes_neither_spin_nor_overflow() {
        let spinning = Retry {
            delay: Duration::ZERO,
            within: Some(Duration::from_secs(1)),
            ..retry()
        };
        assert_eq!(
            decide(Some(&spinning), failed(1)),
            Decision::Again(LEAST_WAIT)
        );
        let spinning = Retry {
            factor_thousandths: u32::MAX,
            ..spinning
        };
        assert_eq!(
            decide(Some(&spinning), failed(2000)),
            Decision::Again(LEAST_WAIT)
        );
        let growing = Retry {
            attempts: Some(u32::MAX),
            factor_thousandths: u32::MAX,
            ..retry()
        };
        assert!(again(decide(Some(&growing), failed(1_000_000))));
    }
}
