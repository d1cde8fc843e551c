//! Scalars with a meaning: expressions, templates, names, durations.

use crate::document::{Lowering, Span, Spanned, Tree};
use crate::playbook::params::bad_duration;
use crate::playbook::{Expression, StepId, Template, TemplateTree, Value, parse_duration};
use std::time::Duration;

/// The longest time that anything in a playbook may take or wait.
pub(super) const MAX_DURATION: Duration = Duration::from_hours(30 * 24);

/// A condition: an expression that is not empty. `what` is its key.
pub(super) fn condition(
    to: &mut Lowering<'_>,
    what: &str,
    value: &Spanned<Tree>,
) -> Option<Expression> {
    match &value.value {
        Tree::Integer(_) | Tree::Float(_) => {
            let text = written(to, value.span);
            to.error(
                "wrong-kind",
                value.span,
                format!("`{what}` is true or false, this is a number"),
            )
            .help = Some(format!(
                "compare it with something: `{what}: params.count > {text}`"
            ));
            None
        }
        _ => expression(to, what, value),
    }
}

/// An expression. Constants that YAML does not read as text (`true`, `5`) are expressions too.
pub(in crate::playbook) fn expression(
    to: &mut Lowering<'_>,
    what: &str,
    value: &Spanned<Tree>,
) -> Option<Expression> {
    let constant;
    let text = match &value.value {
        Tree::String { text, .. } => text,
        Tree::Boolean(_) | Tree::Integer(_) | Tree::Float(_) => {
            constant = written(to, value.span);
            &constant
        }
        Tree::Null => {
            empty_expression(to, what, value.span);
            return None;
        }
        Tree::List(_) | Tree::Map(_) => {
            let text = one_line(&written(to, value.span));
            let kind = value.value.kind();
            let d = to.error(
                "unquoted-expression",
                value.span,
                format!("`{what}` is an expression, and YAML reads {kind} here"),
            );
            d.help = Some(if text.len() <= 80 {
                format!("quote the expression: {}", quoted(&text))
            } else {
                "quote the expression".to_owned()
            });
            return None;
        }
    };
    if text.trim().is_empty() {
        empty_expression(to, what, value.span);
        return None;
    }
    if let Some(at) = text.find("{{") {
        template_in_expression(to, what, text, at, value.span);
        return None;
    }
    match Expression::parse(text, value.span) {
        Ok(expression) => Some(expression),
        Err(error) => {
            let (offset, help) = (error.offset, error.help);
            syntax(
                to,
                "expression-syntax",
                error.message,
                text,
                offset,
                value.span,
            )
            .help = help;
            None
        }
    }
}

fn empty_expression(to: &mut Lowering<'_>, what: &str, span: Span) {
    to.error("empty-condition", span, format!("`{what}` is empty"))
        .help = Some("write an expression, or leave the key out".to_owned());
}

fn template_in_expression(to: &mut Lowering<'_>, what: &str, text: &str, at: usize, span: Span) {
    let end = text[at..].find("}}").map_or(text.len(), |end| at + end + 2);
    let place = to.source.span_within(span, text, at..end);
    let bare = one_line(&text.replace("{{", "").replace("}}", ""));
    let d = to.error(
        "template-in-expression",
        place,
        format!("`{what}` is an expression, and expressions need no `{{{{ }}}}`"),
    );
    d.help = Some(format!("write it bare: `{what}: {bare}`"));
}

fn syntax<'d>(
    to: &'d mut Lowering<'_>,
    code: &'static str,
    message: String,
    text: &str,
    offset: usize,
    span: Span,
) -> &'d mut crate::document::Diagnostic {
    let width = text
        .get(offset..)
        .and_then(|rest| rest.chars().next())
        .map_or(0, char::len_utf8);
    let place = to.source.span_within(span, text, offset..offset + width);
    to.error(code, place, message)
}

