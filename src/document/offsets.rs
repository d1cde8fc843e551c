//! From a place in the text of a scalar to the place in the file.
//!
//! An expression knows its offsets in the text that YAML decoded; quotes, escapes and folded lines lie between that
//! text and the file. Nothing about it is kept in the tree: the file is read again at the scalar's place.

use super::{Source, Span};
use std::ops::Range;

impl Source {
    /// The place in this source of the bytes `part` of `text`, which was decoded from the scalar at `scalar` (plain,
    /// quoted or block). Never outside of `scalar`; all of `scalar` where the two do not belong together.
    pub fn span_within(&self, scalar: Span, text: &str, part: Range<usize>) -> Span {
        let Some(written) = self.text.get(scalar.start..scalar.end) else {
            return scalar;
        };
        let map = quoted(written, text).unwrap_or_else(|| aligned(written, text));
        let Some(map) = map else { return scalar };
        let at = |offset: usize| map.get(offset).or(map.last()).copied().unwrap_or(0);
        let start = at(part.start);
        let end = if part.end > part.start && part.end <= text.len() {
            // One past the last character of the part, and not the first after it: between them may lie a fold.
            let last = (part.start..part.end)
                .rev()
                .find(|&offset| text.is_char_boundary(offset))
                .unwrap_or(part.start);
            let here = at(last);
            let next = at(part.end);
            let longest = here + escape_length(&written[here.min(written.len())..], next - here);
            next.min(longest).max(start)
        } else {
            at(part.end).max(start)
        };
        Span::new(scalar.start + start, scalar.start + end)
    }
}

/// How many bytes the character at the start of `written` takes, given that the next one begins after `gap` bytes.
fn escape_length(written: &str, gap: usize) -> usize {
    let mut chars = written.chars();
    match (chars.next(), chars.next()) {
        (Some('\''), Some('\'')) => 2,
        (Some('\\'), Some(_)) | (None, _) => gap,
        (Some(first), _) => first.len_utf8(),
    }
}

/// For every byte of `text`, and one past it, the offset in `written`. `None` when `written` is not in quotes;
/// `Some(None)` when it is but is no writing of `text`.
#[expect(
    clippy::option_option,
    reason = "not applicable and not possible differ"
)]
fn quoted(written: &str, text: &str) -> Option<Option<Vec<usize>>> {
    let quote = written.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let body = written[1..].strip_suffix(quote)?;
    let mut map = Vec::with_capacity(text.len() + 1);
    let mut decoded = String::with_capacity(text.len());
    let mut rest = body;
    while let Some(first) = rest.chars().next() {
        let at = 1 + body.len() - rest.len();
        let (produced, taken) = match (quote, first) {
            ('\'', '\'') if rest.starts_with("''") => (Some('\''), 2),
            ('\'', '\'') | ('"', '"') => return None,
            ('"', '\\') => unescape(rest),
            (_, '\n' | '\r' | ' ' | '\t') => {
                let run = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
                let blank = &rest[..run];
                let breaks = blank.matches('\n').count();
                if breaks == 0 {
                    (Some(first), first.len_utf8())
                } else {
                    // A fold: one line break is a space, more are as many less one.
                    let folded = if breaks == 1 {
                        " ".to_owned()
                    } else {
                        "\n".repeat(breaks - 1)
                    };
                    map.extend(std::iter::repeat_n(at, folded.len()));
                    decoded.push_str(&folded);
                    rest = &rest[run..];
                    continue;
                }
            }
            _ => (Some(first), first.len_utf8()),
        };
        if let Some(produced) = produced {
            map.extend(std::iter::repeat_n(at, produced.len_utf8()));
            decoded.push(produced);
        }
        rest = rest.get(taken..)?;
    }
    map.push(1 + body.len());
    if decoded == text {
        Some(Some(map))
    } else {
        // A block text may begin and end with a quote too: the other way of reading decides.
        Some(aligned(written, text))
    }
}

