//! Single values of the site file.

use crate::document::{Lowering, Spanned, Tree};
use std::path::{Path, PathBuf};

/// A string that is not empty and holds no control characters.
pub(super) fn text(
    to: &mut Lowering<'_>,
    what: &str,
    value: &Spanned<Tree>,
) -> Option<Spanned<String>> {
    let text = to.string(what, value)?;
    if text.value.trim().is_empty() {
        to.error("empty-value", text.span, format!("{what} is empty"));
        return None;
    }
    if text.value.chars().any(char::is_control) {
        to.error(
            "bad-value",
            text.span,
            format!("{what} has a line break or another control character"),
        );
        return None;
    }
    Some(text)
}

/// A name: see [`checked_name`].
pub(super) fn name(to: &mut Lowering<'_>, what: &str, value: &Spanned<Tree>) -> Option<String> {
    let text = text(to, what, value)?;
    checked_name(to, what, &text)
}

/// A name that can stand in a path, a table and a URL.
pub(super) fn checked_name(
    to: &mut Lowering<'_>,
    what: &str,
    name: &Spanned<String>,
) -> Option<String> {
    let good = name.value.len() <= 63
        && name.value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if good {
        return Some(name.value.clone());
    }
    to.error(
        "bad-name",
        name.span,
        format!("{what} cannot be `{}`", name.value),
    )
    .help = Some(
        "use at most 63 letters, digits, `_`, `-` and `.`, beginning with a letter or digit"
            .to_owned(),
    );
    None
}

/// A user, host or other word that becomes an argument of a command: it cannot pass for an option.
pub(super) fn argument(to: &mut Lowering<'_>, what: &str, value: &Spanned<Tree>) -> Option<String> {
    let text = text(to, what, value)?;
    if text.value.starts_with('-') {
        let message = format!("{what} cannot begin with `-`");
        to.error("bad-value", text.span, message).help =
            Some("a command would take it for an option".to_owned());
        return None;
    }
    Some(text.value)
}

/// A host name, an address, or the directory of a Unix socket.
pub(super) fn host(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<String> {
    let text = text(to, "`host`", value)?;
    let host = text.value;
    let good = if host.starts_with('/') {
        !host.contains(',')
    } else {
        host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':')
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%'))
    };
    if good {
        return Some(host);
    }
    to.error(
        "bad-value",
        text.span,
        format!("`{host}` is no host name, address, or directory of a socket"),
    )
    .help = Some("one host for each node; the port has a key of its own, `port`".to_owned());
    None
}

/// A TCP port.
pub(super) fn port(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<u16> {
    let number = to.integer("`port`", value, 1, 65_535)?;
    u16::try_from(number).ok()
}

/// A path on this machine: from the site file's directory, or the home directory.
pub(super) fn local_path(
    to: &mut Lowering<'_>,
    what: &str,
    value: &Spanned<Tree>,
    base: &Path,
) -> Option<PathBuf> {
    let text = text(to, what, value)?;
    if let Some(rest) = text.value.strip_prefix("~/") {
        let Some(home) = std::env::var_os("HOME") else {
            let message = format!("{what} begins with `~`, and HOME is not set");
            to.error("bad-value", text.span, message);
            return None;
        };
        return Some(Path::new(&home).join(rest));
    }
    Some(base.join(text.value))
}

/// A path on a node.
pub(super) fn remote_path(
    to: &mut Lowering<'_>,
    what: &str,
    value: &Spanned<Tree>,
) -> Option<PathBuf> {
    let text = text(to, what, value)?;
    if text.value.starts_with('/') {
        return Some(PathBuf::from(text.value));
    }
    let message = format!("{what} must be an absolute path");
    to.error("bad-value", text.span, message).help = Some(
        "it is a path on the node, where there is nothing that it could be relative to".to_owned(),
    );
    None
}

/// The arguments of a command, the program first.
pub(super) fn argv(
    to: &mut Lowering<'_>,
    what: &str,
    value: &Spanned<Tree>,
) -> Option<Vec<String>> {
    let items = to.list(what, value)?;
    if items.is_empty() {
        to.error(
            "empty-value",
            value.span,
            format!("{what} names no program"),
        );
        return None;
    }
    let words: Vec<Option<String>> = items
        .iter()
        .map(|item| match &item.value {
            Tree::Integer(number) => Some(number.to_string()),
            _ => to
                .string(&format!("an item of {what}"), item)
                .map(|s| s.value),
        })
        .collect();
    let words: Vec<String> = words.into_iter().collect::<Option<_>>()?;
    if words
        .first()
        .is_some_and(|program| program.trim().is_empty())
    {
        to.error(
            "empty-value",
            value.span,
            format!("{what} names no program"),
        );
        return None;
    }
    Some(words)
}
