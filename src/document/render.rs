//! Diagnostics for eyes and for programs.

use super::{Diagnostic, Diagnostics, Severity, Source, Span};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use std::borrow::Cow;
use std::ops::Range;

impl Diagnostics {
    /// All of them as text: message, file, line and column, excerpt, help. `color` adds ANSI styles; `width` is the
    /// terminal's, in columns. Ends with a line break unless there is nothing to say.
    pub fn render(&self, color: bool, width: usize) -> String {
        let parts: Vec<String> = self.0.iter().map(|d| d.render(color, width)).collect();
        parts.join("\n")
    }

    /// All of them as a JSON array; see [`Diagnostic::to_json`].
    pub fn to_json(&self) -> serde_json::Value {
        self.0.iter().map(Diagnostic::to_json).collect()
    }
}

impl Diagnostic {
    /// It as text; see [`Diagnostics::render`].
    pub fn render(&self, color: bool, width: usize) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        }
        .term_width(width);
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let message = printable(&self.message);
        let help = self.help.as_deref().map(printable);
        let files = self.files();
        let mut group = Group::with_title(level.primary_title(message).id(self.code));
        for (source, marks) in &files {
            if source.text.trim().is_empty() {
                group = group.element(Origin::path(printable(&source.name)));
                continue;
            }
            let annotations = marks.iter().map(|mark| {
                let annotation = mark.kind.span(first_line(source, mark.span));
                if mark.text.is_empty() {
                    annotation
                } else {
                    annotation.label(printable(mark.text))
                }
            });
            let snippet = Snippet::source(&*source.text).path(printable(&source.name));
            group = group.element(snippet.annotations(annotations));
        }
        if let Some(help) = help {
            group = group.element(Level::HELP.message(help));
        }
        let mut text = renderer.render(&[group]);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }

    /// The files that it is about, its own first, each with what is to be marked there.
    fn files(&self) -> Vec<(Source, Vec<Mark<'_>>)> {
        let related = self.related.iter();
        let marks = std::iter::once((AnnotationKind::Primary, self.span, &self.label))
            .chain(related.map(|other| (AnnotationKind::Context, other.span, &other.text)));
        let mut files: Vec<(Source, Vec<Mark<'_>>)> = Vec::new();
        for (kind, span, text) in marks {
            let (source, span) = self.source.placed(span);
            let mark = Mark { kind, span, text };
            match files.iter_mut().find(|(known, _)| *known == source) {
                Some((_, marks)) => marks.push(mark),
                None => files.push((source, vec![mark])),
            }
        }
        files
    }

    /// It as JSON: `code`, `severity` (`error` or `warning`), `message`, `file`, `line`, `column`, `end_line`,
    /// `end_column` (from 1, columns in characters), and where there are any `label`, `help` and `related`
    /// (which names a `file` where it is another one).
    pub fn to_json(&self) -> serde_json::Value {
        let place = |span: Span| {
            let (line, column) = self.source.line_column(span.start);
            let (end_line, end_column) = self.source.line_column(span.end);
            let mut map = serde_json::Map::new();
            map.insert("line".to_owned(), line.into());
            map.insert("column".to_owned(), column.into());
            map.insert("end_line".to_owned(), end_line.into());
            map.insert("end_column".to_owned(), end_column.into());
            map
        };
        let mut json = place(self.span);
        let mut put = |key: &str, value: serde_json::Value| json.insert(key.to_owned(), value);
        put("code", self.code.into());
        put(
            "severity",
            match self.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            }
            .into(),
        );
        put("message", self.message.as_str().into());
        let file = self.source.name_at(self.span.start);
        put("file", (**file).into());
        if !self.label.is_empty() {
            put("label", self.label.as_str().into());
        }
        if let Some(help) = &self.help {
            put("help", help.as_str().into());
        }
        if !self.related.is_empty() {
            let related = self.related.iter().map(|other| {
                let mut map = place(other.span);
                map.insert("message".to_owned(), other.text.as_str().into());
                let place = self.source.name_at(other.span.start);
                if place != file {
                    map.insert("file".to_owned(), (**place).into());
                }
                serde_json::Value::Object(map)
            });
            put("related", related.collect());
        }
        serde_json::Value::Object(json)
    }
}

/// What is to be marked in an excerpt.
struct Mark<'d> {
    kind: AnnotationKind,
    span: Span,
    text: &'d str,
}

/// The part of a place that is on its first line, at character boundaries: a whole map would fill the screen.
fn first_line(source: &Source, span: Span) -> Range<usize> {
    let text = &source.text;
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = span.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    let line = text[start..end].lines().next().unwrap_or("");
    start..start + line.len()
}

/// Text without control characters: what a file holds must not steer the terminal.
fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(|c| c.is_control() && c != '\n') {
        text.chars()
            .map(|c| {
                if c.is_control() && c != '\n' {
                    c.escape_default().to_string()
                } else {
                    c.to_string()
                }
            })
            .collect::<String>()
            .into()
    } else {
        text.into()
    }
}
