//! Names in expressions and templates: chains of selections, with their places.

use crate::document::{Source, Span};
use crate::playbook::{Expression, Reference, Template};
use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use std::fmt::Write as _;

/// Where a name stands.
#[derive(Clone, Copy)]
pub(super) enum Text<'a> {
    Expression(&'a Expression),
    Template(&'a Template),
}

impl Text<'_> {
    /// The place of the word at this offset.
    pub(super) fn place(&self, source: &Source, offset: usize) -> Span {
        match self {
            Self::Expression(expression) => expression.place(source, offset),
            Self::Template(template) => template.place(source, offset),
        }
    }
}

/// A name and what is selected from it.
pub(super) struct Name {
    pub(super) root: String,
    pub(super) at: usize,
    pub(super) parts: Vec<Part>,
}

/// One selection.
pub(super) struct Part {
    /// What is selected; `None` when it is computed.
    pub(super) text: Option<String>,
    /// Where it is written.
    pub(super) at: usize,
    /// The name up to here, as [`canonical`] writes it.
    pub(super) upto: String,
}

impl Name {
    pub(super) fn of_reference(reference: &Reference) -> Self {
        let mut at = reference.offset;
        let mut upto = String::new();
        let mut parts = Vec::new();
        for text in &reference.path {
            push(&mut upto, text);
            parts.push(Part {
                text: Some(text.clone()),
                at,
                upto: upto.clone(),
            });
            at += text.len() + 1;
        }
        let root = parts.remove(0);
        Self {
            root: root.text.unwrap_or_default(),
            at: root.at,
            parts,
        }
    }

    /// The name as written, as far as it is constant.
    pub(super) fn shown(&self) -> String {
        self.parts
            .last()
            .map_or_else(|| self.root.clone(), |part| part.upto.clone())
    }
}

/// `node` as a name, if it is one, and what stands in its brackets that is no constant.
pub(super) fn name_of<'e>(
    expression: &Expression,
    node: &'e IdedExpr,
) -> Option<(Name, Vec<&'e IdedExpr>)> {
    let mut here = node;
    let mut reversed = Vec::new();
    let mut computed = Vec::new();
    let root = loop {
        match &here.expr {
            Expr::Ident(name) => break name,
            Expr::Select(select) if !select.test => {
                reversed.push((
                    Some(select.field.clone()),
                    field_at(expression, here, &select.field),
                    None,
                ));
                here = &select.operand;
            }
            Expr::Call(call) if call.func_name == operators::INDEX && call.args.len() == 2 => {
                let index = &call.args[1];
                let at = expression.offset(index);
                if let Expr::Literal(LiteralValue::String(key)) = &index.expr {
                    reversed.push((Some(key.inner().to_owned()), at, None));
                } else {
                    reversed.push((None, at, Some(canonical(index))));
                    computed.push(index);
                }
                here = &call.args[0];
            }
            _ => return None,
        }
    };
    let mut upto = root.clone();
    let parts = reversed.into_iter().rev().map(|(text, at, index)| {
        match (&text, index) {
            (Some(text), _) => push(&mut upto, text),
            (None, index) => {
                let _ = write!(upto, "[{}]", index.unwrap_or_default());
            }
        }
        Part {
            text,
            at,
            upto: upto.clone(),
        }
    });
    let parts = parts.collect();
    let name = Name {
        root: root.clone(),
        at: expression.offset(here),
        parts,
    };
    Some((name, computed))
}

/// Where a part of an expression begins or, for an operator, where that stands.
pub(super) fn place_of(expression: &Expression, node: &IdedExpr) -> usize {
    let at = expression.offset(node);
    match &node.expr {
        Expr::Call(call)
            if call
                .func_name
                .starts_with(|c: char| c.is_ascii_alphabetic()) =>
        {
            // Of a function the parser notes the bracket.
            let before = expression.text.get(..at).unwrap_or_default().trim_end();
            if before.ends_with(&call.func_name) {
                before.len() - call.func_name.len()
            } else {
                at
            }
        }
        _ => name_of(expression, node).map_or(at, |(name, _)| name.at),
    }
}

/// Where the field of a selection is written: behind its dot, which is what the parser notes.
fn field_at(expression: &Expression, node: &IdedExpr, field: &str) -> usize {
    let dot = expression.offset(node);
    let behind = expression.text.get(dot + 1..).unwrap_or_default();
    let blank = behind.len() - behind.trim_start().len();
    if behind.trim_start().starts_with(field) {
        dot + 1 + blank
    } else {
        dot
    }
}

fn push(upto: &mut String, text: &str) {
    let simple = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if simple && !upto.is_empty() {
        upto.push('.');
    }
    if simple || upto.is_empty() {
        upto.push_str(text);
    } else {
        let _ = write!(upto, "['{text}']");
    }
}

/// A way of writing an expression that is the same for expressions that mean the same by their form.
pub(super) fn canonical(node: &IdedExpr) -> String {
    match &node.expr {
        Expr::Ident(name) => name.clone(),
        Expr::Literal(LiteralValue::String(text)) => format!("'{}'", text.inner().escape_default()),
        Expr::Literal(literal) => format!("{literal:?}"),
        Expr::Select(select) if select.test => {
            format!("has({}.{})", canonical(&select.operand), select.field)
        }
        Expr::Select(select) => {
            let mut text = canonical(&select.operand);
            push(&mut text, &select.field);
            text
        }
        Expr::Call(call) if call.func_name == operators::INDEX && call.args.len() == 2 => {
            let mut text = canonical(&call.args[0]);
            match &call.args[1].expr {
                Expr::Literal(LiteralValue::String(key)) => push(&mut text, key.inner()),
                _ => {
                    let _ = write!(text, "[{}]", canonical(&call.args[1]));
                }
            }
            text
        }
        Expr::Call(call) => {
            let target = call.target.as_deref();
            let args: Vec<String> = target
                .into_iter()
                .chain(&call.args)
                .map(canonical)
                .collect();
            format!("{}({})", call.func_name, args.join(", "))
        }
        Expr::List(list) => {
            let items: Vec<String> = list.elements.iter().map(canonical).collect();
            format!("[{}]", items.join(", "))
        }
        Expr::Map(map) => {
            let entries = map.entries.iter().map(|entry| match &entry.expr {
                EntryExpr::MapEntry(e) => {
                    format!("{}: {}", canonical(&e.key), canonical(&e.value))
                }
                EntryExpr::StructField(e) => format!("{}: {}", e.field, canonical(&e.value)),
            });
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Expr::Comprehension(c) => format!(
            "over({}, {}, {}, {})",
            c.iter_var,
            canonical(&c.iter_range),
            canonical(&c.loop_step),
            canonical(&c.result)
        ),
        Expr::Struct(_) | Expr::Unspecified => "?".to_owned(),
    }
}
