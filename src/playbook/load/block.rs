//! Sets of steps: the top level, a `rescue`, the `finally`.

use super::step::step;
use super::text;
use crate::document::{Entry, Lowering, Span, Spanned, Tree};
use crate::playbook::{Block, Expression, Step};

/// The steps of a map, in source order. A step that cannot be made sense of is left out.
pub(super) fn steps(
    to: &mut Lowering<'_>,
    value: &Spanned<Tree>,
    place: Span,
    retried: bool,
) -> Vec<Step> {
    if let Tree::List(_) = value.value {
        to.wrong_kind("`steps`", "a map", value).help = Some(
            "write each step under its id, `stop: { action: stop }`; their order comes from `needs`"
                .to_owned(),
        );
        return Vec::new();
    }
    let Some(entries) = to.entries("`steps`", value) else {
        return Vec::new();
    };
    if entries.is_empty() {
        to.error("no-steps", place, "there are no steps");
    }
    entries
        .iter()
        .filter_map(|entry| step(to, entry, retried))
        .collect()
}

/// A `rescue` or `finally`: `{ timeout, steps, outputs }`, or only its steps, as one would write them in Ansible. It is
/// read as the long form where it has the key `steps`, or a `timeout` or `outputs` that is no step.
pub(super) fn block(
    to: &mut Lowering<'_>,
    entry: &Entry,
    outputs_allowed: bool,
    retried: bool,
) -> Option<Block> {
    let what = format!("`{}`", entry.key.value);
    let value = &entry.value;
    let span = entry.key.span;
    if let Tree::List(_) = value.value {
        to.wrong_kind(&what, "a map", value).help =
            Some("write each step under its id; their order comes from `needs`".to_owned());
        return None;
    }
    let entries = to.entries(&what, value)?;
    if !is_long(entries) {
        return Some(Block {
            span,
            timeout: None,
            steps: steps(to, value, span, retried),
            outputs: Vec::new(),
        });
    }
    let mut map = to.map(what, value)?;
    let timeout = map
        .optional(to, "timeout")
        .and_then(|e| text::duration(to, "timeout", &e.value, false));
    let steps = map
        .required(to, "steps")
        .map(|e| steps(to, &e.value, e.key.span, retried))
        .unwrap_or_default();
    let outputs = if outputs_allowed {
        map.optional(to, "outputs")
            .map(|e| outputs(to, &e.value))
            .unwrap_or_default()
    } else {
        if let Some(e) = map.peek("outputs") {
            to.error(
                "unknown-key",
                e.key.span,
                format!("the `{}` of a playbook has no outputs", entry.key.value),
            )
            .help =
                Some("`outputs` stand at the top level, and in the `rescue` of a step".to_owned());
        }
        Vec::new()
    };
    map.finish(to);
    Some(Block {
        span,
        timeout: timeout.map(|t| t.value),
        steps,
        outputs,
    })
}

/// Whether it is the long form.
pub(in crate::playbook) fn is_long(entries: &[Entry]) -> bool {
    let is_step = |entry: &Entry| {
        matches!(&entry.value.value, Tree::Map(keys)
            if keys.iter().any(|k| matches!(k.key.value.as_str(), "action" | "playbook")
                && matches!(k.value.value, Tree::String { .. })))
    };
    entries.iter().any(|entry| match entry.key.value.as_str() {
        "steps" | "timeout" | "outputs" => !is_step(entry),
        _ => false,
    })
}

/// `outputs`: names and expressions.
pub(super) fn outputs(
    to: &mut Lowering<'_>,
    value: &Spanned<Tree>,
) -> Vec<(Spanned<String>, Expression)> {
    let Some(entries) = to.entries("`outputs`", value) else {
        return Vec::new();
    };
    let mut outputs = Vec::with_capacity(entries.len());
    for entry in entries {
        let name = text::identifier(to, "an output", &entry.key);
        let expression = text::expression(to, &entry.key.value, &entry.value);
        if let (Some(_), Some(expression)) = (name, expression) {
            outputs.push((entry.key.clone(), expression));
        }
    }
    outputs
}
