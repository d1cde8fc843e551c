//! Keeping secrets out of excerpts: a password that should not stand in the file must not appear on the screen as well.

use crate::document::{Diagnostics, Source, Span, Spanned, Tree};

/// Puts `*` in place of whatever looks like a secret, in the text that `diagnostics` show. Places stay what they are.
pub(super) fn blot(source: &Source, tree: Option<&Spanned<Tree>>, diagnostics: &mut Diagnostics) {
    let mut spans = Vec::new();
    match tree {
        Some(tree) => in_tree(&tree.value, &mut spans),
        None => in_text(&source.text, &mut spans),
    }
    if spans.is_empty() {
        return;
    }
    for diagnostic in &mut diagnostics.0 {
        let quotes = |text: &str| spans.iter().any(|span| quoted_in(source, *span, text));
        if quotes(&diagnostic.message) {
            "this line cannot be read".clone_into(&mut diagnostic.message);
        }
        if quotes(&diagnostic.label) {
            diagnostic.label.clear();
        }
        // Advice on the syntax of a secret repeats it, in one form or another.
        let beside = tree.is_none()
            && spans
                .iter()
                .any(|span| near(source, *span, diagnostic.span));
        if beside || diagnostic.help.as_deref().is_some_and(quotes) {
            diagnostic.help = None;
        }
    }
    let mut bytes = source.text.as_bytes().to_vec();
    for span in spans {
        let end = span.end.min(bytes.len());
        for byte in bytes.iter_mut().take(end).skip(span.start) {
            if !matches!(byte, b'\n' | b'\r') {
                *byte = b'*';
            }
        }
    }
    // Whole characters were replaced; were it not so, nothing is shown rather than too much.
    let blotted = Source::new(
        source.name.clone(),
        String::from_utf8(bytes).unwrap_or_default(),
    );
    for diagnostic in &mut diagnostics.0 {
        diagnostic.source = blotted.clone();
    }
}

/// Whether `text` repeats what stands at `span`.
fn quoted_in(source: &Source, span: Span, text: &str) -> bool {
    let secret = source.text.get(span.start..span.end).unwrap_or_default();
    let secret = secret.trim_matches(|c: char| c.is_whitespace() || "\"'{}[],".contains(c));
    !secret.is_empty() && text.contains(secret)
}

/// Whether a problem lies on a line of the secret.
fn near(source: &Source, secret: Span, problem: Span) -> bool {
    let line = |offset| source.line_column(offset).0;
    (line(secret.start)..=line(secret.end)).contains(&line(problem.start))
}

/// Whether the value of this key is probably a secret.
fn suspicious(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let word = ["pass", "pwd", "secret", "token"]
        .iter()
        .any(|word| key.contains(word));
    // Whoever knows the URL of a webhook can write there.
    (word && !matches!(key.as_str(), "passfile")) || key == "url"
}

fn in_tree(tree: &Tree, spans: &mut Vec<Span>) {
    match tree {
        Tree::List(items) => items.iter().for_each(|item| in_tree(&item.value, spans)),
        Tree::Map(entries) => {
            for entry in entries {
                match &entry.value.value {
                    inner @ (Tree::Map(_) | Tree::List(_)) => in_tree(inner, spans),
                    Tree::Null => {}
                    _ if suspicious(&entry.key.value) => spans.push(entry.value.span),
                    // `password=…` in a connection string.
                    Tree::String { text, .. } if suspicious_inside(text) => {
                        spans.push(entry.value.span);
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn suspicious_inside(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("password=") || text.contains("password =")
}

/// Without a tree: the rest of every line behind a suspicious key.
fn in_text(text: &str, spans: &mut Vec<Span>) {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let mut from = 0;
        while let Some(colon) = line[from..].find([':', '=']).map(|i| from + i) {
            let key = line[..colon].trim_end_matches(['"', '\'', ' ']);
            let key = key
                .rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
                .next()
                .unwrap_or(key);
            if suspicious(key) {
                spans.push(Span::new(start + colon + 1, start + line.len()));
                break;
            }
            from = colon + 1;
        }
        start += line.len();
    }
}
