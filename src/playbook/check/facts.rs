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
    let mut learner = Learner {
        facts,
        place,
        steps: 0,
    };
    learner.learn(expression, node, truth);
}

/// How many steps back a condition is followed: `steps.b.status == 'ok'` makes sure what the `when` of `b` says, and so on.
const MAX_STEPS: usize = 4;

struct Learner<'l, 'p> {
    facts: &'l mut Facts,
    place: &'l Place<'p>,
    /// How many steps back we are.
    steps: usize,
}

impl Learner<'_, '_> {
    fn learn(&mut self, expression: &Expression, node: &IdedExpr, truth: bool) {
        let written = canonical(node);
        self.facts
            .insert(Fact::Holds(if truth { written } else { negated(&written) }));
        if let Some((name, _)) = name_of(expression, node) {
            // It was true or false, so it was something.
            self.set(name.shown());
            return;
        }
        let Expr::Call(call) = &node.expr else { return };
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_NOT, [inner]) => self.learn(expression, inner, !truth),
            (operators::LOGICAL_AND, all) if truth => {
                for part in all {
                    self.learn(expression, part, true);
                }
            }
            (operators::LOGICAL_OR, all) if !truth => {
                for part in all {
                    self.learn(expression, part, false);
                }
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
                let equal = (call.func_name == operators::EQUALS) == truth;
                self.compared(expression, (left, right), equal);
                self.compared(expression, (right, left), equal);
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
                        self.set(name.shown());
                    }
                }
            }
            (operators::IN, [element, list]) if truth => {
                if let (Some((name, _)), Expr::List(list)) =
                    (name_of(expression, element), &list.expr)
                {
                    let ok = |node: &IdedExpr| literal_text(node) == Some("ok");
                    if !list.elements.is_empty() && list.elements.iter().all(ok) {
                        self.status_ok(&name.shown());
                    }
                }
            }
            _ => {}
        }
    }

    fn compared(
        &mut self,
        expression: &Expression,
        (side, other): (&IdedExpr, &IdedExpr),
        equal: bool,
    ) {
        let (Some((name, _)), Expr::Literal(literal)) = (name_of(expression, side), &other.expr)
        else {
            return;
        };
        let name = name.shown();
        let null = matches!(literal, LiteralValue::Null);
        if equal != null {
            self.set(name.clone());
        }
        if equal && literal_text(other) == Some("ok") {
            self.status_ok(&name);
        }
    }

    fn status_ok(&mut self, name: &str) {
        if let Some(step) = name.strip_suffix(".status")
            && step.starts_with("steps.")
        {
            self.ok(step);
        }
    }

    fn set(&mut self, name: String) {
        // An output is there only where its step ended ok.
        if let Some((step, output)) = name.rsplit_once('.')
            && step.starts_with("steps.")
            && !matches!(output, "status" | "items")
        {
            self.ok(step);
        }
        self.facts.insert(Fact::Set(name));
    }

    fn ok(&mut self, step: &str) {
        if !self.facts.insert(Fact::Ok(step.to_owned())) || self.steps == MAX_STEPS {
            return;
        }
        // It ran, so its own condition held.
        let id = step.trim_start_matches("steps.").split(['.', '[']).next();
        if let Some(seen) = id.and_then(|id| self.place.find(id))
            && let Some(when) = &seen.step.when
        {
            self.steps += 1;
            self.learn(when, when.tree(), true);
            self.steps -= 1;
        }
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
