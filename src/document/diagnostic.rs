//! What is wrong with a document, where, and what to do about it.

use super::{Source, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The document cannot be used.
    Error,
    /// The document can be used; the user should look.
    Warning,
}

/// A second place that belongs to a diagnostic ("first defined here").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is to be seen there.
    pub text: String,
}

/// One problem at one place of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// A stable code with a page in `docs/errors.md`, like `unknown-key`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// One line, a lower-case fragment.
    pub message: String,
    /// The file.
    pub source: Source,
    /// The place.
    pub span: Span,
    /// What to say under the marked place; may be empty.
    pub label: String,
    /// Other places.
    pub related: Vec<Label>,
    /// What to do, or what was probably meant.
    pub help: Option<String>,
}

/// All problems found so far, in the order in which they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Adds an error; gives it back so that a label, help or related places can be set.
    pub fn error(
        &mut self,
        code: &'static str,
        source: &Source,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.push(Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            source: source.clone(),
            span,
            label: String::new(),
            related: Vec::new(),
            help: None,
        })
    }

    /// Adds a problem; gives it back.
    pub fn push(&mut self, diagnostic: Diagnostic) -> &mut Diagnostic {
        self.0.push(diagnostic);
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// Puts them into the order in which a reader meets them: by file, then by place.
    pub fn sort(&mut self) {
        self.0
            .sort_by(|a, b| (&a.source.name, a.span).cmp(&(&b.source.name, b.span)));
    }

    /// Adds all of `others`.
    pub fn append(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether there is at least one error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }
}
