//! A tree as YAML again, line by line, each line with the place that it came from.
//!
//! What was written on one line stays on one where it fits; everything else is written a key a line, so that each line
//! has one origin. Reading the lines gives the same tree, but for comments.

use super::scalar;
use super::{Entry, Source, Span, Spanned, Tree};
use std::borrow::Cow;
use std::fmt::Write as _;

/// A line of YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// It, without the line break.
    pub text: String,
    /// Where what it says was written.
    pub span: Span,
    /// It goes on with the text of a scalar: no comment may stand behind it.
    pub is_inside_text: bool,
}

/// The tree that was read from `source`, in lines of at most `width` columns where it can be broken.
pub fn write(source: &Source, tree: &Spanned<Tree>, width: usize) -> Vec<Line> {
    let breaks = source.text.match_indices('\n').map(|(at, _)| at).collect();
    let mut writer = Writer {
        breaks,
        width,
        lines: Vec::new(),
    };
    match &tree.value {
        Tree::Map(entries) if !entries.is_empty() => writer.map(entries, 0),
        Tree::List(items) if !items.is_empty() => writer.list(items, 0),
        other => {
            let text = flow(other);
            writer.push(text, tree.span);
        }
    }
    writer.lines
}

/// A value on one line, as it could stand between brackets.
pub fn write_flow(tree: &Tree) -> String {
    flow(tree)
}

struct Writer {
    /// Where the lines of the source end.
    breaks: Vec<usize>,
    width: usize,
    lines: Vec<Line>,
}

impl Writer {
    fn push(&mut self, text: String, span: Span) {
        self.lines.push(Line {
            text,
            span,
            is_inside_text: false,
        });
    }

    fn map(&mut self, entries: &[Entry], indent: usize) {
        for Entry { key, value } in entries {
            let lead = format!("{}{}:", " ".repeat(indent), key_text(&key.value));
            self.value(lead, key.span, value, indent);
        }
    }

    fn list(&mut self, items: &[Spanned<Tree>], indent: usize) {
        for item in items {
            let lead = format!("{}-", " ".repeat(indent));
            match &item.value {
                Tree::Map(entries) if !self.fits(&lead, item) && !entries.is_empty() => {
                    let first = self.lines.len();
                    self.map(entries, indent + 2);
                    if let Some(line) = self.lines.get_mut(first) {
                        line.text.replace_range(..=indent, &lead);
                    }
                }
                _ => self.value(lead, item.span, item, indent),
            }
        }
    }

    /// What stands behind `key:` or `-`, or below it.
    fn value(&mut self, lead: String, at: Span, value: &Spanned<Tree>, indent: usize) {
        if self.fits(&lead, value) {
            let text = flow_or_plain(&value.value);
            self.push(format!("{lead} {text}"), at);
            return;
        }
        match &value.value {
            Tree::Map(entries) if !entries.is_empty() => {
                self.push(lead, at);
                self.map(entries, indent + 2);
            }
            Tree::List(items) if !items.is_empty() => {
                self.push(lead, at);
                self.list(items, indent + 2);
            }
            Tree::String { text, .. } if is_literal(text) => {
                let keep = if text.ends_with('\n') { "|" } else { "|-" };
                self.push(format!("{lead} {keep}"), at);
                self.inside(text.lines(), at, indent + 2);
            }
            Tree::String { text, .. } if is_foldable(text) => {
                self.push(format!("{lead} >-"), at);
                let room = self.width.saturating_sub(indent + 2).max(20);
                let lines = folded(text, room);
                self.inside(lines.iter().map(String::as_str), at, indent + 2);
            }
            other => {
                let text = flow_or_plain(other);
                self.push(format!("{lead} {text}"), at);
            }
        }
    }

