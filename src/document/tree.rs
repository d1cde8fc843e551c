//! The tree of a YAML document: plain data, every node with its place in the source.

use super::layers::Layer;
use std::sync::Arc;

/// A text that a user wrote, and the name under which errors show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path as the user gave it, or `<stock>/failover.yaml` for what is built in.
    pub name: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
    /// The texts that it is made of, where there are several.
    pub(super) layers: Option<Arc<[Layer]>>,
}

impl Source {
    /// A source with this name and text.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
            layers: None,
        }
    }

    /// Line and column of a byte offset in the file that it falls into, both counted from 1; columns are characters.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let from = self.layer_at(offset).map_or(0, |layer| layer.start);
        let before = self
            .text
            .get(from..offset.min(self.text.len()))
            .unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |tail| tail.chars().count())
            + 1;
        (line, column)
    }
}

/// A range of bytes in a [`Source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes from `start` up to, not including, `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// A value with its place in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// What stands there.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// `value`, seen at `span`.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// One key and its value in a map, in the order of the source.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key; only strings are keys.
    pub key: Spanned<String>,
    /// The value.
    pub value: Spanned<Tree>,
}

/// A YAML value. Only `true` and `false` are booleans; `yes`, `no`, `on`, `off` are strings.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// `null`, `~`, or nothing.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction or exponent; the language has no use for it but can name it in errors.
    Float(f64),
    /// Text; `plain` is true where it was written without quotes.
    String {
        /// The text.
        text: String,
        /// Written without quotes.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Spanned<Tree>>),
    /// A mapping, in source order, without duplicate keys (they are reported and the first is kept).
    Map(Vec<Entry>),
}

impl Tree {
    /// What this is, for a message: "a list", "a string", …
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with a fraction",
            Self::String { .. } => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// As plain JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Boolean(answer) => (*answer).into(),
            Self::Integer(number) => (*number).into(),
            Self::Float(number) => (*number).into(),
            Self::String { text, .. } => text.as_str().into(),
            Self::List(items) => items.iter().map(|item| item.value.to_json()).collect(),
            Self::Map(entries) => {
                let pair = |e: &Entry| (e.key.value.clone(), e.value.value.to_json());
                serde_json::Value::Object(entries.iter().map(pair).collect())
            }
        }
    }

    /// Whether both say the same: places, quotes and the order of keys do not count.
    pub fn means(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::String { text: one, .. }, Self::String { text: two, .. }) => one == two,
            (Self::List(one), Self::List(two)) => {
                let mut pairs = one.iter().zip(two);
                one.len() == two.len() && pairs.all(|(a, b)| a.value.means(&b.value))
            }
            (Self::Map(one), Self::Map(two)) => {
                let in_two = |a: &Entry| {
                    let b = two.iter().find(|b| b.key.value == a.key.value);
                    b.is_some_and(|b| a.value.value.means(&b.value.value))
                };
                one.len() == two.len() && one.iter().all(in_two)
            }
            (one, two) => one == two,
        }
    }
}
