//! `retry`: how often and how long to try.

use super::text;
use crate::document::{Lowering, Spanned, Tree};
use crate::playbook::{Jitter, Retry};
use std::time::Duration;

/// The first wait where `delay` is absent.
const DEFAULT_DELAY: Duration = Duration::from_secs(1);
/// Attempts where neither `attempts` nor `within` is there.
const DEFAULT_ATTEMPTS: u32 = 3;

/// A retry policy in which nothing is without an end.
pub(super) fn retry(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<Retry> {
    if let Tree::Integer(count) = value.value {
        to.wrong_kind("`retry`", "a map", value).help =
            Some(format!("write `retry: {{ attempts: {count} }}`"));
        return None;
    }
    let mut map = to.map("`retry`", value)?;
    let attempts = map
        .optional(to, "attempts")
        .and_then(|e| to.integer("`attempts`", &e.value, 1, 1000))
        .and_then(|n| u32::try_from(n).ok());
    let within = map
        .optional(to, "within")
        .and_then(|e| text::duration(to, "within", &e.value, false));
    let delay = map
        .optional(to, "delay")
        .and_then(|e| text::duration(to, "delay", &e.value, true));
    let factor = map
        .optional(to, "factor")
        .and_then(|e| factor(to, &e.value));
    let max_delay = map
        .optional(to, "max_delay")
        .and_then(|e| text::duration(to, "max_delay", &e.value, false));
    let jitter = map.optional(to, "jitter").and_then(|e| {
        let choices = [("none", Jitter::None), ("full", Jitter::Full)];
        to.one_of("`jitter`", &e.value, &choices)
    });
    let condition = map
        .optional(to, "if")
        .and_then(|e| text::condition(to, "if", &e.value));
    let retry = Retry {
        attempts,
        within: within.as_ref().map(|w| w.value),
        delay: delay.as_ref().map_or(DEFAULT_DELAY, |d| d.value),
        factor_thousandths: factor.unwrap_or(1000),
        max_delay: max_delay.as_ref().map(|d| d.value),
        jitter: jitter.map_or(Jitter::None, |j| j.value),
        condition,
    };
    if let (Some(delay), Some(max)) = (&delay, &max_delay)
        && delay.value > max.value
    {
        let d = to.error(
            "out-of-range",
            delay.span,
            "`delay` is longer than `max_delay`",
        );
        d.related.push(crate::document::Label {
            span: max.span,
            text: "the longest wait".to_owned(),
        });
    }
    if let Some(delay) =
        delay.filter(|d| d.value.is_zero() && within.is_some() && attempts.is_none())
    {
        to.error(
            "out-of-range",
            delay.span,
            "without `attempts`, a `delay` of nothing would try without pause",
        )
        .help = Some("give a `delay`, or a number of `attempts`".to_owned());
    }
    if retry.within.is_none() && waits(&retry) > text::MAX_DURATION {
        to.error(
            "unbounded-retry",
            value.span,
            "the waits of all attempts together exceed 30 days",
        )
        .help = Some("bound them with `max_delay` or `within`".to_owned());
    }
    map.finish(to);
    Some(retry)
}

/// A factor from 1 to 100 with up to three decimals, in thousandths.
fn factor(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<u32> {
    let number = match value.value {
        #[expect(
            clippy::cast_precision_loss,
            reason = "what is larger than 100 is refused"
        )]
        Tree::Integer(number) => number as f64,
        Tree::Float(number) => number,
        _ => {
            to.wrong_kind("`factor`", "a number", value);
            return None;
        }
    };
    if !(1.0..=100.0).contains(&number) {
        to.error("out-of-range", value.span, "`factor` must be from 1 to 100");
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 1000 to 100,000"
    )]
    Some((number * 1000.0).round() as u32)
}

/// The sum of all waits, saturating.
fn waits(retry: &Retry) -> Duration {
    let attempts = retry.attempts.unwrap_or(DEFAULT_ATTEMPTS);
    let mut wait = retry.delay;
    let mut sum = Duration::ZERO;
    for _ in 1..attempts {
        if let Some(max) = retry.max_delay {
            wait = wait.min(max);
        }
        sum = sum.saturating_add(wait);
        wait = wait.saturating_mul(retry.factor_thousandths) / 1000;
    }
    sum
}
