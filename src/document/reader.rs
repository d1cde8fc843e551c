//! From a tree to typed values, with all errors at once.
//!
//! A [`Lowering`] judges values; a [`MapReader`] hands out the entries of one map and knows in the end which keys
//! nobody asked for. Both report and go on: `None` means that an error was added, or that an optional thing is absent.

use super::{Diagnostic, Diagnostics, Entry, Source, Span, Spanned, Tree, suggest};

/// A document that is being read: where errors go and what they point at.
#[derive(Debug)]
pub struct Lowering<'a> {
    /// The document.
    pub source: &'a Source,
    /// What is wrong with it so far.
    pub diagnostics: &'a mut Diagnostics,
}

impl Lowering<'_> {
    /// Adds an error; gives it back so that a label, help or related places can be set.
    pub fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.diagnostics.error(code, self.source, span, message)
    }

    /// Reports that `what` must be `expected` and is not.
    pub fn wrong_kind(
        &mut self,
        what: &str,
        expected: &str,
        found: &Spanned<Tree>,
    ) -> &mut Diagnostic {
        let kind = found.value.kind();
        let d = self.error(
            "wrong-kind",
            found.span,
            format!("{what} must be {expected}, this is {kind}"),
        );
        d.help = match &found.value {
            Tree::Integer(_) | Tree::Float(_) | Tree::Boolean(_) if expected == "a string" => {
                Some("quote it if it is text".to_owned())
            }
            Tree::String { text, .. } if expected == "a boolean" => Some(boolean_hint(text)),
            _ => None,
        };
        d
    }

    /// The text of a string. `what` names the value in an error: "`summary`".
    pub fn string(&mut self, what: &str, value: &Spanned<Tree>) -> Option<Spanned<String>> {
        if let Tree::String { text, .. } = &value.value {
            return Some(Spanned::new(text.clone(), value.span));
        }
        self.wrong_kind(what, "a string", value);
        None
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, what: &str, value: &Spanned<Tree>) -> Option<bool> {
        if let Tree::Boolean(answer) = value.value {
            return Some(answer);
        }
        self.wrong_kind(what, "a boolean", value);
        None
    }

    /// A whole number from `min` to `max`, both included.
    pub fn integer(
        &mut self,
        what: &str,
        value: &Spanned<Tree>,
        min: i64,
        max: i64,
    ) -> Option<i64> {
        let Tree::Integer(number) = value.value else {
            self.wrong_kind(what, "an integer", value);
            return None;
        };
        if (min..=max).contains(&number) {
            return Some(number);
        }
        let message = if max == i64::MAX {
            format!("{what} must be at least {min}")
        } else {
            format!("{what} must be from {min} to {max}")
        };
        self.error("out-of-range", value.span, message);
        None
    }

    /// The items of a list.
    pub fn list<'t>(
        &mut self,
        what: &str,
        value: &'t Spanned<Tree>,
    ) -> Option<&'t [Spanned<Tree>]> {
        if let Tree::List(items) = &value.value {
            return Some(items);
        }
        self.wrong_kind(what, "a list", value);
        None
    }

    /// The entries of a map whose keys are names that the user chose, like `steps`.
    pub fn entries<'t>(&mut self, what: &str, value: &'t Spanned<Tree>) -> Option<&'t [Entry]> {
        if let Tree::Map(entries) = &value.value {
            return Some(entries);
        }
        self.wrong_kind(what, "a map", value);
        None
    }

    /// A map whose keys the language defines. `what` names it in errors: "a step".
    pub fn map<'t>(
        &mut self,
        what: impl Into<String>,
        value: &'t Spanned<Tree>,
    ) -> Option<MapReader<'t>> {
        let what = what.into();
        let entries = self.entries(&what, value)?;
        Some(MapReader {
            what,
            span: value.span,
            entries,
            known: Vec::new(),
        })
    }

    /// One of a few words.
    pub fn one_of<T: Copy>(
        &mut self,
        what: &str,
        value: &Spanned<Tree>,
        choices: &[(&'static str, T)],
    ) -> Option<Spanned<T>> {
        let all = || choices.iter().map(|(word, _)| *word);
        let listed = all()
            .map(|w| format!("`{w}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let Tree::String { text, .. } = &value.value else {
            self.wrong_kind(what, &format!("one of {listed}"), value);
            return None;
        };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| word == text) {
            return Some(Spanned::new(*choice, value.span));
        }
        let meant = suggest(text, all());
        let d = self.error(
            "unknown-value",
            value.span,
            format!("{what} cannot be `{text}`"),
        );
        d.help = Some(match meant {
            Some(meant) => format!("did you mean `{meant}`? Allowed: {listed}"),
            None => format!("allowed: {listed}"),
        });
        None
    }
}

fn boolean_hint(text: &str) -> String {
    let answer = match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => "true",
        "false" | "no" | "off" | "n" => "false",
        _ => return "only `true` and `false` are booleans".to_owned(),
    };
    format!("write `{answer}`: only `true` and `false`, without quotes, are booleans")
}

