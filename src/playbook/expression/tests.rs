//! What expressions mean.

use super::*;
use crate::document::{Source, Span};
use crate::playbook::{Map, Names, SecretSource, Value};
use proptest::prelude::*;
use std::cell::RefCell;
use std::time::Duration;

fn parse(text: &str) -> Result<Expression, SyntaxError> {
    Expression::parse(text, Span::new(0, text.len()))
}

fn map(entries: &[(&str, Value)]) -> Value {
    let entries = entries.iter().map(|(k, v)| ((*k).to_owned(), v.clone()));
    Value::Map(entries.collect::<Map>())
}

fn lsn(text: &str) -> Value {
    Value::Lsn(text.parse().unwrap())
}

fn names() -> Value {
    let step = map(&[
        ("status", "ok".into()),
        ("position", lsn("0/9000000")),
        ("later", lsn("0/10000000")),
        ("lag", 5.into()),
        ("took", Duration::from_millis(1500).into()),
        ("flag", true.into()),
        ("absent", Value::Null),
        ("text", "abc".into()),
    ]);
    let nodes = map(&[
        ("n2", map(&[("host", "h2".into()), ("up", false.into())])),
        ("n1", map(&[("host", "h1".into()), ("up", true.into())])),
    ]);
    let secret = Value::Secret(SecretSource::Env("X".into()));
    map(&[
        ("steps", map(&[("a", step)])),
        ("cluster", map(&[("nodes", nodes)])),
        (
            "params",
            map(&[
                ("node", "n1".into()),
                ("list", vec![1i64, 2, 3].into()),
                ("secret", secret),
            ]),
        ),
    ])
}

fn evaluated(text: &str) -> String {
    match parse(text) {
        Err(error) => format!("syntax: {error}"),
        Ok(expression) => match expression.evaluate(&names()) {
            Ok(value) => value.to_json().to_string(),
            Err(error) => format!("error: {}", error.why),
        },
    }
}

#[test]
fn positions_compare_and_subtract_as_numbers() {
    for (text, expected) in [
        ("steps.a.position < steps.a.later", "true"),
        ("steps.a.later - steps.a.position", "117440512"),
        ("steps.a.position - steps.a.later", "-117440512"),
        ("steps.a.position + 16", "\"0/9000010\""),
        ("steps.a.position - 16", "\"0/8FFFFF0\""),
        ("steps.a.position == lsn('0/9000000')", "true"),
        ("steps.a.position != lsn('0/9000001')", "true"),
        ("lsn('1/0') >= lsn('0/FFFFFFFF')", "true"),
        ("steps.a.position in [lsn('0/9000000')]", "true"),
        ("string(lsn('0/16b3748'))", "\"0/16B3748\""),
        ("lsn('0/0') - 1", "error: the result is out of range"),
        (
            "lsn('0/1') < '0/2'",
            "error: `<` cannot be applied to an lsn and a string",
        ),
        (
            "lsn('0/1') + lsn('0/1')",
            "error: `+` cannot be applied to an lsn and an lsn",
        ),
    ] {
        assert_eq!(evaluated(text), expected, "{text}");
    }
}

/// What a value that nobody could tell does to a condition: it decides only where it must.
#[test]
fn logic_with_unknown_values() {
    const NULL: &str = "error: `!` cannot be applied to null";
    for (text, expected) in [
        ("steps.a.absent || true", "true"),
        ("true || steps.a.absent", "true"),
        ("steps.a.absent && false", "false"),
        ("false && steps.a.absent", "false"),
        (
            "steps.a.absent && true",
            "error: `&&` cannot be applied to null and a boolean",
        ),
        (
            "steps.a.absent || false",
            "error: `||` cannot be applied to null and a boolean",
        ),
        ("!steps.a.absent", NULL),
        ("steps.a.absent == null", "true"),
        ("steps.a.absent == 'x'", "false"),
        ("steps.a.absent != 1", "true"),
        (
            "steps.a.absent < 1",
            "error: `<` cannot be applied to null and an integer",
        ),
        (
            "steps.a.absent.x",
            "error: a value is null where a name is selected from it",
        ),
        ("steps.a.missing", "error: there is no `missing`"),
        ("steps.a.missing || true", "true"),
        ("steps.b.x || true", "true"),
        ("steps.b.x", "error: there is no `b`"),
        ("has(steps.a.missing)", "false"),
        ("has(steps.a.lag)", "true"),
        ("other", "error: there is no `other`"),
        ("steps.a.absent == null ? 1 : steps.a.absent + 1", "1"),
    ] {
        assert_eq!(evaluated(text), expected, "{text}");
    }
}

