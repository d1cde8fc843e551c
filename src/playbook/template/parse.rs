//! From text to pieces.

use crate::document::{Source, Span, suggest};
use crate::playbook::expression::place_in;
use crate::playbook::{Reference, SyntaxError};
use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use handlebars::{Path, PathSeg, Template as Handlebars};

/// The longest tag, in bytes; it bounds the parser's depth.
const MAX_TAG: usize = 256;

/// A string that may hold references.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// As written.
    pub text: String,
    /// Where.
    pub span: Span,
    pieces: Vec<Piece>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// The value of a name.
    Reference(Reference, Option<Helper>),
}

/// How a value is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Helper {
    /// As one word for a POSIX shell.
    Sh,
    /// As an SQL identifier.
    Ident,
    /// As an SQL string literal.
    Literal,
    /// As JSON; also for lists and maps.
    Json,
}

impl Helper {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sh, Self::Ident, Self::Literal, Self::Json];

    /// The name as written in a template.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sh => "sh",
            Self::Ident => "ident",
            Self::Literal => "literal",
            Self::Json => "json",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|helper| helper.as_str() == name)
    }
}

impl Template {
    /// Reads a string that stands at `span`. `\{{` is a literal `{{`. Names are not resolved here.
    pub fn parse(text: &str, span: Span) -> Result<Self, SyntaxError> {
        Ok(Self {
            text: text.to_owned(),
            span,
            pieces: pieces(text)?,
        })
    }

    /// Every name it refers to, in the order of the text.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Reference(reference, _) => Some(reference),
            Piece::Text(_) => None,
        })
    }

    /// Its pieces.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The reference, when there is nothing else and no helper: then the value keeps its type.
    pub fn single(&self) -> Option<&Reference> {
        match self.pieces.as_slice() {
            [Piece::Reference(reference, None)] => Some(reference),
            _ => None,
        }
    }

    /// The text, when it refers to nothing.
    pub fn constant(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The place in `source`, from which it was read, of the word that starts `offset` bytes into the text.
    pub fn place(&self, source: &Source, offset: usize) -> Span {
        place_in(source, &self.text, self.span, offset)
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, SyntaxError> {
    if !text.contains("{{") {
        return Ok(match text {
            "" => Vec::new(),
            _ => vec![Piece::Text(text.to_owned())],
        });
    }
    let tags = tags(text)?;
    let parsed = Handlebars::compile(text).map_err(|_| unreadable(text, &tags))?;
    let mut tags = tags.iter();
    let mut pieces = Vec::new();
    for element in parsed.elements {
        match element {
            TemplateElement::RawString(raw) => match pieces.last_mut() {
                Some(Piece::Text(before)) => before.push_str(&raw),
                _ => pieces.push(Piece::Text(raw)),
            },
            TemplateElement::Expression(tag) => {
                let place = tags
                    .next()
                    .ok_or_else(|| SyntaxError::at(0, "the template cannot be read"))?;
                let (reference, helper) = reference(&tag, place)?;
                pieces.push(Piece::Reference(reference, helper));
            }
            _ => return Err(SyntaxError::at(0, "only references may stand in `{{ }}`")),
        }
    }
    if tags.next().is_some() {
        return Err(SyntaxError::at(0, "the template cannot be read"));
    }
    Ok(pieces)
}

/// What stands between `{{` and `}}`.
struct Tag<'a> {
    inner: &'a str,
    offset: usize,
}

/// Finds the tags and refuses what is no reference, with words for each mistake. An odd backslash before `{{` escapes it.
fn tags(text: &str) -> Result<Vec<Tag<'_>>, SyntaxError> {
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("{{") {
        let open = at + found;
        let before = &text[at..open];
        let backslashes = before.len() - before.trim_end_matches('\\').len();
        if backslashes == 1 {
            at = open + 2;
            continue;
        }
        let inner_at = open + 2;
        let rest = &text[inner_at..];
        forbidden(rest, open)?;
        let Some(length) = rest.find("}}") else {
            return Err(SyntaxError::at(open, "`{{` is not closed")
                .with_help("close it with `}}`, or write `\\{{` for the braces themselves"));
        };
        let inner = &rest[..length];
        let close = inner_at + length;
        if inner.ends_with('~') {
            return Err(whitespace(close - 1));
        }
        if inner.trim().is_empty() {
            return Err(SyntaxError::at(open, "there is no name between the braces"));
        }
        if inner.len() > MAX_TAG {
            return Err(SyntaxError::at(
                open,
                format!("a reference is longer than {MAX_TAG} bytes"),
            ));
        }
        if let Some(bad) = inner.find(|c: char| "(){}<>=|&!?+*;,%\"'`\\".contains(c)) {
            return Err(cannot_compute(inner_at + bad));
        }
        tags.push(Tag {
            inner,
            offset: inner_at,
        });
        at = close + 2;
    }
    Ok(tags)
}

