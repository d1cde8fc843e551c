//! What templates mean.

use super::*;
use crate::document::Span;
use crate::playbook::{Map, SecretSource, Value};
use proptest::prelude::*;
use std::process::Command;
use std::time::Duration;

fn parse(text: &str) -> Result<Template, crate::playbook::SyntaxError> {
    Template::parse(text, Span::new(0, text.len()))
}

fn map(entries: &[(&str, Value)]) -> Value {
    let entries = entries.iter().map(|(k, v)| ((*k).to_owned(), v.clone()));
    Value::Map(entries.collect::<Map>())
}

fn names() -> Value {
    let params = map(&[
        ("node", "node1".into()),
        ("odd", "it's \"a\\b\"".into()),
        ("list", vec!["a", "b"].into()),
        ("map", map(&[("k-1", 1.into())])),
        ("size", 16.into()),
        ("flag", true.into()),
        ("wait", Duration::from_millis(1500).into()),
        ("lsn", Value::Lsn("0/16B3748".parse().unwrap())),
        ("secret", Value::Secret(SecretSource::Env("PW".into()))),
        ("absent", Value::Null),
    ]);
    let steps = map(&[("a", map(&[("out", Value::Null)]))]);
    map(&[("params", params), ("steps", steps)])
}

fn tree(text: &str) -> TemplateTree {
    TemplateTree::Template(parse(text).unwrap())
}

fn rendered(text: &str) -> String {
    match parse(text) {
        Err(error) => format!("syntax: {error}"),
        Ok(template) => match TemplateTree::Template(template).render(&names()) {
            Ok(Value::String(text)) => format!("text {text}"),
            Ok(value) => format!("{} {}", value.kind(), value.to_json()),
            Err(error) => format!("error: {}", error.why),
        },
    }
}

