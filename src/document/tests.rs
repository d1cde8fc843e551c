//! What users see of a document that is wrong.

use super::{Diagnostics, Source, Tree, parse};
use proptest::prelude::*;
use std::fmt::Write as _;

/// All diagnostics of `yaml`, as people see them.
fn report(yaml: &str) -> String {
    let source = Source::new("site.yaml", yaml);
    let mut diagnostics = Diagnostics::default();
    let tree = parse(&source, &mut diagnostics);
    assert!(
        tree.is_some() || diagnostics.has_errors(),
        "no tree and no error"
    );
    diagnostics.render(false, 100)
}

#[test]
fn tags_are_errors_that_show_how_to_quote() {
    insta::assert_snapshot!(report(
        "steps:\n  stop:\n    when: !facts.ok\n    node: !!str n1\n    with: !vault [x]\n  go:\n    when: !a.b && c == 'd'\n    not: ! x\n"
    ));
}

#[test]
fn a_key_may_stand_only_once() {
    insta::assert_snapshot!(report("a: 1\nb: {x: 1, x: 2}\na: 3\n"));
}

#[test]
fn what_yaml_would_do_behind_the_back_is_refused() {
    insta::assert_snapshot!(report(
        "base: &b {x: 1}\nmerged:\n  <<: *b\n[1, 2]: x\n7: seven\ntrue: yes\nnothing: *unknown\nbig: 99999999999999999999\n"
    ));
}

#[test]
fn a_template_without_quotes_is_shown_as_one() {
    insta::assert_snapshot!(report("node: {{ params.node }}\nlist: [{{ a }}, b]\n"));
}

#[test]
fn syntax_errors_say_what_to_do() {
    let all = [
        "when: a ? b : c\n",
        "when: 'a' == b\n",
        "when: [1, 2].exists(x, x > 1)\n",
        "when: !(a || b)\n",
        "when: *x > 3\n",
        "when: > 3\n",
        "a:\n\tb: 1\n",
        "a: %x\n",
        "a: \"unclosed\nb: 1\n",
        "a: [1, 2\nb: 3\n",
        "a: [1, 2}\n",
        "steps:\n  a:\n    action: x\n   node: y\n",
        "a: 1\n  b: 2\n",
        "a: 1\nb\nc: 2\n",
        "- a\nb: 1\n",
        "a: \"\\d\"\n",
    ]
    .map(report)
    .join("\n");
    insta::assert_snapshot!(all);
}

#[test]
fn documents_that_are_none_or_many() {
    let all = ["", "# only a comment\n", "---\n", "a: 1\n---\nb: 2\n"]
        .map(report)
        .join("\n");
    insta::assert_snapshot!(all);
}

#[test]
fn simple_aliases_are_values_and_exploding_ones_are_errors() {
    assert_eq!(report("a: &x {b: [1, 2]}\nc: *x\nd: [*x, *x]\n"), "");
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let line = vec![format!("*a{}", n - 1); 10].join(", ");
        let _ = writeln!(bomb, "a{n}: &a{n} [{line}]");
    }
    assert!(report(&bomb).contains("repeat more than 10000 values"));
    assert!(report("a: &x [1, *x]\n").contains("inside of itself"));
    let mut deep = "a0: &a0 [x]\n".to_owned();
    for n in 1..100 {
        let _ = writeln!(deep, "a{n}: &a{n} [*a{}]", n - 1);
    }
    assert!(report(&deep).contains("64 levels"));
}

#[test]
fn depth_and_size_are_limited() {
    assert_eq!(report(&format!("{}{}", "[".repeat(64), "]".repeat(64))), "");
    assert!(report(&format!("{}{}", "[".repeat(65), "]".repeat(65))).contains("64 levels"));
    assert!(report(&"[".repeat(900)).contains("64 levels"));
    assert!(report(&"- ".repeat(400_000)).contains("64 levels"));
    assert!(report(&"[".repeat(100_000)).contains("error["));
    assert!(report(&"x".repeat(2 << 20)).contains("at most 1048576 are read"));
}