    fn inside<'l>(&mut self, lines: impl Iterator<Item = &'l str>, span: Span, indent: usize) {
        for line in lines {
            let text = format!("{}{line}", " ".repeat(indent));
            let text = text.trim_end().to_owned();
            self.lines.push(Line {
                text,
                span,
                is_inside_text: true,
            });
        }
    }

    /// Whether it stands on one line: because it did, and there is room.
    fn fits(&self, lead: &str, value: &Spanned<Tree>) -> bool {
        let width = |text: &str| lead.chars().count() + 1 + text.chars().count();
        match &value.value {
            Tree::Map(entries) if entries.is_empty() => true,
            Tree::List(items) if items.is_empty() => true,
            Tree::Map(_) | Tree::List(_) => {
                let line = self.line(value.span.start);
                self.is_on(line, value) && width(&flow(&value.value)) <= self.width
            }
            Tree::String { text, .. } if is_literal(text) => false,
            Tree::String { text, .. } if is_foldable(text) => {
                width(&flow_or_plain(&value.value)) <= self.width
            }
            _ => true,
        }
    }

    fn is_on(&self, line: usize, value: &Spanned<Tree>) -> bool {
        let here = |span: Span| self.line(span.start) == line;
        here(value.span)
            && match &value.value {
                Tree::Map(entries) => entries
                    .iter()
                    .all(|entry| here(entry.key.span) && self.is_on(line, &entry.value)),
                Tree::List(items) => items.iter().all(|item| self.is_on(line, item)),
                _ => true,
            }
    }

    fn line(&self, offset: usize) -> usize {
        self.breaks.partition_point(|end| *end < offset)
    }
}

/// On one line, at the end of a line of its own.
fn flow_or_plain(tree: &Tree) -> Cow<'_, str> {
    match tree {
        Tree::String { text, .. } => string(text, false),
        other => flow(other).into(),
    }
}

