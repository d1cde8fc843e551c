use super::bind;
use crate::document::{Diagnostics, Source};
use crate::playbook::{Map, Playbook, SecretSource, Value, load};
use std::time::Duration;

fn playbook(params: &str) -> Playbook {
    let yaml = format!("playbook: p\nsteps: {{ a: {{ action: b }} }}\nparams:\n{params}");
    let mut diagnostics = Diagnostics::default();
    let playbook = load(&Source::new("p.yaml", yaml), &mut diagnostics);
    assert_eq!(diagnostics.render(false, 100), "");
    playbook.unwrap()
}

/// A cluster with two nodes, and a site with a variable.
fn names() -> Value {
    let map = |entries: Vec<(&str, Value)>| {
        Value::Map(
            entries
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect(),
        )
    };
    let nodes = map(vec![("node1", map(vec![])), ("node2", map(vec![]))]);
    map(vec![
        (
            "cluster",
            map(vec![("nodes", nodes), ("primary", Value::from("node1"))]),
        ),
        (
            "site",
            map(vec![("vars", map(vec![("wait", Value::from("5s"))]))]),
        ),
        ("params", map(vec![("other", Value::from("x"))])),
    ])
}

fn given(pairs: &[(&str, &str)]) -> Map {
    pairs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Value::from(*text)))
        .collect()
}

/// What a user reads.
fn errors(playbook: &Playbook, given: &Map) -> String {
    let errors = bind(playbook, given, &names()).unwrap_err();
    errors
        .iter()
        .map(|e| match &e.help {
            Some(help) => format!("{e}\n  help: {help}\n"),
            None => format!("{e}\n"),
        })
        .collect()
}

#[test]
fn text_becomes_values_of_the_declared_types() {
    let playbook = playbook(
        "  s: {type: string}\n  i: {type: integer}\n  b: {type: boolean}\n  l: {type: list}\n  m: {type: map}\n  n: {type: node}\n  d: {type: duration}\n  z: {type: bytes}\n  p: {type: lsn}\n  k: {type: secret}\n  absent: {type: string}\n",
    );
    let given = given(&[
        ("s", "5"),
        ("i", "-5"),
        ("b", "true"),
        ("l", "a, b"),
        ("m", r#"{"a": [1]}"#),
        ("n", "node2"),
        ("d", "1m"),
        ("z", "16MiB"),
        ("p", "0/16B3748"),
        ("k", "env:TOKEN"),
    ]);
    let bound = bind(&playbook, &given, &names()).unwrap();
    assert_eq!(bound["s"], Value::from("5"));
    assert_eq!(bound["i"], Value::Integer(-5));
    assert_eq!(bound["b"], Value::Boolean(true));
    assert_eq!(bound["l"], Value::from(vec!["a", "b"]));
    assert_eq!(bound["m"].to_json(), serde_json::json!({"a": [1]}));
    assert_eq!(bound["n"], Value::from("node2"));
    assert_eq!(bound["d"], Value::Duration(Duration::from_mins(1)));
    assert_eq!(bound["z"], Value::Integer(16 << 20));
    assert_eq!(bound["p"].to_json(), "0/16B3748");
    assert_eq!(
        bound["k"],
        Value::Secret(SecretSource::Env("TOKEN".to_owned()))
    );
    assert_eq!(bound["absent"], Value::Null);
}

#[test]
fn lists_may_be_json() {
    let playbook = playbook("  l: {type: list}\n");
    let bound = |text| bind(&playbook, &given(&[("l", text)]), &names()).unwrap()["l"].to_json();
    assert_eq!(bound(r#"["a,b", 1]"#), serde_json::json!(["a,b", 1]));
    assert_eq!(bound(""), serde_json::json!([]));
}

#[test]
fn defaults_stand_in_and_may_ask_the_site_and_the_cluster() {
    let playbook = playbook(
        "  wait: {type: duration, default: \"{{ site.vars.wait }}\"}\n  node: {type: node, default: \"{{ cluster.primary }}\"}\n  mode: {type: string, enum: [fast, slow], default: slow}\n  nodes: {type: list, default: [x, \"{{ cluster.primary }}\"]}\n",
    );
    let bound = bind(&playbook, &Map::new(), &names()).unwrap();
    assert_eq!(bound["wait"], Value::Duration(Duration::from_secs(5)));
    assert_eq!(bound["node"], Value::from("node1"));
    assert_eq!(bound["mode"], Value::from("slow"));
    assert_eq!(bound["nodes"], Value::from(vec!["x", "node1"]));
    let given = given(&[("mode", "fast")]);
    assert_eq!(
        bind(&playbook, &given, &names()).unwrap()["mode"],
        Value::from("fast")
    );
}

#[test]
fn all_errors_come_at_once_and_never_hold_a_secret() {
    let playbook = playbook(
        "  node: {type: node, required: true, help: the standby that is to follow}\n  upstream: {type: node}\n  mode: {type: string, enum: [fast, immediate]}\n  loss: {type: bytes, default: 0B, sealed: true}\n  limit: {type: bytes, enum: [0B, 16MiB]}\n  wait: {type: duration}\n  count: {type: integer}\n  force: {type: boolean}\n  token: {type: secret}\n  other: {type: string, default: \"{{ params.other }}\"}\n  list: {type: list}\n  map: {type: map}\n",
    );
    let given = given(&[
        ("nod", "node1"),
        ("upstream", "node3"),
        ("mode", "fsat"),
        ("loss", "1GiB"),
        ("limit", "8MiB"),
        ("wait", "10"),
        ("count", "many"),
        ("force", "yes"),
        ("token", "hunter2"),
        ("list", "[1"),
        ("map", "a"),
    ]);
    let text = errors(&playbook, &given);
    assert!(!text.contains("hunter2"));
    insta::assert_snapshot!(text);
}

#[test]
fn values_that_are_no_text_must_be_of_the_type() {
    let playbook =
        playbook("  wait: {type: duration}\n  token: {type: secret}\n  n: {type: integer}\n");
    let mut given = Map::new();
    given.insert("wait".to_owned(), Value::Integer(5));
    given.insert("token".to_owned(), Value::Integer(12345));
    given.insert("n".to_owned(), Value::Integer(5));
    let text = errors(&playbook, &given);
    assert!(!text.contains("12345"));
    insta::assert_snapshot!(text);
}
