//! Our reader of YAML against another one: what both accept must mean the same.
//!
//! The other loads through libyaml. Where the two differ on purpose, the comparison says so.

use pgbaton::document::{Diagnostics, Source, Tree, parse};
use proptest::prelude::*;
use serde_yaml::Value as Other;

/// Whether both mean the same.
fn same(ours: &Tree, theirs: &Other) -> bool {
    match (ours, theirs) {
        (Tree::Null, Other::Null) => true,
        (Tree::Boolean(a), Other::Bool(b)) => a == b,
        // On purpose: only `true` and `false` are booleans.
        (Tree::String { text, plain: true }, Other::Bool(_)) => {
            matches!(text.as_str(), "True" | "TRUE" | "False" | "FALSE")
        }
        (Tree::Integer(a), Other::Number(b)) => b.as_i64() == Some(*a),
        // On purpose: `0b1` is no number in YAML 1.2, and what begins with a needless zero is text.
        (Tree::String { text, plain: true }, Other::Number(_)) => {
            let digits = text.trim_start_matches(['-', '+']);
            digits.starts_with("0b") || digits.starts_with('0')
        }
        (Tree::Float(a), Other::Number(b)) => b
            .as_f64()
            .is_some_and(|b| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())),
        // On purpose: YAML 1.2 reads `1.` and `1.e3` as numbers.
        (Tree::Float(_), Other::String(text)) => text.contains('.'),
        (Tree::String { text, .. }, Other::String(other)) => text == other,
        (Tree::List(items), Other::Sequence(others)) => {
            items.len() == others.len() && items.iter().zip(others).all(|(a, b)| same(&a.value, b))
        }
        (Tree::Map(entries), Other::Mapping(others)) => {
            entries.len() == others.len()
                && entries.iter().all(|entry| {
                    others
                        .get(entry.key.value.as_str())
                        .is_some_and(|other| same(&entry.value.value, other))
                })
        }
        _ => false,
    }
}

/// `None` when one of the two refuses the text.
fn compare(yaml: &str) -> Option<Result<(), String>> {
    let mut diagnostics = Diagnostics::default();
    let ours = parse(&Source::new("x.yaml", yaml), &mut diagnostics)?;
    if diagnostics.has_errors() {
        return None;
    }
    let theirs: Other = serde_yaml::from_str(yaml).ok()?;
    Some(if same(&ours.value, &theirs) {
        Ok(())
    } else {
        Err(format!(
            "{yaml:?}\nours: {:?}\ntheirs: {theirs:?}",
            ours.value
        ))
    })
}

#[test]
fn documents_that_people_write_mean_the_same_to_both() {
    let documents = [
        "a: 1\nb: [x, 'y z', \"t\\tt\"]\nc: {d: ~, e: null, f: }\n",
        "- 1\n- -1\n- 0x1F\n- 0o17\n- 1.5\n- 1e3\n- .inf\n- -.inf\n- .nan\n- +5\n- 007\n- 1_000\n",
        "- true\n- false\n- yes\n- No\n- on\n- OFF\n- y\n- 'true'\n- \"1\"\n",
        "a: |\n  one\n   two\n\n  three\n\nb: >-\n  one\n  two\n\n  three\nc: |+\n  keep\n\nd: x\n",
        "a: plain\n  goes on\nb: 'it''s\n  folded'\nc: \"a \\\n  b\"\n",
        "a: &x {b: 1}\nc: *x\n",
        "# comment\na: b # comment\nc: 'd # e'\n",
        "---\na: b\n...\n",
        "a: 2026-01-01\nb: 12:30:45\nc: 0/16B3748\nd: 90s\ne: 50%\nf: a:b\n",
        "ä: ö\n? k\n: v\n",
        "\u{feff}a: b\n",
    ];
    for yaml in documents {
        assert_eq!(compare(yaml), Some(Ok(())), "{yaml}");
    }
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9.+\\-]{1,6}",
        "[0-9+\\-][0-9._eExob]{0,5}",
        "(true|True|yes|no|null|Null|~|on|\\.inf|\\.nan|<<)",
        "'[a-z: #'&&[^']]{0,8}'",
        "\"[a-z: #{}\\[\\]]{0,8}\"",
        "\\|\n      [a-z ]{1,8}\n      b",
        ">-\n      [a-z]{1,8}\n      b",
        "[a-z][a-z !&*@%:,#{}\\[\\]]{0,8}[a-z]",
    ]
}

/// One line, or a few, for each value.
fn lines<T>(values: &[T], line: impl Fn(&T) -> String) -> String {
    let all: Vec<String> = values.iter().map(line).collect();
    all.join("\n") + "\n"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn maps_of_scalars_mean_the_same(values in proptest::collection::vec(("[a-c]{1,2}|true|1|<<", scalar()), 1..5)) {
        let yaml = lines(&values, |(k, v)| format!("{k}: {v}"));
        if let Some(outcome) = compare(&yaml) {
            prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
        }
    }

    #[test]
    fn lists_and_flow_mean_the_same(values in proptest::collection::vec(scalar(), 1..5)) {
        let block = lines(&values, |v| format!("- {v}"));
        let nested = lines(&values, |v| format!("- - k: {v}\n    l: x"));
        let flow = format!("[{}]", values.join(", "));
        for yaml in [block, nested, flow] {
            if let Some(outcome) = compare(&yaml) {
                prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
            }
        }
    }

    #[test]
    fn any_text_that_both_accept_means_the_same(
        // Without `?`: libyaml sees a key in `{?,}` and `[?a]`, YAML 1.2 sees text.
        text in "[\\[\\]{}:,\\-#'\" \\nab01.]{0,24}") {
        if let Some(outcome) = compare(&text) {
            prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
        }
    }
}
