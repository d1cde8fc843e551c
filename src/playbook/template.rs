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

impl TemplateTree {
    /// Its value with these names. A string that is one single reference keeps the reference's type.
    pub fn render(&self, _names: &dyn Names) -> Result<Value, RenderError> {
        Err(RenderError {
            text: String::new(),
            why: String::new(),
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