/// On one line, between brackets too.
fn flow(tree: &Tree) -> String {
    match tree {
        Tree::Null => "null".to_owned(),
        Tree::Boolean(answer) => answer.to_string(),
        Tree::Integer(number) => number.to_string(),
        Tree::Float(number) if number.is_nan() => ".nan".to_owned(),
        Tree::Float(number) if number.is_infinite() => {
            if *number < 0.0 { "-.inf" } else { ".inf" }.to_owned()
        }
        Tree::Float(number) => format!("{number:?}"),
        Tree::String { text, .. } => string(text, true).into_owned(),
        Tree::List(items) => {
            let items: Vec<String> = items.iter().map(|item| flow(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Tree::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Tree::Map(entries) => {
            let entry = |entry: &Entry| {
                format!(
                    "{}: {}",
                    key_text(&entry.key.value),
                    flow(&entry.value.value)
                )
            };
            let entries: Vec<String> = entries.iter().map(entry).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

fn key_text(key: &str) -> Cow<'_, str> {
    string(key, true)
}

/// Without quotes where that is read as the same text.
fn string(text: &str, in_flow: bool) -> Cow<'_, str> {
    if is_plain(text, in_flow) {
        return text.into();
    }
    let odd =
        |c: char| c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    if text.contains(odd) || !text.contains(['"', '\\']) {
        let mut out = String::with_capacity(text.len() + 2);
        out.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                c if odd(c) => {
                    let _ = write!(out, "\\u{:04x}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        out.push('"');
        return out.into();
    }
    format!("'{}'", text.replace('\'', "''")).into()
}

fn is_plain(text: &str, in_flow: bool) -> bool {
    const INDICATORS: &str = "-?:,[]{}#&*!|>'\"%@`";
    let first = text.chars().next();
    let begins = first.is_some_and(|c| !INDICATORS.contains(c) && !c.is_whitespace());
    let odd = |c: char| c.is_control() || c == '\u{feff}' || (c.is_whitespace() && c != ' ');
    let breaks_off = text.ends_with([' ', ':'])
        || text.contains(": ")
        || text.contains(" #")
        || text.contains(odd)
        || (in_flow && text.contains([',', '[', ']', '{', '}', ':']));
    // Text here, and a boolean to older readers.
    let is_doubtful = ["yes", "no", "on", "off", "y", "n", "true", "false"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    begins
        && !breaks_off
        && !is_doubtful
        && !text.starts_with("...")
        && text != "<<"
        && matches!(scalar::resolve(text), Ok(Tree::String { .. }))
}

/// Whether it can be written as the lines that it has.
fn is_literal(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let odd = |c: char| (c.is_control() && c != '\n') || c == '\u{feff}' || c == '\u{85}';
    body.contains('\n')
        && !body.ends_with('\n')
        && !body.starts_with([' ', '\n'])
        && !text.contains(odd)
        && body.lines().all(|line| !line.ends_with(' '))
}

/// Whether it can be broken at its spaces.
fn is_foldable(text: &str) -> bool {
    let odd = |c: char| c.is_control() || (c.is_whitespace() && c != ' ') || c == '\u{feff}';
    text.contains(' ')
        && !text.contains("  ")
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.contains(odd)
}

fn folded(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::{Diagnostics, parse};
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> (Source, Spanned<Tree>) {
        let source = Source::new("x.yaml", text);
        let mut diagnostics = Diagnostics::default();
        let tree = parse(&source, &mut diagnostics);
        assert!(diagnostics.0.is_empty(), "{text}\n{diagnostics:#?}");
        (source, tree.expect("there is something"))
    }

    fn written(source: &Source, tree: &Spanned<Tree>, width: usize) -> String {
        let mut text = String::new();
        for line in write(source, tree, width) {
            text.push_str(&line.text);
            text.push('\n');
        }
        text
    }

    #[test]
    fn what_was_on_one_line_stays_there_and_long_texts_are_broken() {
        let (source, tree) = read(
            "a: { b: [1, yes, 'x, y'], c: \"\" }\nd:\n- e: 1\n  f: [{ g: 'true' }]\n- - h\n  - i\n\
             when: a == 1 && b == 2 && c == 3\nsql: |\n  select 1;\n  select 2;\n",
        );
        assert_eq!(
            written(&source, &tree, 40),
            "a: { b: [1, \"yes\", \"x, y\"], c: \"\" }\nd:\n  - e: 1\n    f: [{ g: \"true\" }]\n  -\n    - h\n    - i\n\
             when: a == 1 && b == 2 && c == 3\nsql: |\n  select 1;\n  select 2;\n"
        );
        assert_eq!(
            written(&source, &tree, 24)
                .lines()
                .nth(1)
                .unwrap_or_default(),
            "  b: [1, \"yes\", \"x, y\"]"
        );
    }

    fn spanned(value: Tree) -> Spanned<Tree> {
        Spanned::new(value, Span::default())
    }

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            r#"[a-z '"\\:#{},\[\]&*!|>%@?~.0-9\n\t-]{0,12}"#,
            "[a-z0-9&]{1,9}( [a-z0-9#&'-]{1,9}){0,20}",
            any::<String>(),
            Just("null".to_owned()),
            Just("0644".to_owned()),
            Just("1e3".to_owned()),
        ]
    }

    fn trees() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Tree::Boolean),
            any::<i64>().prop_map(Tree::Integer),
            (-1000i32..1000).prop_map(|n| Tree::Float(f64::from(n) / 8.0)),
            texts().prop_map(|text| Tree::String { text, plain: false }),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone().prop_map(spanned), 0..4).prop_map(Tree::List),
                prop::collection::btree_map(texts(), inner, 0..4).prop_map(|map| {
                    let entry = |(key, value)| Entry {
                        key: Spanned::new(key, Span::default()),
                        value: spanned(value),
                    };
                    Tree::Map(map.into_iter().map(entry).collect())
                }),
            ]
        })
    }

    proptest! {
        /// In flow style (all places are the same line) and in block style (no room), what was written is read back.
        #[test]
        fn what_is_written_is_read_back(tree in trees(), width in prop_oneof![Just(0usize), Just(40), Just(10_000)]) {
            let tree = spanned(Tree::Map(vec![Entry {
                key: Spanned::new("top".to_owned(), Span::default()),
                value: spanned(tree),
            }]));
            let text = written(&Source::new("none", ""), &tree, width);
            let source = Source::new("x.yaml", text.as_str());
            let mut diagnostics = Diagnostics::default();
            let again = parse(&source, &mut diagnostics);
            prop_assert!(diagnostics.0.is_empty(), "{text}\n{diagnostics:#?}");
            let again = again.map(|again| again.value);
            prop_assert!(again.as_ref().is_some_and(|again| again.means(&tree.value)), "{text}\n{again:?}");
        }
    }
}
