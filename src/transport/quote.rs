//! The one place where text becomes a word of a shell line.

/// One word of a POSIX shell, whatever it holds.
pub fn quote(word: &str) -> String {
    let plain = !word.is_empty()
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-./:@%+,=".contains(&b))
        && !word.starts_with(['=', '~']);
    if plain {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Several words of a line.
pub fn quote_all<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    words
        .into_iter()
        .map(|w| quote(w.as_ref()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// One word of a line that is read as a whole: a newline becomes the variable `nl`, which the reader has set.
pub(super) fn quote_in_one_line(word: &str) -> String {
    word.split('\n')
        .map(quote)
        .collect::<Vec<_>>()
        .join("\"$nl\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn through_a_shell(line: &str) -> Vec<u8> {
        Command::new("sh")
            .args(["-c", line])
            .output()
            .unwrap()
            .stdout
    }

    fn zero_terminated(words: &[String]) -> Vec<u8> {
        words
            .iter()
            .flat_map(|w| w.bytes().chain([0]))
            .collect::<Vec<u8>>()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_word_arrives_as_it_was(words in prop::collection::vec("[^\0]{0,40}|[ '\"$`\\\\\n;&|<>~=#*?!(){}\\[\\]-]{0,12}", 1..40)) {
            let line = format!("printf '%s\\0' {}", quote_all(&words));
            prop_assert_eq!(through_a_shell(&line), zero_terminated(&words));
        }

        #[test]
        fn one_line_carries_newlines_too(words in prop::collection::vec("[^\0]{0,20}|[\n'\"$x ]{0,12}", 1..20)) {
            let quoted: Vec<String> = words.iter().map(|w| quote_in_one_line(w)).collect();
            prop_assert!(quoted.iter().all(|q| !q.contains('\n')));
            let line = format!("nl=$(printf '\\nx'); nl=\"${{nl%x}}\"; printf '%s\\0' {}", quoted.join(" "));
            prop_assert_eq!(through_a_shell(&line), zero_terminated(&words));
        }
    }
}