#[test]
fn values_of_every_kind() {
    for (text, expected) in [
        ("steps.a.lag * 2 + 1", "11"),
        ("7 / 2", "3"),
        ("7 % 0", "error: division by zero"),
        ("9223372036854775807 + 1", "error: a number is out of range"),
        ("steps.a.text + 'd'", "\"abcd\""),
        (
            "steps.a.text.startsWith('ab') && steps.a.text.endsWith('c')",
            "true",
        ),
        ("steps.a.text.contains('zz')", "false"),
        ("size(params.list) + steps.a.text.size()", "6"),
        ("params.list[0]", "1"),
        (
            "params.list[9]",
            "error: the list is shorter than that index",
        ),
        ("int('12') + 1", "13"),
        ("string(12)", "\"12\""),
        ("bool('true')", "true"),
        ("cluster.nodes[params.node].host", "\"h1\""),
        ("cluster.nodes['n2'].host", "\"h2\""),
        ("cluster.nodes.exists(n, cluster.nodes[n].up)", "true"),
        (
            "cluster.nodes.map(n, cluster.nodes[n].host)",
            r#"["h1","h2"]"#,
        ),
        ("{'b': 1, 'a': 2}.map(k, k)", r#"["a","b"]"#),
        (
            "params.list.filter(x, x > 1).map(x, {'v': x})",
            r#"[{"v":2},{"v":3}]"#,
        ),
        ("'n1' in cluster.nodes", "true"),
        ("2 in params.list", "true"),
        ("steps.a.flag ? 'yes' : 'no'", "\"yes\""),
        ("[1, 'a', true, null]", r#"[1,"a",true,null]"#),
        ("params.secret", "error: the result is a secret"),
        ("[params.secret]", "error: the result is a secret"),
        ("params.secret == params.secret", "false"),
        (
            "1 + 'a'",
            "error: `+` cannot be applied to an integer and a string",
        ),
    ] {
        assert_eq!(evaluated(text), expected, "{text}");
    }
}

#[test]
fn what_is_no_expression_is_refused_with_a_hint() {
    let cases = [
        "",
        "   ",
        "{{ params.x }}",
        "a = b",
        "a and b",
        "not a",
        "a &",
        "'open",
        "1 2",
        "1.5",
        "1u",
        "b'x'",
        "a ==",
        "siez(a)",
        "foo(a)",
        "a.matches('x')",
        "size(a, b)",
        "lsn('16')",
        "duration('90')",
        "lsn(1)",
        "a.?b",
        "Foo{x: 1}",
        "a.map(1)",
        "é == 1",
        "'é' == &",
        "steps.a..b",
        "a ?? b",
        "a ? b",
        "a[",
        "a.in",
        "#",
    ];
    let shown: Vec<String> = cases
        .iter()
        .map(|text| match parse(text) {
            Ok(_) => format!("{text:24} accepted"),
            Err(error) => format!(
                "{text:24} at {:2}: {error}{}",
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
fn expressions_can_be_shared_between_tasks() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Expression>();
    shared::<crate::playbook::Playbook>();
}

#[test]
fn a_condition_must_be_true_or_false() {
    let error = parse("steps.a.lag").unwrap().holds(&names()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`steps.a.lag` cannot be evaluated: a condition must be true or false, this is an integer"
    );
    assert_eq!(parse("steps.a.lag == 5").unwrap().holds(&names()), Ok(true));
}

#[test]
fn references_leave_out_variables_and_follow_constants() {
    let text = "cluster.nodes['n1'].x == params.a && steps.s.items[params.k].out.exists(v, v == params.v && v.y) || has(run.id)";
    let expression = parse(text).unwrap();
    let found: Vec<(String, &str)> = expression
        .references()
        .iter()
        .map(|r| (r.path.join("."), &text[r.offset..]))
        .collect();
    let expected = [
        ("cluster.nodes.n1.x", "cluster.nodes['n1']"),
        ("params.a", "params.a &&"),
        ("steps.s.items", "steps.s.items["),
        ("params.k", "params.k]"),
        ("params.v", "params.v &&"),
        ("run", "run.id)"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((path, rest), (expected, start)) in found.iter().zip(expected) {
        assert_eq!(path, expected);
        assert!(rest.starts_with(start), "{path} is said to be at {rest}");
    }
}

/// A world that remembers what it was asked.
struct Watched(Value, RefCell<Vec<String>>);

impl Names for Watched {
    fn lookup(&self, path: &[&str]) -> Option<Value> {
        self.1.borrow_mut().push(path.join("."));
        self.0.lookup(path)
    }
}

#[test]
fn only_what_is_referred_to_is_looked_up() {
    let watched = Watched(names(), RefCell::default());
    let expression = parse("steps.a.lag > 1 && steps.a.lag < 9 && cluster.nodes.n1.up").unwrap();
    assert_eq!(expression.holds(&watched), Ok(true));
    assert_eq!(*watched.1.borrow(), ["cluster.nodes.n1.up", "steps.a.lag"]);
}

#[test]
fn evaluation_ends_whatever_is_written() {
    let list = Value::List((0..2000i64).map(Value::from).collect());
    let names = map(&[("params", map(&[("l", list)]))]);
    let error = parse("params.l.all(a, params.l.all(b, params.l.all(c, a + b + c >= 0)))")
        .unwrap()
        .evaluate(&names)
        .unwrap_err();
    assert_eq!(error.why, "it goes over more than 100000 elements");
}

/// Whatever passes the limits can be parsed, evaluated and dropped on half the stack of a worker thread.
#[test]
fn the_largest_expressions_fit_the_stack() {
    let largest = || {
        for text in [
            vec!["1"; 201].join("+"),
            format!("params{}", ".b".repeat(200)),
            format!("params{}", "[0]".repeat(200)),
            format!("{}true", "!".repeat(200)),
            vec!["true"; 101].join("&&"),
            format!("[1]{}", ".map(x,x)".repeat(65)),
            format!("{}1{}", "[".repeat(30), "]".repeat(30)),
            format!("{}1{}", "[1].map(x,".repeat(30), ")".repeat(30)),
        ] {
            let expression = parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let _ = expression.evaluate(&names());
        }
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    thread.spawn(largest).unwrap().join().unwrap();
    for text in [
        "1+".repeat(500) + "1",
        "(".repeat(60) + "1" + &")".repeat(60),
        "x".repeat(5000),
    ] {
        assert!(parse(&text).is_err());
    }
}

#[test]
fn the_place_is_the_word_at_the_offset() {
    let source = Source::new("p.yaml", "when: 'a.b == ''x'' && c'");
    let expression = Expression::parse("a.b == 'x' && c", Span::new(6, 25)).unwrap();
    let seen = |offset| {
        let place = expression.place(&source, offset);
        &source.text[place.start..place.end]
    };
    assert_eq!([seen(0), seen(2), seen(4), seen(14)], ["a", "b", "=", "c"]);
}

proptest! {
    #[test]
    fn nothing_panics(text in "\\PC{0,80}") {
        if let Ok(expression) = parse(&text) {
            let _ = expression.evaluate(&names());
        }
    }

    #[test]
    fn nothing_panics_close_to_the_grammar(
        parts in prop::collection::vec(prop::sample::select(vec![
            "steps.a.lag", "steps.a", "params", ".x", "[0]", "['n1']", "(", ")", " && ", " || ", "!", " - ", " + ", " < ", " == ",
            "lsn('0/1')", "duration('1s')", "null", "true", "1", "-1", "'s'", "[1, 2]", "{'a': 1}", ".map(x, x)", ".all(x, x.y)",
            "has(", " ? ", " : ", " in ", ".size()", "size(", ", ", "9223372036854775807", " % ", " / ", " * ", "\n", "é", "//", "\\",
        ]), 1..14)
    ) {
        if let Ok(expression) = parse(&parts.concat()) {
            let _ = expression.evaluate(&names());
        }
    }

    #[test]
    fn positions_order_like_numbers(a: u64, b: u64) {
        let names = map(&[("a", Value::Lsn(crate::cluster::Lsn(a))), ("b", Value::Lsn(crate::cluster::Lsn(b)))]);
        let holds = |text: &str| parse(text).unwrap().holds(&names).unwrap();
        prop_assert_eq!(holds("a < b"), a < b);
        prop_assert_eq!(holds("a >= b"), a >= b);
        prop_assert_eq!(holds("a == b"), a == b);
    }
}
