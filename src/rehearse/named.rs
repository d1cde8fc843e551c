//! Whether a text names something.

/// The word stands in the text, and not as a part of a longer name: `n1` is not in `n10` or `pgbaton_n1`.
pub(super) fn names(text: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !part(before) && !part(after)
    })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_name_is_a_whole_word() {
        assert!(names("follow[n1]/stop: n1 still runs", "n1"));
        assert!(names("n1", "n1"));
        assert!(!names("n10 and pgbaton_n1", "n1"));
    }
}
