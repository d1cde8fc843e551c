//! Text that is no YAML: what the parser stumbled over, in words that help.

use super::parse::MAX_DEPTH;
use super::{Diagnostics, Label, Source, Span};
use serde_saphyr::granit_parser::{ErrorKind, ScanError};

/// A longer value is not repeated in a hint.
const MOST_SHOWN: usize = 200;

/// `text` as a YAML string in quotes.
pub(super) fn quote(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.contains(['"', '\\']) {
        format!("'{}'", one_line.replace('\'', "''"))
    } else {
        format!("\"{one_line}\"")
    }
}

/// Adds what `error` says. `inside` is the bracket that was open.
pub(super) fn report(
    error: &ScanError,
    source: &Source,
    inside: Option<Span>,
    diagnostics: &mut Diagnostics,
) {
    let at = error
        .marker()
        .byte_offset()
        .unwrap_or_else(|| source.text.len())
        .min(source.text.len());
    let line = Line::around(&source.text, at);
    let span = Span::new(
        at,
        at + source.text[at..].chars().next().map_or(0, char::len_utf8),
    );
    let kind = error.kind();
    let tagged = line.value.starts_with('!');
    let (code, message) = if tagged {
        (
            "yaml-tag",
            "`!` begins a YAML tag, and tags have no meaning here".to_owned(),
        )
    } else {
        (code(kind), words(kind))
    };
    // What was said about a tag or an alias on this line is the same problem, seen from its beginning.
    diagnostics.0.retain(|d| {
        !(matches!(d.code, "yaml-alias" | "yaml-tag")
            && d.source.name == source.name
            && d.span.start >= line.start
            && d.span.start <= at)
    });
    let d = diagnostics.error(code, source, span, message);
    d.help = help(kind, &line, at);
    if let Some(bracket) = inside.filter(|bracket| bracket.start < line.start) {
        d.related.push(Label {
            span: bracket,
            text: "inside of this bracket; is it closed?".to_owned(),
        });
    }
    if tagged {
        d.span = line.value_span;
    }
}

/// The line of an error, taken apart.
struct Line<'t> {
    /// With its indentation, without a comment.
    text: &'t str,
    /// Where it begins.
    start: usize,
    /// The key, where there is one.
    key: Option<&'t str>,
    /// What stands behind the key or the dash.
    value: &'t str,
    value_span: Span,
}

impl<'t> Line<'t> {
    fn around(text: &'t str, at: usize) -> Self {
        let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
        let end = text[at..].find('\n').map_or(text.len(), |i| at + i);
        let mut line = text[start..end].trim_end();
        if let Some(comment) = line.find(" #") {
            line = line[..comment].trim_end();
        }
        let mut from = line.len() - line.trim_start().len();
        while line[from..].starts_with("- ") {
            from += 2;
        }
        let mut key = None;
        if let Some(colon) = line[from..].find(": ") {
            key = Some(line[from..from + colon].trim());
            from += colon + 2;
        }
        from += line[from..].len() - line[from..].trim_start().len();
        Self {
            text: line,
            start,
            key,
            value: &line[from..],
            value_span: Span::new(start + from, start + line.len()),
        }
    }

    /// The key and value that an error at `at` is about: those of the line, or of the entry of a map in braces.
    fn entry(&self, at: usize) -> (Option<&'t str>, &'t str) {
        let from = self.value_span.start;
        let whole = (self.key, self.value);
        if !self.value.starts_with('{') || !(from..self.value_span.end).contains(&at) {
            return whole;
        }
        let at = at - from;
        let Some(begin) = self.value[..at].rfind(['{', ',']).map(|i| i + 1) else {
            return whole;
        };
        let end = self.value[at..]
            .find([',', '}'])
            .map_or(self.value.len(), |i| at + i);
        match self.value[begin..end].split_once(": ") {
            Some((key, value)) => (Some(key.trim()), value.trim()),
            None => whole,
        }
    }

    /// Whether the value looks like one that only quotes can hold.
    fn wants_quotes(&self) -> bool {
        !self.value.is_empty()
            && (self
                .value
                .starts_with(['!', '&', '*', '%', '@', '`', '|', '>', '\'', '"', '[', '{'])
                || self.value.contains(": "))
    }
}