fn forbidden(rest: &str, open: usize) -> Result<(), SyntaxError> {
    let (what, help) = match rest.chars().next() {
        Some('{' | '&') => (
            "there is no unescaped form",
            "nothing is escaped here: write `{{ name }}`",
        ),
        Some('~') => return Err(whitespace(open + 2)),
        Some('#' | '^' | '/') => (
            "there are no blocks in templates",
            "a condition belongs into `when`, a loop into `for_each`",
        ),
        Some('>') => (
            "there are no partials in templates",
            "write the text in full",
        ),
        Some('!') => (
            "there are no comments in templates",
            "write a YAML comment, with `#`",
        ),
        Some('*') => (
            "there are no decorators in templates",
            "only references may stand in `{{ }}`",
        ),
        _ if rest.trim_start().starts_with("else") => {
            let word = rest.trim_start().split([' ', '}']).next();
            if word != Some("else") {
                return Ok(());
            }
            (
                "there are no blocks in templates",
                "a condition belongs into `when`",
            )
        }
        _ => return Ok(()),
    };
    Err(SyntaxError::at(open, what).with_help(help))
}

fn whitespace(offset: usize) -> SyntaxError {
    SyntaxError::at(offset, "there is no whitespace control in templates")
        .with_help("leave out the `~`")
}

fn cannot_compute(offset: usize) -> SyntaxError {
    SyntaxError::at(offset, "templates cannot compute").with_help(
        "only `{{ name }}` and `{{ helper name }}` may stand here; expressions stand in `when`, `until`, `outputs`",
    )
}

fn unreadable(text: &str, tags: &[Tag<'_>]) -> SyntaxError {
    // The parser says where it stopped in its own terms; the first tag that does not parse alone is what we look for.
    let bad = tags
        .iter()
        .find(|tag| Handlebars::compile(&format!("{{{{{}}}}}", tag.inner)).is_err());
    let offset = bad.map_or_else(|| text.find("{{").unwrap_or(0), |tag| start(tag));
    cannot_compute(offset)
}

fn start(tag: &Tag<'_>) -> usize {
    tag.offset + tag.inner.len() - tag.inner.trim_start().len()
}

fn reference(
    parsed: &HelperTemplate,
    tag: &Tag<'_>,
) -> Result<(Reference, Option<Helper>), SyntaxError> {
    let at = start(tag);
    if parsed.block || !parsed.hash.is_empty() || parsed.block_param.is_some() {
        return Err(cannot_compute(at));
    }
    if parsed.params.is_empty() {
        let path = path(&parsed.name, tag)?;
        return match path.path.as_slice() {
            [only] if Helper::parse(only).is_some() => Err(SyntaxError::at(
                at,
                format!("`{only}` quotes a name, and there is none"),
            )
            .with_help(format!("write `{{{{ {only} params.name }}}}`"))),
            _ => Ok((path, None)),
        };
    }
    let name = parsed.name.as_name().unwrap_or_default();
    let Some(helper) = Helper::parse(name) else {
        let known = Helper::ALL.map(Helper::as_str);
        let help = match suggest(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the helpers are {}", known.join(", ")),
        };
        return Err(SyntaxError::at(at, format!("there is no helper `{name}`")).with_help(help));
    };
    let [param] = parsed.params.as_slice() else {
        return Err(SyntaxError::at(at, format!("`{name}` takes one name")));
    };
    Ok((path(param, tag)?, Some(helper)))
}

/// The path of a reference: names with dots between them, `[name]` for names of other characters.
fn path(parameter: &Parameter, tag: &Tag<'_>) -> Result<Reference, SyntaxError> {
    let at = start(tag);
    let (Parameter::Path(Path::Relative((segments, raw))), false) =
        (parameter, tag.inner.contains('/'))
    else {
        return Err(cannot_compute(at));
    };
    let offset = tag
        .inner
        .rfind(raw.as_str())
        .map_or(at, |found| tag.offset + found);
    let wrong = || {
        SyntaxError::at(offset, format!("`{raw}` is not a name"))
            .with_help("a name looks like `params.node` or `steps.choose.node`")
    };
    let mut path = Vec::with_capacity(segments.len());
    for segment in segments {
        match segment {
            PathSeg::Named(name) => path.push(name.clone()),
            _ => return Err(wrong()),
        }
    }
    // `this` disappears in the parser; so does a stray dot.
    let written = raw.split(['.', '[', ']']).filter(|part| !part.is_empty());
    if path.is_empty() || (!raw.contains('[') && written.ne(path.iter().map(String::as_str))) {
        return Err(wrong());
    }
    // `nodes[x]` without a dot before the bracket reads as an index, which Handlebars does not have.
    if raw
        .match_indices('[')
        .any(|(i, _)| !raw[..i].ends_with('.'))
    {
        return Err(
            SyntaxError::at(offset, "templates have no index").with_help(
                "a constant name is written `nodes.[name]`; anything else is for an expression",
            ),
        );
    }
    Ok(Reference { path, offset })
}
