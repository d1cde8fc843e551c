//! From text to a program.

use super::functions::{RANGE, RESULT, environment};
use super::references::{self, Reference};
use super::screen::screen;
use crate::document::{Source, Span};
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, SourceInfo};
use std::fmt;
use std::sync::Arc;

/// The longest expression, in bytes. A condition that needs more belongs into an action.
pub(super) const MAX_TEXT: usize = 4096;

/// How many operators and brackets an expression may have; it bounds the depth of the tree, and so the stack.
const MAX_OPERATORS: usize = 200;

/// How deep brackets may nest.
const MAX_NESTING: u16 = 32;

/// A CEL expression that parsed. Cheap to clone; equal when text and place are.
#[derive(Clone)]
pub struct Expression {
    /// As written.
    pub text: String,
    /// Where.
    pub span: Span,
    pub(super) program: Arc<Program>,
}

/// What parsing found out, kept for evaluations and checks.
pub(super) struct Program {
    /// The tree, as written: for the checker.
    pub(super) tree: IdedExpr,
    /// The tree with every comprehension bounded and the result kept: for evaluation.
    pub(super) runnable: IdedExpr,
    pub(super) places: SourceInfo,
    pub(super) references: Vec<Reference>,
    /// The shortest paths that cover all references.
    pub(super) lookups: Vec<Vec<String>>,
}

/// Why a text is no expression or template, and where in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// Bytes from the start of the text.
    pub offset: usize,
    /// What is wrong, a lower-case fragment.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl SyntaxError {
    /// An error at this place of the text.
    pub(in crate::playbook) fn at(offset: usize, message: impl Into<String>) -> Self {
        Self {
            offset,
            message: message.into(),
            help: None,
        }
    }

    /// The same with advice.
    #[must_use]
    pub(in crate::playbook) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Expression {
    /// Reads an expression that stands at `span`. Names are not resolved here, but functions and literals are: an unknown
    /// function, a malformed LSN or duration is an error.
    pub fn parse(text: &str, span: Span) -> Result<Self, SyntaxError> {
        limits(text)?;
        let parsed = environment()
            .parser()
            .max_recursion_depth(MAX_NESTING)
            .parse_with_source_info(text);
        let (tree, places) = match parsed {
            Ok(parsed) => parsed,
            Err(errors) => return Err(explain(text, &errors)),
        };
        screen(&tree, &places)?;
        let mut runnable = tree.clone();
        bound_ranges(&mut runnable);
        let runnable = call(RESULT, runnable);
        let references = references::collect(&tree, &places);
        let lookups = references::covering(&references);
        Ok(Self {
            text: text.to_owned(),
            span,
            program: Arc::new(Program {
                tree,
                runnable,
                places,
                references,
                lookups,
            }),
        })
    }

    /// Every name it refers to, in the order of the text; variables of comprehensions are left out.
    pub fn references(&self) -> &[Reference] {
        &self.program.references
    }

    /// The place in `source`, from which it was read, of the word that starts `offset` bytes into the text.
    pub fn place(&self, source: &Source, offset: usize) -> Span {
        place_in(source, &self.text, self.span, offset)
    }

    pub(in crate::playbook) fn tree(&self) -> &IdedExpr {
        &self.program.tree
    }

    /// Where a node of [`tree`](Self::tree) begins, in bytes of the text. Of a selection, this is its dot.
    pub(in crate::playbook) fn offset(&self, node: &IdedExpr) -> usize {
        offset_of(&self.program.places, node)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expression")
            .field("text", &self.text)
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.span == other.span
    }
}

/// The place in `source` of the word at `offset` of a text that stands at `span`.
pub(in crate::playbook) fn place_in(
    source: &Source,
    text: &str,
    span: Span,
    offset: usize,
) -> Span {
    let tail = text.get(offset..).unwrap_or_default();
    let word = tail
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(tail.len());
    let length = word.max(tail.chars().next().map_or(0, char::len_utf8));
    source.span_within(span, text, offset..offset + length)
}

pub(super) fn offset_of(places: &SourceInfo, node: &IdedExpr) -> usize {
    places
        .offset_for(node.id)
        .map_or(0, |(start, _)| start as usize)
}

fn limits(text: &str) -> Result<(), SyntaxError> {
    if text.trim().is_empty() {
        return Err(
            SyntaxError::at(0, "the expression is empty").with_help("leave the key out instead")
        );
    }
    if let Some(offset) = text.find("{{") {
        return Err(SyntaxError::at(offset, "`{{` in an expression").with_help(
            "expressions are written bare, without braces: `params.node`, not `{{ params.node }}`",
        ));
    }
    if text.len() > MAX_TEXT {
        return Err(SyntaxError::at(
            0,
            format!("the expression is longer than {MAX_TEXT} bytes"),
        ));
    }
    let operators = text.matches(|c: char| "+-*/%.[({!?<>=&|,".contains(c));
    if operators.count() > MAX_OPERATORS {
        return Err(SyntaxError::at(
            0,
            format!("the expression has more than {MAX_OPERATORS} operators and brackets"),
        ));
    }
    Ok(())
}

