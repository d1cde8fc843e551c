//! Quoting for shells and SQL.

/// As one word for a POSIX shell: nothing in it is special. `None` when it holds a NUL, which no argument can.
///
/// Always in quotes: even a bare `2` would change what `echo 2>file` means, and a bare `if` is a keyword.
pub(super) fn sh(text: &str) -> Option<String> {
    if text.contains('\0') {
        return None;
    }
    Some(format!("'{}'", text.replace('\'', r"'\''")))
}

/// As a quoted SQL identifier. `None` when it holds a NUL or is empty, which PostgreSQL refuses.
pub(super) fn ident(text: &str) -> Option<String> {
    if text.is_empty() || text.contains('\0') {
        return None;
    }
    Some(format!("\"{}\"", text.replace('"', "\"\"")))
}

/// As an SQL string, whatever `standard_conforming_strings` says: with a backslash in it, in the `E''` form, which then
/// begins with a space so that it does not stick to a word before it. `None` when it holds a NUL.
pub(super) fn literal(text: &str) -> Option<String> {
    if text.contains('\0') {
        return None;
    }
    let quoted = text.replace('\'', "''");
    Some(if text.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', r"\\"))
    } else {
        format!("'{quoted}'")
    })
}