fn help(kind: &ErrorKind, line: &Line<'_>, at: usize) -> Option<String> {
    use ErrorKind as E;
    let quoted = || {
        let (key, value) = line.entry(at);
        let value = quote(value);
        match key {
            _ if value.len() > MOST_SHOWN => "quote the whole value".to_owned(),
            Some(key) => format!("quote the whole value: `{key}: {value}`"),
            None => format!("quote the whole value: {value}"),
        }
    };
    match kind {
        E::UnclosedQuotedScalar => Some("close the quote on the line where the value ends".to_owned()),
        E::UnclosedFlowCollection { .. } | E::MismatchedFlowCollectionEnd { .. } => {
            Some("a value that is to begin with a bracket as text must be quoted".to_owned())
        }
        E::TabNotAllowed | E::TabInBlockIndentation | E::TabInIndentation => {
            Some("indent with spaces".to_owned())
        }
        E::UnknownQuotedScalarEscape => {
            Some("write `\\\\` for one backslash, or use single quotes".to_owned())
        }
        _ if line.wants_quotes() && at >= line.value_span.start => Some(quoted()),
        // A colon behind the key is one too many; the key's own is where it should not be, whatever its value looks like.
        E::MappingValueNotAllowed if line.value.contains(": ") && at >= line.value_span.start => {
            Some(quoted())
        }
        E::MappingValueNotAllowed
        | E::InvalidIndentation
        | E::ExpectedBlockMappingKey
        | E::ExpectedBlockSequenceEntry
        | E::SimpleKeyExpected => {
            let indent = line.text.len() - line.text.trim_start().len();
            Some(format!(
                "this line is indented by {indent} spaces; lines that belong together begin in the same column{}",
                if line.key.is_none() && !line.text.trim_end().ends_with(':') {
                    ", and a key is followed by `: `"
                } else {
                    ""
                }
            ))
        }
        _ => None,
    }
    .filter(|_| line.start <= at)
}

fn code(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::RecursionLimitExceeded => "too-deep",
        _ => "yaml-syntax",
    }
}

/// The problem as a fragment. Rare ones keep the parser's words.
fn words(kind: &ErrorKind) -> String {
    use ErrorKind as E;
    match kind {
        E::TabNotAllowed
        | E::TabInBlockIndentation
        | E::TabInIndentation
        | E::TabInPlainScalar
        | E::TabAtBlockScalarStart => "a tab stands where YAML allows only spaces".to_owned(),
        E::MappingValueNotAllowed => "`:` cannot begin a value here".to_owned(),
        E::InvalidTrailingSingleQuotedScalar | E::InvalidTrailingDoubleQuotedScalar => {
            "text follows the closing quote".to_owned()
        }
        E::UnclosedQuotedScalar => "this quote is never closed".to_owned(),
        E::UnclosedFlowCollection { open } => format!("this `{open}` is never closed"),
        E::MismatchedFlowCollectionEnd { open, close } => {
            format!("`{open}` cannot be closed by `{close}`")
        }
        E::MisplacedFlowCollectionEnd => "this bracket closes nothing".to_owned(),
        E::UnexpectedCharacter { character } => {
            format!("`{}` cannot begin a value", character.escape_debug())
        }
        E::InvalidBlockScalarHeader => {
            "`|` and `>` begin a block of text, and nothing can follow on their line".to_owned()
        }
        E::ExpectedBlockMappingKey | E::SimpleKeyExpected => "a key was expected here".to_owned(),
        E::ExpectedBlockSequenceEntry => "`-` was expected here".to_owned(),
        E::InvalidIndentation => "the indentation fits nothing above".to_owned(),
        E::UnknownQuotedScalarEscape => {
            "`\\` begins an escape in double quotes, and this is none".to_owned()
        }
        E::RecursionLimitExceeded => {
            format!("lists and maps are nested more than {MAX_DEPTH} levels deep")
        }
        E::InvalidColonPlacement => "`:` cannot stand here".to_owned(),
        other => other.to_string(),
    }
}
