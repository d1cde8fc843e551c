//! Conditions and computed values: CEL, wrapped.

use super::{Names, Value};
use crate::document::Span;

/// A CEL expression that parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    /// As written.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be evaluated: {why}")]
pub struct EvaluationError {
    /// The expression.
    pub text: String,
    /// What is wrong.
    pub why: String,
}

/// Why a text is no expression or template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// Where in the text, in bytes.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Expression {
    /// Shim until the expression room is merged.
    pub fn parse(text: &str, span: Span) -> Result<Self, SyntaxError> {
        match text.find("??") {
            Some(offset) => Err(SyntaxError {
                offset,
                message: "`??` is no operator".to_owned(),
                help: None,
            }),
            None => Ok(Self {
                text: text.to_owned(),
                span,
            }),
        }
    }

    /// Its value with these names.
    pub fn evaluate(&self, _names: &dyn Names) -> Result<Value, EvaluationError> {
        Err(EvaluationError {
            text: self.text.clone(),
            why: String::new(),
        })
    }

    /// Its value, which must be `true` or `false`.
    pub fn holds(&self, names: &dyn Names) -> Result<bool, EvaluationError> {
        match self.evaluate(names)? {
            Value::Boolean(answer) => Ok(answer),
            other => Err(EvaluationError {
                text: self.text.clone(),
                why: format!(
                    "a condition must be true or false, this is {}",
                    other.kind()
                ),
            }),
        }
    }
}
