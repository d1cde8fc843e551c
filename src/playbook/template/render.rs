//! From a template and names to a value.

use super::parse::{Helper, Piece, Template};
use super::quote;
use crate::document::Span;
use crate::playbook::names::lookup_longest;
use crate::playbook::{Expression, Names, Reference, Value, format_duration};

/// A value of the document in which every string is a template.
#[derive(Debug, Clone, PartialEq)]
pub enum TemplateTree {
    /// Anything that is no string, list or map.
    Constant(Value, Span),
    /// A string.
    Template(Template),
    /// A list.
    List(Vec<TemplateTree>, Span),
    /// A map.
    Map(Vec<(String, TemplateTree)>, Span),
    /// The one input that is an expression: the condition of `assert`.
    Expression(Expression),
}

/// Why a template has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be rendered: {why}")]
pub struct RenderError {
    /// The template.
    pub text: String,
    /// What is wrong.
    pub why: String,
    /// The name that it hangs on, where that is something which a preview cannot know.
    pub unknown: Option<String>,
}

impl TemplateTree {
    /// Its value with these names. A string that is one single reference keeps the reference's type.
    ///
    /// A name that is missing or null is an error, with one exception: the whole value is a single reference to a parameter
    /// (`"{{ params.reason }}"`). A parameter that was not given is handed on as null, so that a playbook can pass its
    /// optional parameters to the playbooks that it nests; the checker lets this happen only where an input is optional.
    pub fn render(&self, names: &dyn Names) -> Result<Value, RenderError> {
        match self {
            Self::Template(template) => match template.single() {
                Some(reference) if is_parameter(reference) => value_of(template, reference, names),
                _ => template.render(names),
            },
            other => other.render_inside(names),
        }
    }

    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Self::Constant(_, span) | Self::List(_, span) | Self::Map(_, span) => *span,
            Self::Template(template) => template.span,
            Self::Expression(expression) => expression.span,
        }
    }

    /// Every template in it.
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Constant(..) | Self::Expression(_) => Vec::new(),
            Self::Template(template) => vec![template],
            Self::List(items, _) => items.iter().flat_map(Self::templates).collect(),
            Self::Map(entries, _) => entries.iter().flat_map(|(_, t)| t.templates()).collect(),
        }
    }

    /// Its value, when it refers to nothing.
    pub fn constant(&self) -> Option<Value> {
        Some(match self {
            Self::Constant(value, _) => value.clone(),
            Self::Template(template) => Value::from(template.constant()?),
            Self::List(items, _) => {
                Value::List(items.iter().map(Self::constant).collect::<Option<_>>()?)
            }
            Self::Map(entries, _) => Value::Map(
                entries
                    .iter()
                    .map(|(key, tree)| Some((key.clone(), tree.constant()?)))
                    .collect::<Option<_>>()?,
            ),
            Self::Expression(_) => return None,
        })
    }

    fn render_inside(&self, names: &dyn Names) -> Result<Value, RenderError> {
        match self {
            Self::Constant(value, _) => Ok(value.clone()),
            Self::Template(template) => template.render(names),
            Self::List(items, _) => items
                .iter()
                .map(|item| item.render_inside(names))
                .collect::<Result<_, _>>()
                .map(Value::List),
            Self::Map(entries, _) => entries
                .iter()
                .map(|(key, tree)| Ok((key.clone(), tree.render_inside(names)?)))
                .collect::<Result<_, _>>()
                .map(Value::Map),
            Self::Expression(expression) => {
                expression.evaluate(names).map_err(|error| RenderError {
                    text: error.text,
                    why: error.why,
                    unknown: error.unknown,
                })
            }
        }
    }
}

impl Template {
    /// Its value with these names: a string, or whatever a single reference refers to. Never null.
    pub fn render(&self, names: &dyn Names) -> Result<Value, RenderError> {
        if let Some(reference) = self.single() {
            return match value_of(self, reference, names)? {
                Value::Null => Err(self.null(reference)),
                value => Ok(value),
            };
        }
        let mut text = String::new();
        for piece in self.pieces() {
            match piece {
                Piece::Text(raw) => text.push_str(raw),
                Piece::Reference(reference, helper) => {
                    let value = value_of(self, reference, names)?;
                    text.push_str(&self.written(&value, reference, *helper)?);
                }
            }
        }
        Ok(Value::String(text))
    }

    fn written(
        &self,
        value: &Value,
        reference: &Reference,
        helper: Option<Helper>,
    ) -> Result<String, RenderError> {
        let name = reference.path.join(".");
        if *value == Value::Null {
            return Err(self.null(reference));
        }
        if holds_secret(value) {
            return Err(self.fail(format!(
                "`{name}` is a secret, which only a whole input can take"
            )));
        }
        if helper == Some(Helper::Json) {
            return Ok(value.to_json().to_string());
        }
        let plain = match value {
            Value::String(text) => text.clone(),
            Value::Boolean(b) => b.to_string(),
            Value::Integer(i) => i.to_string(),
            Value::Duration(d) => format_duration(*d),
            Value::Lsn(lsn) => lsn.to_string(),
            Value::Null | Value::List(_) | Value::Map(_) | Value::Secret(_) | Value::Unknown => {
                return Err(self.fail(format!(
                    "`{name}` is {}, which cannot stand inside a text; `{{{{ json {name} }}}}` can",
                    value.kind()
                )));
            }
        };
        let quoted = match helper {
            Some(Helper::Sh) => quote::sh(&plain),
            Some(Helper::Ident) => quote::ident(&plain),
            Some(Helper::Literal) => quote::literal(&plain),
            Some(Helper::Json) | None => Some(plain),
        };
        quoted.ok_or_else(|| {
            self.fail(format!(
                "the value of `{name}` cannot be quoted: it is empty or holds a NUL"
            ))
        })
    }

    fn null(&self, reference: &Reference) -> RenderError {
        self.fail(format!("`{}` is null", reference.path.join(".")))
    }

    fn fail(&self, why: String) -> RenderError {
        RenderError {
            text: self.text.clone(),
            why,
            unknown: None,
        }
    }
}

fn is_parameter(reference: &Reference) -> bool {
    reference.path.len() == 2 && reference.path[0] == "params"
}

/// The value of a reference, null included; below a map, its entries.
fn value_of(
    template: &Template,
    reference: &Reference,
    names: &dyn Names,
) -> Result<Value, RenderError> {
    let path = &reference.path;
    let missing =
        |length: usize| template.fail(format!("there is no `{}`", path[..length].join(".")));
    let (length, value) = lookup_longest(names, path).ok_or_else(|| missing(1))?;
    let rest: Vec<&str> = path[length..].iter().map(String::as_str).collect();
    match value.lookup(&rest) {
        Some(found) if found.is_unknown() => {
            let name = path.join(".");
            Err(RenderError {
                unknown: Some(name.clone()),
                ..template.fail(format!("`{name}` is not known before the run"))
            })
        }
        Some(found) => Ok(found),
        None if value == Value::Null => {
            Err(template.fail(format!("`{}` is null", path[..length].join("."))))
        }
        None => Err(missing(length + 1)),
    }
}

fn holds_secret(value: &Value) -> bool {
    match value {
        Value::Secret(_) => true,
        Value::List(items) => items.iter().any(holds_secret),
        Value::Map(map) => map.values().any(holds_secret),
        _ => false,
    }
}