/// Every key and value, as the file shows them.
fn walk(tree: &super::Spanned<Tree>, yaml: &str, seen: &mut Vec<String>) {
    seen.push(yaml[tree.span.start..tree.span.end].to_owned());
    match &tree.value {
        Tree::List(items) => items.iter().for_each(|item| walk(item, yaml, seen)),
        Tree::Map(entries) => {
            for entry in entries {
                seen.push(yaml[entry.key.span.start..entry.key.span.end].to_owned());
                walk(&entry.value, yaml, seen);
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_and_value_knows_its_place() {
    let yaml = "ä: [b, 'c d']\ne:\n  f: |\n    g\n\nh: {i: j}\n";
    let source = Source::new("test.yaml", yaml);
    let tree = parse(&source, &mut Diagnostics::default()).unwrap();
    let mut seen = Vec::new();
    walk(&tree, yaml, &mut seen);
    assert_eq!(
        seen,
        [
            yaml.trim_end(),
            "ä",
            "[b, 'c d']",
            "b",
            "'c d'",
            "e",
            "f: |\n    g",
            "f",
            "g",
            "h",
            "{i: j}",
            "i",
            "j"
        ]
    );
}

#[test]
fn json_names_the_place() {
    let source = Source::new("site.yaml", "a: 1\nb: 2\na: 3\n");
    let mut diagnostics = Diagnostics::default();
    parse(&source, &mut diagnostics);
    assert_eq!(
        diagnostics.to_json(),
        serde_json::json!([{
            "code": "duplicate-key", "severity": "error", "message": "`a` is here twice", "file": "site.yaml",
            "line": 3, "column": 1, "end_line": 3, "end_column": 2, "label": "again here",
            "related": [{"message": "first here", "line": 1, "column": 1, "end_line": 1, "end_column": 2}],
        }])
    );
}

#[test]
fn a_file_cannot_steer_the_terminal() {
    let text = report("\"\\e[2Jx\": 1\n\"\\e[2Jx\": 2\n# \u{1b}[2J\n");
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn the_hint_to_quote_is_about_the_entry_and_not_about_the_map_around_it() {
    let said = report(
        "steps:\n  a: { action: wait, when: cluster.nodes['n9'].role == 'x', with: { for: 1s } }\n",
    );
    assert!(
        said.contains("`when: \"cluster.nodes['n9'].role == 'x'\"`"),
        "{said}"
    );
    let said = report("a: { when: 1 == 1 ? b : c, d: e }\n");
    assert!(said.contains("`when: \"1 == 1 ? b : c\"`"), "{said}");
    let said = report(&format!("a: {}", "[".repeat(100_000)));
    assert!(said.len() < 2_000, "{} bytes", said.len());
}

#[test]
fn a_line_in_the_wrong_column_is_told_of_its_column_and_not_of_quotes() {
    for (yaml, indent) in [
        (
            "steps:\n  a:\n    timeout: 3m\n     for_each: { max_parallel: 2 }\n",
            5,
        ),
        (
            "steps:\n  a:\n    action: exec\n      with: { argv: [x], env: { A: b } }\n",
            6,
        ),
        (
            "steps:\n  a:\n    action: exec\n      node: \"{{ params.node }}\"\n",
            6,
        ),
        (
            "steps:\n  a:\n    needs: [b]\n     probe: { argv: [x] }\n",
            5,
        ),
        ("steps:\n  a:\n    action: exec\n   with: { for: 1s }\n", 3),
        ("steps:\n  a: { x: y }\n with: { for: 1s }\n", 1),
        ("overlay: follow\n  steps: { a: { timeout: 5s } }\n", 2),
    ] {
        let said = report(yaml);
        let told = format!("this line is indented by {indent} spaces");
        assert!(said.contains(&told), "{yaml}{said}");
        assert!(!said.contains("quote"), "{yaml}{said}");
    }
    // What has a second colon in its own value is one to quote, in whatever column.
    let said = report("a:\n  summary: it does: this\n");
    assert!(said.contains("`summary: \"it does: this\"`"), "{said}");
}

proptest! {
    #[test]
    fn reading_never_panics(text in "\\PC{0,200}|[\\[\\]{}:,\\-?&*!|>'\"%@`#~ \\n\\tab01<=.\\\\]{0,80}") {
        let _ = report(&text);
    }

    #[test]
    fn any_part_of_any_scalar_has_a_place(
        text in "[ab'\"\\\\ äß\\n]{0,30}", style in 0..4, from in 0usize..40, length in 0usize..40,
    ) {
        let yaml = match style {
            0 => format!("k: {}\n", serde_json::Value::from(text.as_str())),
            1 => format!("k: '{}'\n", text.replace('\'', "''").replace('\n', "\n\n  ")),
            2 => format!("k: |-\n  {}\n", text.replace('\n', "\n  ")),
            _ => format!("k: {text}\n"),
        };
        let source = Source::new("test.yaml", yaml.as_str());
        let Some(tree) = parse(&source, &mut Diagnostics::default()) else { return Ok(()) };
        let Tree::Map(entries) = tree.value else { return Ok(()) };
        let Some(entry) = entries.first() else { return Ok(()) };
        if let Tree::String { text, .. } = &entry.value.value {
            let whole = entry.value.span;
            let span = source.span_within(whole, text, from..from + length);
            prop_assert!(whole.start <= span.start && span.start <= span.end && span.end <= whole.end, "{span:?} in {whole:?}");
            prop_assert!(yaml.get(span.start..span.end).is_some(), "{span:?} cuts a character");
        }
    }
}
