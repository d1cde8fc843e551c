//! `params`: what a run may or must give.

use super::text;
use crate::document::{Entry, Lowering, Spanned, Tree, suggest};
use crate::playbook::params::{Unreadable, bad_bytes, bad_duration, written};
use crate::playbook::{Param, TemplateTree, Type, Value, read_text};

/// The code of errors about values that may be secrets: excerpts must not show them.
pub(super) const SECRET_VALUE: &str = "secret-value";

/// One parameter. `None` where it has no usable name or type.
pub(super) fn param(to: &mut Lowering<'_>, entry: &Entry) -> Option<Param> {
    let name = text::identifier(to, "a parameter", &entry.key);
    let what = format!("parameter `{}`", entry.key.value);
    let mut map = to.map(what, &entry.value)?;
    let ty = map.required(to, "type").and_then(|e| ty(to, &e.value));
    let mut flag = |key| {
        map.optional(to, key)
            .and_then(|e| to.boolean(&format!("`{key}`"), &e.value))
            .unwrap_or(false)
    };
    let required = flag("required");
    let sealed = flag("sealed");
    let help = map
        .optional(to, "help")
        .and_then(|e| to.string("`help`", &e.value));
    let default = map.optional(to, "default");
    let allowed = map.optional(to, "enum");
    if let Some(default) = default.filter(|_| required) {
        let d = to.error(
            "required-with-default",
            default.key.span,
            format!(
                "`{}` is required, so its default is never used",
                entry.key.value
            ),
        );
        d.help = Some("leave out `required` or `default`".to_owned());
    }
    if required && sealed {
        to.error(
            "required-and-sealed",
            entry.key.span,
            format!(
                "`{}` is required from a run, and sealed against it",
                entry.key.value
            ),
        )
        .help = Some("leave out `required` or `sealed`".to_owned());
    }
    map.finish(to);
    let (name, ty) = (name?, ty?);
    let allowed = allowed.and_then(|e| enumeration(to, ty, &e.value));
    let default = default.and_then(|e| self::default(to, ty, allowed.as_deref(), &e.value));
    Some(Param {
        name: Spanned::new(name.value.as_str().to_owned(), name.span),
        ty,
        required,
        default,
        allowed,
        help: help.map(|h| h.value),
        sealed,
    })
}

fn ty(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<Type> {
    let choices = Type::ALL.map(|ty| (ty.as_str(), ty));
    to.one_of("`type`", value, &choices).map(|ty| ty.value)
}

fn enumeration(to: &mut Lowering<'_>, ty: Type, value: &Spanned<Tree>) -> Option<Vec<Value>> {
    if matches!(ty, Type::List | Type::Map | Type::Secret | Type::Boolean) {
        to.error(
            "wrong-kind",
            value.span,
            format!("a parameter of type `{}` has no `enum`", ty.as_str()),
        );
        return None;
    }
    let items = to.list("`enum`", value)?;
    if items.is_empty() {
        to.error("empty-value", value.span, "`enum` allows nothing");
        return None;
    }
    let mut allowed: Vec<Value> = Vec::with_capacity(items.len());
    for item in items {
        match constant(to, "a value of `enum`", ty, item) {
            Some(value) if allowed.contains(&value) => {
                to.error(
                    "duplicate-value",
                    item.span,
                    format!("`{}` is here twice", written(ty, &value)),
                );
            }
            Some(value) => allowed.push(value),
            None => {}
        }
    }
    Some(allowed)
}

/// A default: a constant of the type, or a template, whose value is judged when a run begins.
fn default(
    to: &mut Lowering<'_>,
    ty: Type,
    allowed: Option<&[Value]>,
    value: &Spanned<Tree>,
) -> Option<TemplateTree> {
    match (&value.value, ty) {
        (Tree::String { text, .. }, _) if text.contains("{{") => {
            return Some(text::template_tree(to, value));
        }
        (Tree::List(_), Type::List) | (Tree::Map(_), Type::Map) => {
            return Some(text::template_tree(to, value));
        }
        (_, Type::List | Type::Map) => {
            to.wrong_kind("`default`", &format!("a {}", ty.as_str()), value);
            return None;
        }
        _ => {}
    }
    let constant = constant(to, "`default`", ty, value)?;
    if let Some(allowed) = allowed
        && !allowed.contains(&constant)
    {
        let text = written(ty, &constant);
        let words: Vec<String> = allowed.iter().map(|v| written(ty, v)).collect();
        let listed = words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let meant = suggest(&text, words.iter().map(String::as_str));
        let d = to.error(
            "unknown-value",
            value.span,
            format!("`default` is `{text}`, which `enum` does not allow"),
        );
        d.help = Some(match meant {
            Some(meant) => format!("did you mean `{meant}`? Allowed: {listed}"),
            None => format!("allowed: {listed}"),
        });
    }
    Some(TemplateTree::Constant(constant, value.span))
}

/// A constant of the type, as YAML writes it: numbers and booleans bare, everything else as text.
fn constant(to: &mut Lowering<'_>, what: &str, ty: Type, value: &Spanned<Tree>) -> Option<Value> {
    let read = match (&value.value, ty) {
        (Tree::Boolean(answer), Type::Boolean) => return Some(Value::Boolean(*answer)),
        (Tree::Integer(number), Type::Integer) => return Some(Value::Integer(*number)),
        (Tree::Integer(_) | Tree::Float(_), Type::Duration) => {
            let text = text::written(to, value.span);
            match read_text(ty, &text) {
                Ok(zero) => Ok(zero),
                Err(_) => Err(bad_duration(&text)),
            }
        }
        (Tree::Integer(_) | Tree::Float(_), Type::Bytes) => {
            Err(bad_bytes(&text::written(to, value.span)))
        }
        (Tree::String { .. }, Type::Boolean) => {
            to.boolean(what, value);
            return None;
        }
        (Tree::String { .. }, Type::Integer) => {
            let d = to.wrong_kind(what, "an integer", value);
            d.help = Some("numbers are written without quotes and units".to_owned());
            return None;
        }
        (Tree::String { text, .. }, _) => read_text(ty, text),
        _ => {
            let expected = match ty {
                Type::Integer => "an integer",
                Type::Boolean => "a boolean",
                Type::Duration => "a duration",
                Type::Bytes => "a size",
                _ => "a string",
            };
            to.wrong_kind(what, expected, value);
            return None;
        }
    };
    match read {
        Ok(value) => Some(value),
        Err(Unreadable { why, help }) => {
            let code = match ty {
                Type::Duration => "bad-duration",
                Type::Bytes => "bad-size",
                Type::Secret => SECRET_VALUE,
                _ => "wrong-kind",
            };
            to.error(code, value.span, format!("{what}: {why}")).help = help;
            None
        }
    }
}
