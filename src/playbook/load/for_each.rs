//! `for_each`: a map, or in short only what it goes over.

use super::text;
use crate::document::{Lowering, Spanned, Tree};
use crate::playbook::{ForEach, Items, MaxFailures};

/// The most items that may run at once.
pub(super) const MAX_PARALLEL: i64 = 10_000;

/// A `for_each`. An expression or a list alone is its `items`.
pub(super) fn for_each(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<ForEach> {
    if !matches!(value.value, Tree::Map(_)) {
        return Some(ForEach {
            span: value.span,
            items: items(to, "for_each", value)?,
            key: None,
            max_parallel: None,
            max_failures: MaxFailures::Count(0),
        });
    }
    let mut map = to.map("`for_each`", value)?;
    let over = map
        .required(to, "items")
        .and_then(|e| items(to, "items", &e.value));
    let key = map
        .optional(to, "key")
        .and_then(|e| text::expression(to, "key", &e.value));
    let max_parallel = map
        .optional(to, "max_parallel")
        .and_then(|e| max_parallel(to, &e.value));
    let max_failures = map
        .optional(to, "max_failures")
        .and_then(|e| max_failures(to, &e.value));
    map.finish(to);
    Some(ForEach {
        span: value.span,
        items: over?,
        key,
        max_parallel,
        max_failures: max_failures.unwrap_or(MaxFailures::Count(0)),
    })
}

fn items(to: &mut Lowering<'_>, what: &str, value: &Spanned<Tree>) -> Option<Items> {
    match &value.value {
        Tree::List(_) => Some(Items::List(text::template_tree(to, value))),
        Tree::String { .. } | Tree::Null => {
            text::expression(to, what, value).map(Items::Expression)
        }
        _ => {
            to.wrong_kind(
                &format!("`{what}`"),
                "a list or an expression that gives one",
                value,
            );
            None
        }
    }
}

/// How many may run at once.
pub(super) fn max_parallel(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<usize> {
    to.integer("`max_parallel`", value, 1, MAX_PARALLEL)
        .and_then(|n| usize::try_from(n).ok())
}

fn max_failures(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<MaxFailures> {
    if let Tree::Integer(_) = value.value {
        return to
            .integer("`max_failures`", value, 0, MAX_PARALLEL)
            .and_then(|n| usize::try_from(n).ok())
            .map(MaxFailures::Count);
    }
    let percent = match &value.value {
        Tree::String { text, .. } => text
            .strip_suffix('%')
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .filter(|percent: &u8| *percent <= 100),
        _ => None,
    };
    if percent.is_none() {
        to.error(
            "wrong-kind",
            value.span,
            "`max_failures` must be a count or a percentage",
        )
        .help = Some("write `2`, or `50%`".to_owned());
    }
    percent.map(MaxFailures::Percent)
}