/// What the escape at the start of `rest` stands for, and how many bytes it takes.
fn unescape(rest: &str) -> (Option<char>, usize) {
    let Some(kind) = rest[1..].chars().next() else {
        return (None, 1);
    };
    let hex = |digits: usize| {
        let code = rest
            .get(2..2 + digits)
            .and_then(|d| u32::from_str_radix(d, 16).ok());
        (code.and_then(char::from_u32), 2 + digits)
    };
    match kind {
        'x' => hex(2),
        'u' => hex(4),
        'U' => hex(8),
        '0' => (Some('\0'), 2),
        'a' => (Some('\x07'), 2),
        'b' => (Some('\x08'), 2),
        't' | '\t' => (Some('\t'), 2),
        'n' => (Some('\n'), 2),
        'v' => (Some('\x0b'), 2),
        'f' => (Some('\x0c'), 2),
        'r' => (Some('\r'), 2),
        'e' => (Some('\x1b'), 2),
        'N' => (Some('\u{85}'), 2),
        '_' => (Some('\u{a0}'), 2),
        'L' => (Some('\u{2028}'), 2),
        'P' => (Some('\u{2029}'), 2),
        '\n' | '\r' => {
            let after = rest[1..].trim_start_matches([' ', '\t', '\n', '\r']);
            (None, rest.len() - after.len())
        }
        other => (Some(other), 1 + other.len_utf8()),
    }
}

/// For plain and block scalars: both hold the same characters, but for white space, in the same order.
fn aligned(written: &str, text: &str) -> Option<Vec<usize>> {
    let mut map = Vec::with_capacity(text.len() + 1);
    let mut source = written.char_indices().peekable();
    for wanted in text.chars() {
        let at = loop {
            match source.peek().copied() {
                Some((at, found)) if found == wanted => {
                    source.next();
                    break at;
                }
                // A fold: the text has a space where the file has a line break.
                Some((at, '\n' | '\r')) if wanted == ' ' => {
                    source.next();
                    break at;
                }
                Some((_, found)) if found.is_whitespace() => {
                    source.next();
                }
                // The text of a block may end with line breaks that its trimmed place does not cover.
                None if wanted == '\n' || wanted == ' ' => break written.len(),
                // A fold of which the white space was taken already.
                Some((at, _)) if wanted.is_whitespace() => break at,
                _ => return None,
            }
        };
        map.extend(std::iter::repeat_n(at, wanted.len_utf8()));
    }
    map.push(source.peek().map_or(written.len(), |(at, _)| *at));
    Some(map)
}

#[cfg(test)]
mod tests {
    use super::super::{Diagnostics, Source, Tree, parse};

    /// What the file shows where `needle` stands in the text of the only value.
    fn shown(yaml: &str, needle: &str) -> String {
        let source = Source::new("test.yaml", yaml);
        let mut diagnostics = Diagnostics::default();
        let tree = parse(&source, &mut diagnostics).expect("it parses");
        let Tree::Map(entries) = &tree.value else {
            panic!("a map is expected")
        };
        let value = &entries[0].value;
        let Tree::String { text, .. } = &value.value else {
            panic!("a string is expected, not {:?}", value.value)
        };
        let at = text.find(needle).expect("the text holds it");
        let span = source.span_within(value.span, text, at..at + needle.len());
        yaml[span.start..span.end].to_owned()
    }

    #[test]
    fn a_part_of_a_scalar_is_found_in_the_file() {
        let table = [
            ("when: a.b == c", "b", "b"),
            ("when: ä.ö == ü # x", "ö == ü", "ö == ü"),
            ("when: \"a == 'b' && c\"", "'b' &&", "'b' &&"),
            ("when: 'a == ''b'' && c'", "'b' &&", "''b'' &&"),
            ("when: 'a == ''b'' && c'", "'", "''"),
            ("when: \"a == \\\"b\\\" && c\"", "\"b\" &&", "\\\"b\\\" &&"),
            ("when: \"\\x41 \\u00e4 b\"", "ä", "\\u00e4"),
            ("when: \"\\x41 \\u00e4 b\"", "b", "b"),
            ("when: a &&\n  bcd\n", "bcd", "bcd"),
            ("when: a &&\n  bcd\n", "&& bcd", "&&\n  bcd"),
            ("when: \"a &&\n  bcd\"\n", "bcd", "bcd"),
            ("when: |\n  a &&\n  bcd\n", "bcd", "bcd"),
            ("when: |\n  'a' == b &&\n  c == 'd'\n", "'d'", "'d'"),
            ("when: >-\n  a &&\n  bcd\n", "bcd", "bcd"),
            ("when: >-\n  a &&\n\n  bcd\n", "bcd", "bcd"),
        ];
        for (yaml, needle, expected) in table {
            assert_eq!(shown(yaml, needle), expected, "{needle} in {yaml}");
        }
    }

    #[test]
    fn what_does_not_belong_together_is_the_whole_scalar() {
        let source = Source::new("test.yaml", "when: abc");
        let span = super::Span::new(6, 9);
        assert_eq!(source.span_within(span, "other", 1..2), span);
        assert_eq!(
            source.span_within(super::Span::new(6, 99), "abc", 1..2).end,
            99
        );
    }
}
