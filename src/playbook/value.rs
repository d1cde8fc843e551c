//! Values of the language and their types.

use crate::cluster::{Lsn, SecretSource};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A map of values; ordered by key, so that everything printed from it is stable.
pub type Map = BTreeMap<String, Value>;

/// A value. Persisted in the journal with its type as a tag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "lowercase")]
pub enum Value {
    /// Nothing: the output of a step that did not end ok, an optional parameter that was not given.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number; also sizes in bytes (the type `bytes` is an integer in expressions).
    Integer(i64),
    /// Text; also nodes.
    String(String),
    /// A span of time.
    Duration(Duration),
    /// A position in the WAL.
    Lsn(Lsn),
    /// A list.
    List(Vec<Value>),
    /// A map.
    Map(Map),
    /// A reference to a secret: the value never holds the secret itself.
    Secret(SecretSource),
    /// What a preview cannot know: an output of something that was not done. Whatever hangs on it has no value either.
    Unknown,
}

/// The types of parameters, inputs and outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A list of anything.
    List,
    /// A map of anything.
    Map,
    /// The name of a node of the cluster.
    Node,
    /// A span of time, written with its unit.
    Duration,
    /// A size, written with its unit; an integer in expressions.
    Bytes,
    /// A position in the WAL.
    Lsn,
    /// A secret, by reference.
    Secret,
}

impl Type {
    /// All types, in the order of the language page.
    pub const ALL: [Self; 10] = [
        Self::String,
        Self::Integer,
        Self::Boolean,
        Self::List,
        Self::Map,
        Self::Node,
        Self::Duration,
        Self::Bytes,
        Self::Lsn,
        Self::Secret,
    ];

    /// The name as written in a playbook.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::List => "list",
            Self::Map => "map",
            Self::Node => "node",
            Self::Duration => "duration",
            Self::Bytes => "bytes",
            Self::Lsn => "lsn",
            Self::Secret => "secret",
        }
    }

    /// Whether a value is of this type. Null is of no type.
    pub fn admits(self, value: &Value) -> bool {
        matches!(
            (self, value),
            (Self::String | Self::Node, Value::String(_))
                | (Self::Integer | Self::Bytes, Value::Integer(_))
                | (Self::Boolean, Value::Boolean(_))
                | (Self::List, Value::List(_))
                | (Self::Map, Value::Map(_))
                | (Self::Duration, Value::Duration(_))
                | (Self::Lsn, Value::Lsn(_))
                | (Self::Secret, Value::Secret(_))
        )
    }
}

impl Value {
    /// What this is, for a message: "a string", "nothing", …
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::String(_) => "a string",
            Self::Duration(_) => "a duration",
            Self::Lsn(_) => "an LSN",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Secret(_) => "a secret",
            Self::Unknown => "not known before the run",
        }
    }

    /// As plain JSON, for people and programs outside: durations as `1.5s`, LSNs as text, secrets as `<secret>`,
    /// what is not known as `<unknown>`.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Null => Json::Null,
            Self::Boolean(b) => Json::from(*b),
            Self::Integer(i) => Json::from(*i),
            Self::String(s) => Json::from(s.as_str()),
            Self::Duration(d) => Json::from(super::format_duration(*d)),
            Self::Lsn(lsn) => Json::from(lsn.to_string()),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(map) => {
                Json::Object(map.iter().map(|(k, v)| (k.clone(), v.to_json())).collect())
            }
            Self::Secret(_) => Json::from("<secret>"),
            Self::Unknown => Json::from("<unknown>"),
        }
    }

    /// From plain JSON; numbers with a fraction become text.
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Boolean(*b),
            Json::Number(n) => n
                .as_i64()
                .map_or_else(|| Self::String(n.to_string()), Self::Integer),
            Json::String(s) => Self::String(s.clone()),
            Json::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            Json::Object(map) => Self::Map(
                map.iter()
                    .map(|(k, v)| (k.clone(), Self::from_json(v)))
                    .collect(),
            ),
        }
    }

    /// Whether it is unknown, or holds something that is.
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Unknown => true,
            Self::List(items) => items.iter().any(Self::is_unknown),
            Self::Map(map) => map.values().any(Self::is_unknown),
            _ => false,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(s) = self {
            Some(s)
        } else {
            None
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<Lsn> for Value {
    fn from(value: Lsn) -> Self {
        Self::Lsn(value)
    }
}

impl From<Duration> for Value {
    fn from(value: Duration) -> Self {
        Self::Duration(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}
