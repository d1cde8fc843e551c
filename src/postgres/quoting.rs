//! The one place where text becomes an SQL literal or a quoted name.

/// A string literal, whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', r"\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// A name, as it is written.
pub(super) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::{ident, literal};

    #[test]
    fn a_name_cannot_be_left() {
        assert_eq!(ident("repmgr"), "\"repmgr\"");
        assert_eq!(ident("a\".b"), "\"a\"\".b\"");
    }

    #[test]
    fn a_literal_cannot_be_left() {
        for (text, expected) in [
            ("", "''"),
            ("a", "'a'"),
            ("a'b", "'a''b'"),
            (r"\' OR 1", r"E'\\'' OR 1'"),
        ] {
            assert_eq!(literal(text), expected);
        }
    }
}
