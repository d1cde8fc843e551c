//! Strings with references: Handlebars, strict, checked first.

use super::{Names, Value};
use crate::document::Span;

/// A string that may hold references.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// As written.
    pub text: String,
    /// Where.
    pub span: Span,
}

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
}

/// Why a template has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be rendered: {why}")]
pub struct RenderError {
    /// The template.
    pub text: String,
    /// What is wrong.
    pub why: String,
}

impl Template {
    /// Shim until the template room is merged.
    pub fn parse(text: &str, span: Span) -> Result<Self, super::expression::SyntaxError> {
        match text.find("{{#") {
            Some(offset) => Err(super::expression::SyntaxError {
                offset,
                message: "blocks are not allowed in templates".to_owned(),
                help: None,
            }),
            None => Ok(Self {
                text: text.to_owned(),
                span,
            }),
        }
    }
}

impl TemplateTree {
    /// Shim until the template room is merged.
    pub fn render(&self, names: &dyn Names) -> Result<Value, RenderError> {
        Ok(match self {
            Self::Constant(value, _) => value.clone(),
            Self::Template(template) => {
                let bare = template
                    .text
                    .strip_prefix("{{")
                    .and_then(|t| t.strip_suffix("}}"));
                match bare {
                    Some(path) => {
                        let path: Vec<_> = path.trim().split('.').collect();
                        names.lookup(&path).ok_or_else(|| RenderError {
                            text: template.text.clone(),
                            why: "nothing has this name".to_owned(),
                        })?
                    }
                    None => Value::String(template.text.clone()),
                }
            }
            Self::List(items, _) => Value::List(
                items
                    .iter()
                    .map(|i| i.render(names))
                    .collect::<Result<_, _>>()?,
            ),
            Self::Map(entries, _) => Value::Map(
                entries
                    .iter()
                    .map(|(k, v)| Ok((k.clone(), v.render(names)?)))
                    .collect::<Result<_, _>>()?,
            ),
        })
    }

    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Self::Constant(_, span) | Self::List(_, span) | Self::Map(_, span) => *span,
            Self::Template(template) => template.span,
        }
    }
}