/// Says in our words what the parser stumbled over. Only the first place counts: the others follow from it.
fn explain(text: &str, errors: &cel::ParseErrors) -> SyntaxError {
    // Of what could not be completed the parser gives the start of the whole expression, which helps nobody.
    let incomplete = |e: &&cel::ParseError| e.msg.starts_with("Incomplete");
    let mut errors_in_place = errors.errors.iter().filter(|e| !incomplete(e));
    let Some(first) = errors_in_place.next().or(errors.errors.first()) else {
        return SyntaxError::at(0, "this is no expression");
    };
    let offset = offset_at(text, first.pos);
    let rest = text.get(offset..).unwrap_or_default();
    let word: String = rest
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    let operator = ["&&", "||", "=="].into_iter().find(|o| rest.starts_with(o));
    let found = match (rest.chars().next(), operator) {
        (None, _) => "the expression ends too early".to_owned(),
        (_, Some(operator)) => format!("unexpected `{operator}`"),
        _ if !word.is_empty() => format!("unexpected `{word}`"),
        (Some(c), None) => format!("unexpected `{c}`"),
    };
    let help = match (word.as_str(), rest.chars().next()) {
        ("and", _) => Some("write `&&`"),
        ("or", _) => Some("write `||`"),
        ("not", _) => Some("write `!`"),
        (_, Some('?')) => Some("there is no `??`: write `x != null ? x : y`"),
        (_, Some('=')) if !rest.starts_with("==") => Some("equality is `==`"),
        (_, Some('&')) if !rest.starts_with("&&") => Some("write `&&`"),
        (_, Some('|')) if !rest.starts_with("||") => Some("write `||`"),
        (_, Some('\'' | '"')) => Some("the string is not closed"),
        _ => None,
    };
    let deep = errors
        .errors
        .iter()
        .any(|e| e.msg.contains("Recursion limit"));
    if deep {
        return SyntaxError::at(
            offset.min(text.len()),
            format!("brackets nest deeper than {MAX_NESTING}"),
        );
    }
    let mut error = SyntaxError::at(offset, found);
    // `not x` fails at `x`, one word later than what is wrong.
    let before = text.get(..offset).unwrap_or_default().trim_end();
    error.help = if help.is_none() && (before == "not" || before.ends_with(" not")) {
        Some("write `!`".to_owned())
    } else {
        help.map(str::to_owned)
    };
    error
}

/// The byte offset of a line and column as the parser counts them: from 1, columns in characters.
fn offset_at(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line).unwrap_or(1).max(1) - 1;
    let column = usize::try_from(column).unwrap_or(1).max(1) - 1;
    let start: usize = text
        .split_inclusive('\n')
        .take(line)
        .map(str::len)
        .sum::<usize>();
    let tail = text.get(start..).unwrap_or_default();
    start
        + tail
            .char_indices()
            .nth(column)
            .map_or(tail.len(), |(offset, _)| offset)
}

/// Sends everything that a comprehension goes over through [`RANGE`], which counts, and puts the keys of maps in order.
fn bound_ranges(node: &mut IdedExpr) {
    if let Expr::Comprehension(comprehension) = &mut node.expr {
        let range = std::mem::take(&mut comprehension.iter_range);
        comprehension.iter_range = call(RANGE, range);
    }
    for child in children_mut(node) {
        bound_ranges(child);
    }
}

fn call(function: &str, argument: IdedExpr) -> IdedExpr {
    IdedExpr {
        id: argument.id,
        expr: Expr::Call(CallExpr {
            func_name: function.to_owned(),
            target: None,
            args: vec![argument],
        }),
    }
}

fn children_mut(node: &mut IdedExpr) -> Vec<&mut IdedExpr> {
    match &mut node.expr {
        Expr::Call(call) => call
            .target
            .as_deref_mut()
            .into_iter()
            .chain(&mut call.args)
            .collect(),
        Expr::Comprehension(c) => vec![
            &mut c.iter_range,
            &mut c.accu_init,
            &mut c.loop_cond,
            &mut c.loop_step,
            &mut c.result,
        ],
        Expr::List(list) => list.elements.iter_mut().collect(),
        Expr::Map(map) => map
            .entries
            .iter_mut()
            .flat_map(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(e) => vec![&mut e.key, &mut e.value],
                EntryExpr::StructField(e) => vec![&mut e.value],
            })
            .collect(),
        Expr::Select(select) => vec![&mut *select.operand],
        Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}