#[test]
fn a_single_reference_keeps_its_type_and_text_is_text() {
    let wait = crate::playbook::format_duration(Duration::from_millis(1500));
    for (text, expected) in [
        ("plain", "text plain".to_owned()),
        ("", "text ".to_owned()),
        ("{{ params.node }}", "text node1".to_owned()),
        ("{{params.list}}", r#"a list ["a","b"]"#.to_owned()),
        ("{{ params.map }}", r#"a map {"k-1":1}"#.to_owned()),
        ("{{ params.map.k-1 }}", "an integer 1".to_owned()),
        ("{{ params.map.[k-1] }}", "an integer 1".to_owned()),
        ("{{ params.size }}", "an integer 16".to_owned()),
        ("{{ params.flag }}", "a boolean true".to_owned()),
        ("{{ params.lsn }}", "an LSN \"0/16B3748\"".to_owned()),
        ("{{ params.secret }}", "a secret \"<secret>\"".to_owned()),
        (
            "{{ params.size }}/{{ params.flag }}/{{ params.lsn }}",
            "text 16/true/0/16B3748".to_owned(),
        ),
        ("after {{ params.wait }}", format!("text after {wait}")),
        (
            r"docker \{{.State}} {{ params.node }}",
            "text docker {{.State}} node1".to_owned(),
        ),
        ("<{{ params.odd }}>", r#"text <it's "a\b">"#.to_owned()),
        (
            r#"{"n": {{ json params.node }}}"#,
            r#"text {"n": "node1"}"#.to_owned(),
        ),
        ("{{ json params.list }}", r#"text ["a","b"]"#.to_owned()),
        ("{{ sh params.odd }}", r#"text 'it'\''s "a\b"'"#.to_owned()),
        (
            "{{ ident params.odd }}",
            r#"text "it's ""a\b""""#.to_owned(),
        ),
        (
            "{{ literal params.odd }}",
            r#"text  E'it''s "a\\b"'"#.to_owned(),
        ),
        ("{{ literal params.node }}", "text 'node1'".to_owned()),
        (
            "  {{ params.node }}\n  x\n",
            "text   node1\n  x\n".to_owned(),
        ),
    ] {
        assert_eq!(rendered(text), expected, "{text}");
    }
}

#[test]
fn what_is_missing_null_or_secret_never_becomes_text() {
    for (text, expected) in [
        ("{{ params.nope }}", "error: there is no `params.nope`"),
        ("{{ nope.x }}", "error: there is no `nope`"),
        ("{{ params.node.x }}", "error: there is no `params.node.x`"),
        ("{{ steps.a.out }}", "error: `steps.a.out` is null"),
        ("{{ steps.a.out.x }}", "error: `steps.a.out` is null"),
        ("x {{ params.absent }}", "error: `params.absent` is null"),
        ("{{ json params.absent }}", "error: `params.absent` is null"),
        (
            "x {{ params.list }}",
            "error: `params.list` is a list, which cannot stand inside a text; `{{ json params.list }}` can",
        ),
        (
            "{{ sh params.list }}",
            "error: `params.list` is a list, which cannot stand inside a text; `{{ json params.list }}` can",
        ),
        (
            "x {{ params.secret }}",
            "error: `params.secret` is a secret, which only a whole input can take",
        ),
        (
            "{{ json params.secret }}",
            "error: `params.secret` is a secret, which only a whole input can take",
        ),
        (
            "{{ json params }}",
            "error: `params` is a secret, which only a whole input can take",
        ),
    ] {
        assert_eq!(rendered(text), expected, "{text}");
    }
}

#[test]
fn only_a_whole_parameter_may_be_null() {
    assert_eq!(
        tree("{{ params.absent }}").render(&names()),
        Ok(Value::Null)
    );
    let inside = TemplateTree::List(vec![tree("{{ params.absent }}")], Span::default());
    assert_eq!(
        inside.render(&names()).unwrap_err().to_string(),
        "`{{ params.absent }}` cannot be rendered: `params.absent` is null"
    );
}

#[test]
fn what_is_no_reference_is_refused_with_a_hint() {
    let cases = [
        "{{#if params.a}}x{{/if}}",
        "{{> part}}",
        "{{! note }}",
        "{{!-- note --}}",
        "{{{ params.a }}}",
        "{{& params.a }}",
        "{{~ params.a }}",
        "{{ params.a ~}}",
        "{{*deco}}",
        "{{else}}",
        "x {{ params.a",
        "{{ }}",
        "{{}}",
        "{{each params.a}}",
        "{{shh params.a}}",
        "{{ sh }}",
        "{{ sh params.a params.b }}",
        "{{ sh a=params.b }}",
        "{{ params.a || 'x' }}",
        "{{ cluster.nodes[params.a].host }}",
        "{{ ../x }}",
        "{{ this }}",
        "{{ this.x }}",
        "{{ @root.x }}",
        "{{ params/a }}",
        "{{ lookup params a }}",
        "{{ (sh params.a) }}",
        "{{ params..a }}",
        "{{ params. }}",
        "{{ 'x' }}",
        "{{ sh \"x\" }}",
        "{{ sh 5 }}",
        "{{{{raw}}}}x{{{{/raw}}}}",
        "\\\\{{ params.node }}",
        "{{ ./x }}",
        "{{ json [1] }}",
    ];
    let shown: Vec<String> = cases
        .iter()
        .map(|text| match parse(text) {
            Ok(template) => format!("{text:34} {:?}", template.pieces()),
            Err(error) => format!(
                "{text:34} at {:2}: {error}{}",
                error.offset,
                error
                    .help
                    .as_ref()
                    .map(|help| format!(" (help: {help})"))
                    .unwrap_or_default()
            ),
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn references_know_their_place() {
    let text = "é {{ params.a }} {{sh steps.x.y}} \\{{ no }}";
    let found: Vec<_> = parse(text)
        .unwrap()
        .references()
        .map(|r| {
            (
                r.path.join("."),
                text[r.offset..].chars().take(4).collect::<String>(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("params.a".into(), "para".into()),
            ("steps.x.y".into(), "step".to_owned())
        ]
    );
}

fn with(value: &str) -> Value {
    map(&[("params", map(&[("v", value.into())]))])
}

fn text(template: &str, value: &str) -> Result<String, RenderError> {
    let value = parse(template).unwrap().render(&with(value))?;
    Ok(value.as_str().unwrap().to_owned())
}

/// Reads one SQL token the way PostgreSQL does; gives its value and what follows it.
fn read_sql(sql: &str, quote: char, backslashes: bool) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = sql.strip_prefix(quote)?;
    loop {
        let c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        if c == '\\' && backslashes {
            let escaped = rest.chars().next()?;
            value.push(escaped);
            rest = &rest[escaped.len_utf8()..];
        } else if c == quote {
            match rest.strip_prefix(quote) {
                Some(after) => {
                    value.push(quote);
                    rest = after;
                }
                None => return Some((value, rest)),
            }
        } else {
            value.push(c);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sh_survives_a_real_shell(value in "[^\0]{0,40}") {
        let command = text("printf %s {{ sh params.v }}", &value).unwrap();
        let output = Command::new("sh").arg("-c").arg(&command).output().unwrap();
        prop_assert_eq!(output.stdout, value.into_bytes());
        prop_assert!(output.stderr.is_empty());
    }
}

proptest! {
    #[test]
    fn sql_values_never_break_out(value in prop_oneof!["[^\0]{1,40}", "['\"\\\\; ]{1,12}"]) {
        let ident = text("{{ ident params.v }};", &value).unwrap();
        prop_assert_eq!(read_sql(&ident, '"', false), Some((value.clone(), ";")));
        let literal = text("{{ literal params.v }};", &value).unwrap();
        let read = if let Some(escaped) = literal.strip_prefix(" E") {
            read_sql(escaped, '\'', true)
        } else {
            // Then it means the same whatever standard_conforming_strings says.
            prop_assert_eq!(read_sql(&literal, '\'', true), read_sql(&literal, '\'', false));
            read_sql(&literal, '\'', false)
        };
        prop_assert_eq!(read, Some((value, ";")));
    }

    #[test]
    fn a_nul_is_refused(before in "[a-z']{0,5}", helper in prop::sample::select(vec!["sh", "ident", "literal"])) {
        let template = format!("{{{{ {helper} params.v }}}}");
        let value = before + "\0";
        prop_assert!(text(&template, &value).is_err());
    }

    #[test]
    fn json_reads_back(value in "\\PC{0,40}") {
        let json = text("{{ json params.v }}", &value).unwrap();
        prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value);
    }

    #[test]
    fn nothing_panics(text in "[{}~#/\\\\!>&*\\[\\]().@a-z \n'\"é|=^]{0,60}") {
        if let Ok(template) = parse(&text) {
            let _ = TemplateTree::Template(template).render(&names());
        }
    }

    #[test]
    fn text_without_braces_is_itself(text in "[^{]{0,60}") {
        prop_assert_eq!(parse(&text).unwrap().render(&names()), Ok(Value::from(text.as_str())));
    }
}