/// A value in which every string is a template. Where it cannot be one the error is reported, and null stands for it.
pub(super) fn template_tree(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> TemplateTree {
    let span = value.span;
    match &value.value {
        Tree::Null => {
            to.error("empty-value", span, "there is no value here").help =
                Some("give it a value, or leave the key out; `\"\"` is empty text".to_owned());
            TemplateTree::Constant(Value::Null, span)
        }
        Tree::Boolean(answer) => TemplateTree::Constant(Value::Boolean(*answer), span),
        Tree::Integer(number) => TemplateTree::Constant(Value::Integer(*number), span),
        Tree::Float(_) => {
            let text = written(to, span);
            to.error(
                "wrong-kind",
                span,
                "numbers with a fraction are no values here",
            )
            .help = Some(format!("quote it if it is text: \"{text}\""));
            TemplateTree::Constant(Value::Null, span)
        }
        Tree::String { text, .. } => match Template::parse(text, span) {
            Ok(template) => TemplateTree::Template(template),
            Err(error) => {
                let (offset, help) = (error.offset, error.help);
                syntax(to, "template-syntax", error.message, text, offset, span).help = help;
                TemplateTree::Constant(Value::Null, span)
            }
        },
        Tree::List(items) => TemplateTree::List(
            items.iter().map(|item| template_tree(to, item)).collect(),
            span,
        ),
        Tree::Map(entries) => {
            let mut lowered = Vec::with_capacity(entries.len());
            for entry in entries {
                if entry.key.value.contains("{{") {
                    to.error(
                        "template-in-key",
                        entry.key.span,
                        "keys cannot be templates",
                    )
                    .help = Some("templates stand in values".to_owned());
                }
                lowered.push((entry.key.value.clone(), template_tree(to, &entry.value)));
            }
            TemplateTree::Map(lowered, span)
        }
    }
}

/// Named values in which every string is a template: `with`, `probe`, `undo`, `assume`.
pub(super) fn template_map(
    to: &mut Lowering<'_>,
    what: &str,
    value: &Spanned<Tree>,
) -> Option<Vec<(Spanned<String>, TemplateTree)>> {
    let entries = to.entries(&format!("`{what}`"), value)?;
    Some(
        entries
            .iter()
            .map(|entry| (entry.key.clone(), template_tree(to, &entry.value)))
            .collect(),
    )
}

/// The inputs of `assert`: `that` is a condition, the rest are templates.
pub(super) fn assertion(
    to: &mut Lowering<'_>,
    value: &Spanned<Tree>,
) -> Option<Vec<(Spanned<String>, TemplateTree)>> {
    let entries = to.entries("`with`", value)?;
    let mut lowered = Vec::with_capacity(entries.len());
    for entry in entries {
        let tree = if entry.key.value == "that" {
            match condition(to, "that", &entry.value) {
                Some(expression) => TemplateTree::Expression(expression),
                None => TemplateTree::Constant(Value::Boolean(true), entry.value.span),
            }
        } else {
            template_tree(to, &entry.value)
        };
        lowered.push((entry.key.clone(), tree));
    }
    Some(lowered)
}

/// Text that is fixed when the playbook is written: names of actions and playbooks, help, summaries.
pub(super) fn fixed_text(
    to: &mut Lowering<'_>,
    what: &str,
    value: &Spanned<Tree>,
) -> Option<Spanned<String>> {
    let text = to.string(&format!("`{what}`"), value)?;
    if text.value.contains("{{") {
        let d = to.error(
            "fixed-value",
            text.span,
            format!("`{what}` cannot be a template"),
        );
        d.help = Some("it is checked before the run: write it out".to_owned());
        return None;
    }
    if text.value.trim().is_empty() {
        to.error("empty-value", text.span, format!("`{what}` is empty"));
        return None;
    }
    Some(text)
}

/// A name that expressions can use: of a step, a parameter, an output.
pub(super) fn identifier(
    to: &mut Lowering<'_>,
    what: &str,
    name: &Spanned<String>,
) -> Option<Spanned<StepId>> {
    if let Some(id) = StepId::parse(&name.value) {
        return Some(Spanned::new(id, name.span));
    }
    let text = &name.value;
    let fixed: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    let (why, help) = if StepId::parse(&format!("{text}_")).is_some() {
        (
            "it is a word of the expression language",
            what.rsplit(' ')
                .next()
                .map(|noun| format!("`{text}_{noun}`, for example")),
        )
    } else {
        let meant = StepId::parse(&fixed).map(|_| format!("`{fixed}`, for example"));
        (
            "names have small letters, digits and `_`, and begin with a letter",
            meant,
        )
    };
    let d = to.error(
        "bad-name",
        name.span,
        format!("`{text}` cannot be the name of {what}"),
    );
    d.label = why.into();
    d.help = help;
    None
}

/// A duration, written with its unit. `zero` says whether nothing is a length too.
pub(super) fn duration(
    to: &mut Lowering<'_>,
    what: &str,
    value: &Spanned<Tree>,
    zero: bool,
) -> Option<Spanned<Duration>> {
    let text = match &value.value {
        Tree::String { text, .. } if text.contains("{{") => {
            to.error(
                "fixed-value",
                value.span,
                format!("`{what}` cannot be a template"),
            )
            .help = Some("limits are checked before the run: write the duration out".to_owned());
            return None;
        }
        Tree::String { text, .. } => text.clone(),
        Tree::Integer(_) | Tree::Float(_) => written(to, value.span),
        _ => {
            to.wrong_kind(&format!("`{what}`"), "a duration", value)
                .help = Some("durations look like `90s`, `500ms`, `1h30m`".to_owned());
            return None;
        }
    };
    let Some(length) = parse_duration(&text) else {
        let bad = bad_duration(&text);
        to.error("bad-duration", value.span, format!("`{what}`: {}", bad.why))
            .help = bad.help;
        return None;
    };
    if length.is_zero() && !zero {
        to.error(
            "out-of-range",
            value.span,
            format!("`{what}` must be longer than nothing"),
        );
        return None;
    }
    if length > MAX_DURATION {
        to.error(
            "out-of-range",
            value.span,
            format!("`{what}` can be 30 days at most"),
        );
        return None;
    }
    Some(Spanned::new(length, value.span))
}

/// What the file shows at a place.
pub(super) fn written(to: &Lowering<'_>, span: Span) -> String {
    to.source
        .text
        .get(span.start..span.end)
        .unwrap_or_default()
        .to_owned()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn quoted(text: &str) -> String {
    if text.contains(['"', '\\']) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        format!("\"{text}\"")
    }
}
