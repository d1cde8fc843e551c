//! What is known about a value before the run.

use crate::playbook::{Type, Value};
use std::fmt;

/// The kind of a value. The types `node` and `bytes` are strings and integers here, as in expressions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only the run can tell.
    Any,
    /// No value: the elements of an empty list.
    Never,
    Null,
    Boolean,
    Integer,
    /// Text, and which texts, where they are few.
    String(Option<Vec<String>>),
    Duration,
    Lsn,
    List(Box<Kind>),
    Map,
    Secret,
}

impl Kind {
    pub(super) const TEXT: Self = Self::String(None);

    pub(super) fn of_type(ty: Type) -> Self {
        match ty {
            Type::String | Type::Node => Self::TEXT,
            Type::Integer | Type::Bytes => Self::Integer,
            Type::Boolean => Self::Boolean,
            Type::List => Self::List(Box::new(Self::Any)),
            Type::Map => Self::Map,
            Type::Duration => Self::Duration,
            Type::Lsn => Self::Lsn,
            Type::Secret => Self::Secret,
        }
    }

    /// A declared type with its allowed values: those of a string, or of the elements of a list.
    pub(super) fn declared<'a>(ty: Type, allowed: impl IntoIterator<Item = &'a str>) -> Self {
        let allowed: Vec<String> = allowed.into_iter().map(str::to_owned).collect();
        if allowed.is_empty() {
            return Self::of_type(ty);
        }
        match ty {
            Type::String => Self::String(Some(allowed)),
            Type::List => Self::List(Box::new(Self::String(Some(allowed)))),
            _ => Self::of_type(ty),
        }
    }

    pub(super) fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(_) => Self::Boolean,
            Value::Integer(_) => Self::Integer,
            Value::String(text) => Self::String(Some(vec![text.clone()])),
            Value::Duration(_) => Self::Duration,
            Value::Lsn(_) => Self::Lsn,
            Value::List(items) => Self::List(Box::new(
                items
                    .iter()
                    .map(Self::of_value)
                    .fold(Self::Never, Self::either),
            )),
            Value::Map(_) => Self::Map,
            Value::Secret(_) => Self::Secret,
            // No value of a playbook's text is.
            Value::Unknown => Self::Never,
        }
    }

    /// What is known of a value that is one or the other.
    pub(super) fn either(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, kind) | (kind, Self::Never) => kind,
            (Self::String(Some(mut a)), Self::String(Some(b))) => {
                a.extend(b);
                a.sort();
                a.dedup();
                Self::String(Some(a))
            }
            (Self::String(_), Self::String(_)) => Self::TEXT,
            (Self::List(a), Self::List(b)) => Self::List(Box::new(a.either(*b))),
            (a, b) if a == b => a,
            _ => Self::Any,
        }
    }

    /// Whether a value of this kind can be one of the other, as far as is known.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any | Self::Never | Self::Null, _)
            | (_, Self::Any | Self::Never | Self::Null)
            | (Self::String(_), Self::String(_)) => true,
            (Self::List(a), Self::List(b)) => a.may_be(b),
            (a, b) => a == b,
        }
    }

    /// With its article, for a message.
    pub(super) fn a(&self) -> &'static str {
        match self {
            Self::Any | Self::Never => "a value",
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Integer => "an integer",
            Self::String(_) => "a string",
            Self::Duration => "a duration",
            Self::Lsn => "an LSN",
            Self::List(_) => "a list",
            Self::Map => "a map",
            Self::Secret => "a secret",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.a())
    }
}

/// An output of a step or playbook, as far as is known before the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// It may be null although the step ended ok.
    pub(super) nullable: bool,
}

/// The outputs of a step: unknown when its action or playbook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outputs {
    Unknown,
    Known(Vec<Output>),
}

impl Outputs {
    pub(super) fn find(&self, name: &str) -> Option<&Output> {
        match self {
            Self::Unknown => None,
            Self::Known(outputs) => outputs.iter().find(|o| o.name == name),
        }
    }
}