/// The entries of one map whose keys the language defines.
#[derive(Debug)]
pub struct MapReader<'t> {
    what: String,
    span: Span,
    entries: &'t [Entry],
    known: Vec<&'static str>,
}

impl<'t> MapReader<'t> {
    /// Where the map stands.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The entry of this key, which from now on is known. A key without a value is reported.
    pub fn optional(&mut self, to: &mut Lowering<'_>, key: &'static str) -> Option<&'t Entry> {
        let entry = self.peek(key)?;
        if entry.value.value == Tree::Null {
            to.error(
                "empty-value",
                entry.key.span,
                format!("`{key}` has no value"),
            )
            .help = Some("give it a value, or leave the key out".to_owned());
            return None;
        }
        Some(entry)
    }

    /// The entry of this key, which must be there.
    pub fn required(&mut self, to: &mut Lowering<'_>, key: &'static str) -> Option<&'t Entry> {
        if self.peek(key).is_none() && !self.mentions(key) {
            let d = to.error(
                "missing-key",
                self.span,
                format!("{} needs `{key}`", self.what),
            );
            d.label = format!("`{key}` is missing");
        }
        self.optional(to, key)
    }

    /// The entry of this key, with or without a value; from now on the key is known.
    pub fn peek(&mut self, key: &'static str) -> Option<&'t Entry> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.iter().find(|entry| entry.key.value == key)
    }

    /// Whether the key is there; it does not become known.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key.value == key)
    }

    /// Whether the key is there, perhaps misspelt (which [`MapReader::finish`] reports).
    pub fn mentions(&self, key: &str) -> bool {
        let near = |other: &str| other == key || suggest(other, [key]).is_some();
        self.entries.iter().any(|entry| near(&entry.key.value))
    }

    /// Reports the keys that nobody asked for, each with what was probably meant.
    pub fn finish(self, to: &mut Lowering<'_>) {
        self.finish_with(to, &[]);
    }

    /// As [`MapReader::finish`], with advice for keys that people bring from elsewhere.
    pub fn finish_with(self, to: &mut Lowering<'_>, foreign: &[(&str, &str)]) {
        for entry in self.entries {
            let key = &entry.key.value;
            if self.known.contains(&key.as_str()) {
                continue;
            }
            let advice = foreign.iter().find(|(other, _)| other == key);
            let meant = suggest(key, self.known.iter().copied());
            let d = to.error(
                "unknown-key",
                entry.key.span,
                format!("{} has no key `{key}`", self.what),
            );
            d.help = Some(match (advice, meant) {
                (Some((_, advice)), _) => (*advice).to_owned(),
                (None, Some(meant)) => format!("did you mean `{meant}`?"),
                (None, None) => format!("it has: {}", self.known.join(", ")),
            });
        }
    }
}
