//! The kinds of expressions, and whether what may be null is guarded.

use super::facts::{Facts, learn};
use super::kind::Kind;
use super::names::{Text, name_of, place_of};
use super::operators::{self, Misfit};
use super::place::Place;
use super::resolve::Use;
use super::steps::Checker;
use crate::playbook::Expression;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators as op,
};

/// Where in an expression we are.
struct Here<'h, 'a> {
    expression: &'h Expression,
    place: &'h Place<'a>,
    /// Variables of comprehensions, innermost last.
    variables: Vec<(String, Kind)>,
}

impl Checker<'_> {
    /// The kind of an expression that stands at `place`.
    pub(super) fn expression(&mut self, expression: &Expression, place: &Place<'_>) -> Kind {
        let mut here = Here {
            expression,
            place,
            variables: Vec::new(),
        };
        self.infer(&mut here, expression.tree(), &place.facts, !place.tolerant)
    }

    /// Checks that an expression can be true or false; `what` names it in a message.
    pub(super) fn condition(&mut self, what: &str, expression: &Expression, place: &Place<'_>) {
        let kind = self.expression(expression, place);
        if !Kind::Boolean.may_be(&kind) || kind == Kind::Null {
            let text = expression.text.clone();
            let error = self.report(
                "wrong-type",
                Text::Expression(expression),
                0,
                format!("{what} must be true or false, this is {kind}"),
            );
            error.span = expression.span;
            error.help = match kind {
                Kind::Integer => Some(format!("compare it: `{text} > 0`")),
                Kind::String(_) => Some(format!("compare it: `{text} == '…'`")),
                Kind::List(_) | Kind::Map => Some(format!("ask for something: `size({text}) > 0`")),
                _ => None,
            };
        }
    }

    fn infer(
        &mut self,
        here: &mut Here<'_, '_>,
        node: &IdedExpr,
        facts: &Facts,
        strict: bool,
    ) -> Kind {
        if let Some((name, computed)) = name_of(here.expression, node) {
            for index in computed {
                self.infer(here, index, facts, strict);
            }
            let variable = here.variables.iter().rev().find(|(v, _)| *v == name.root);
            if let Some((_, kind)) = variable {
                return if name.parts.is_empty() {
                    kind.clone()
                } else {
                    Kind::Any
                };
            }
            let used = Use {
                text: Text::Expression(here.expression),
                facts,
                strict,
            };
            let kind = self.resolve(&name, here.place, &used);
            if kind == Kind::Secret {
                self.report("secret-in-expression", Text::Expression(here.expression), name.at, format!("`{}` is a secret, which no expression can use", name.shown()))
                    .help = Some("a secret can only be handed whole to an input that takes one: `\"{{ params.name }}\"`".to_owned());
                return Kind::Any;
            }
            return kind;
        }
        match &node.expr {
            Expr::Literal(literal) => literal_kind(literal),
            Expr::Select(select) => {
                // Only the test of `has` and selections from computed values come here.
                let operand = self.infer(here, &select.operand, facts, strict && !select.test);
                if select.test {
                    Kind::Boolean
                } else if matches!(operand, Kind::Any | Kind::Never | Kind::Null | Kind::Map) {
                    Kind::Any
                } else {
                    let at = here.expression.offset(node);
                    self.report(
                        "wrong-type",
                        Text::Expression(here.expression),
                        at,
                        format!("nothing can be selected from {operand}"),
                    );
                    Kind::Any
                }
            }
            Expr::Call(call) => self.call(here, node, call, facts, strict),
            Expr::Comprehension(c) => self.comprehension(here, c, facts, strict),
            Expr::List(list) => {
                let mut element = Kind::Never;
                for item in &list.elements {
                    let kind = self.infer(here, item, facts, strict);
                    element = element.either(kind);
                }
                Kind::List(Box::new(element))
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(e) = &entry.expr {
                        self.infer(here, &e.key, facts, strict);
                        self.infer(here, &e.value, facts, strict);
                    }
                }
                Kind::Map
            }
            Expr::Ident(_) | Expr::Struct(_) | Expr::Unspecified => Kind::Any,
        }
    }

    fn call(
        &mut self,
        here: &mut Here<'_, '_>,
        node: &IdedExpr,
        call: &CallExpr,
        facts: &Facts,
        strict: bool,
    ) -> Kind {
        match (call.func_name.as_str(), call.args.as_slice()) {
            // Both sides guard each other: an error on one side is nothing where the other decides.
            (function @ (op::LOGICAL_AND | op::LOGICAL_OR), [left, right]) => {
                let truth = function == op::LOGICAL_AND;
                for (side, other) in [(left, right), (right, left)] {
                    let mut known = facts.clone();
                    if here.variables.is_empty() || !is_macro_variable(other) {
                        learn(&mut known, here.place, here.expression, other, truth);
                    }
                    let kind = self.infer(here, side, &known, strict);
                    self.must_be_boolean(here, function, side, &kind);
                }
                Kind::Boolean
            }
            (op::CONDITIONAL, [condition, yes, no]) => {
                let kind = self.infer(here, condition, facts, strict);
                self.must_be_boolean(here, "? :", condition, &kind);
                let branch = |truth| {
                    let mut known = facts.clone();
                    learn(&mut known, here.place, here.expression, condition, truth);
                    known
                };
                let (then, otherwise) = (branch(true), branch(false));
                let yes = self.infer(here, yes, &then, strict);
                let no = self.infer(here, no, &otherwise, strict);
                yes.either(no)
            }
            (op::LOGICAL_NOT, [inner]) => {
                let kind = self.infer(here, inner, facts, strict);
                self.must_be_boolean(here, "!", inner, &kind);
                Kind::Boolean
            }
            (op::NEGATE, [inner]) => {
                let kind = self.infer(here, inner, facts, strict);
                if !Kind::Integer.may_be(&kind) {
                    let misfit = Misfit(format!("`-` cannot be applied to {kind}"), None);
                    self.misfit(here, node, misfit);
                }
                Kind::Integer
            }
            (op::NOT_STRICTLY_FALSE, [inner]) => {
                self.infer(here, inner, facts, strict);
                Kind::Boolean
            }
            (function @ (op::EQUALS | op::NOT_EQUALS), [left, right]) => {
                // Asking whether something is null needs no guard.
                let left_kind = self.infer(here, left, facts, strict && !is_null(right));
                let right_kind = self.infer(here, right, facts, strict && !is_null(left));
                self.binary(here, node, function, &left_kind, &right_kind)
            }
            (function, [left, right]) if function.starts_with(['_', '@']) => {
                let left = self.infer(here, left, facts, strict);
                let right = self.infer(here, right, facts, strict);
                self.binary(here, node, function, &left, &right)
            }
            (function, args) => {
                let kinds: Vec<Kind> = call
                    .target
                    .as_deref()
                    .into_iter()
                    .chain(args)
                    .map(|arg| self.infer(here, arg, facts, strict))
                    .collect();
                operators::call(function, &kinds).unwrap_or_else(|misfit| {
                    self.misfit(here, node, misfit);
                    Kind::Any
                })
            }
        }
    }

    fn binary(
        &mut self,
        here: &Here<'_, '_>,
        node: &IdedExpr,
        function: &str,
        left: &Kind,
        right: &Kind,
    ) -> Kind {
        operators::binary(function, left, right).unwrap_or_else(|misfit| {
            self.misfit(here, node, misfit);
            if matches!(
                function,
                op::EQUALS
                    | op::NOT_EQUALS
                    | op::LESS
                    | op::LESS_EQUALS
                    | op::GREATER
                    | op::GREATER_EQUALS
                    | op::IN
            ) {
                Kind::Boolean
            } else {
                Kind::Any
            }
        })
    }

    fn misfit(&mut self, here: &Here<'_, '_>, node: &IdedExpr, Misfit(message, help): Misfit) {
        let at = place_of(here.expression, node);
        self.report("wrong-type", Text::Expression(here.expression), at, message)
            .help = help;
    }

    fn must_be_boolean(
        &mut self,
        here: &Here<'_, '_>,
        operator: &str,
        node: &IdedExpr,
        kind: &Kind,
    ) {
        if !Kind::Boolean.may_be(kind) {
            let symbol = operators::symbol(operator);
            let message = format!("`{symbol}` takes what is true or false, this is {kind}");
            self.misfit(here, node, Misfit(message, None));
        }
    }

    fn comprehension(
        &mut self,
        here: &mut Here<'_, '_>,
        c: &ComprehensionExpr,
        facts: &Facts,
        strict: bool,
    ) -> Kind {
        let range = self.infer(here, &c.iter_range, facts, strict);
        let element = match range {
            Kind::List(element) => *element,
            Kind::Map => Kind::TEXT,
            Kind::Any | Kind::Never | Kind::Null => Kind::Any,
            other => {
                self.misfit(
                    here,
                    &c.iter_range,
                    Misfit(
                        format!("this goes over a list or map, and is given {other}"),
                        None,
                    ),
                );
                Kind::Any
            }
        };
        let depth = here.variables.len();
        let start = self.infer(here, &c.accu_init, facts, strict);
        here.variables.push((c.accu_var.clone(), start.clone()));
        here.variables.push((c.iter_var.clone(), element));
        here.variables
            .extend(c.iter_var2.iter().map(|v| (v.clone(), Kind::Any)));
        self.infer(here, &c.loop_cond, facts, strict);
        let step = self.infer(here, &c.loop_step, facts, strict);
        here.variables[depth].1 = start.either(step);
        let result = self.infer(here, &c.result, facts, strict);
        here.variables.truncate(depth);
        result
    }
}

/// The variable that macros gather their result in tells nothing.
fn is_macro_variable(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Ident(name) if name.starts_with('@'))
}

fn is_null(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Literal(LiteralValue::Null))
}

fn literal_kind(literal: &LiteralValue) -> Kind {
    match literal {
        LiteralValue::Boolean(_) => Kind::Boolean,
        LiteralValue::Int(_) => Kind::Integer,
        LiteralValue::Null => Kind::Null,
        LiteralValue::String(text) => Kind::String(Some(vec![text.inner().to_owned()])),
        LiteralValue::Bytes(_) | LiteralValue::Double(_) | LiteralValue::UInt(_) => Kind::Any,
    }
}
