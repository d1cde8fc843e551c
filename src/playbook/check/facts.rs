//! What a condition makes sure when it holds.

use super::names::{canonical, name_of};
use super::place::Place;
use crate::playbook::Expression;
use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};
use std::collections::BTreeSet;

/// Something that is sure at a place; names and conditions as [`canonical`] writes them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fact {
    /// This condition holds.
    Holds(String),
    /// This name is not null.
    Set(String),
    /// This step, or item of a step, ended ok: `steps.stop`, `steps.follow.items[k]`.
    Ok(String),
}

pub(super) type Facts = BTreeSet<Fact>;

/// Adds what is sure when `node`, a part of `expression` that stands at `place`, is `truth`.
pub(super) fn learn(
    facts: &mut Facts,
    place: &Place<'_>,
    expression: &Expression,
    node: &IdedExpr,
    truth: bool,
) {
    let written = canonical(node);
    facts.insert(Fact::Holds(if truth { written } else { negated(&written) }));
    if let Some((name, _)) = name_of(expression, node) {
        // It was true or false, so it was something.
        set(facts, place, name.shown());
        return;
    }
    let Expr::Call(call) = &node.expr else { return };
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::LOGICAL_NOT, [inner]) => learn(facts, place, expression, inner, !truth),
        (operators::LOGICAL_AND, all) if truth => {
            for part in all {
                learn(facts, place, expression, part, true);
            }
        }
        (operators::LOGICAL_OR, all) if !truth => {
            for part in all {
                learn(facts, place, expression, part, false);
            }
        }
        (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
            let equal = (call.func_name == operators::EQUALS) == truth;
            compared(facts, place, expression, (left, right), equal);
            compared(facts, place, expression, (right, left), equal);
        }
        (
            operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS,
            both,
        ) => {
            // An order was found, so both sides were something.
            for side in both {
                if let Some((name, _)) = name_of(expression, side) {
                    set(facts, place, name.shown());
                }
            }
        }
        (operators::IN, [element, list]) if truth => {
            if let (Some((name, _)), Expr::List(list)) = (name_of(expression, element), &list.expr)
            {
                let ok = |node: &IdedExpr| literal_text(node) == Some("ok");
                if !list.elements.is_empty() && list.elements.iter().all(ok) {
                    status_ok(facts, place, &name.shown());
                }
            }
        }
        _ => {}
    }
}

/// How the opposite of a condition is written.
pub(super) fn negated(written: &str) -> String {
    let not = format!("{}(", operators::LOGICAL_NOT);
    written
        .strip_prefix(&not)
        .and_then(|inner| inner.strip_suffix(')'))
        .map_or_else(|| format!("{not}{written})"), str::to_owned)
}

fn literal_text(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

fn compared(
    facts: &mut Facts,
    place: &Place<'_>,
    expression: &Expression,
    (side, other): (&IdedExpr, &IdedExpr),
    equal: bool,
) {
    let (Some((name, _)), Expr::Literal(literal)) = (name_of(expression, side), &other.expr) else {
        return;
    };
    let name = name.shown();
    let null = matches!(literal, LiteralValue::Null);
    if equal != null {
        set(facts, place, name.clone());
    }
    if equal && literal_text(other) == Some("ok") {
        status_ok(facts, place, &name);
    }
}

fn status_ok(facts: &mut Facts, place: &Place<'_>, name: &str) {
    if let Some(step) = name.strip_suffix(".status")
        && step.starts_with("steps.")
    {
        ok(facts, place, step);
    }
}

fn set(facts: &mut Facts, place: &Place<'_>, name: String) {
    // An output is there only where its step ended ok.
    if let Some((step, output)) = name.rsplit_once('.')
        && step.starts_with("steps.")
        && !matches!(output, "status" | "items")
    {
        ok(facts, place, step);
    }
    facts.insert(Fact::Set(name));
}

fn ok(facts: &mut Facts, place: &Place<'_>, step: &str) {
    if !facts.insert(Fact::Ok(step.to_owned())) {
        return;
    }
    // It ran, so its own condition held.
    let id = step.trim_start_matches("steps.").split(['.', '[']).next();
    if let Some(seen) = id.and_then(|id| place.find(id))
        && let Some(when) = &seen.step.when
    {
        learn(facts, place, when, when.tree(), true);
    }
}

/// Whether every part of this condition is among the facts.
pub(super) fn follows(facts: &Facts, condition: &IdedExpr) -> bool {
    if facts.contains(&Fact::Holds(canonical(condition))) {
        return true;
    }
    match &condition.expr {
        Expr::Call(call) if call.func_name == operators::LOGICAL_AND => {
            call.args.iter().all(|part| follows(facts, part))
        }
        _ => false,
    }
}
