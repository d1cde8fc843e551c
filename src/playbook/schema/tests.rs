use super::{parts::RESERVED, schema};
use crate::document::{Diagnostics, Source};
use crate::playbook::load::examples::{EVERYTHING, FOLLOW};
use crate::playbook::{Catalog, EffectClass, Field, NodeRule, Signature, StepId, Type, load};
use jsonschema::Validator;
use std::time::Duration;

fn signature(name: &'static str, node: NodeRule, inputs: Vec<Field>) -> (&'static str, Signature) {
    let signature = Signature {
        name,
        summary: "Does it.",
        node,
        inputs,
        outputs: vec![Field::optional("stdout", Type::String, "")],
        effect: (!matches!(name, "exec")).then_some(EffectClass::Idempotent),
        roles: Vec::new(),
        timeout: Duration::from_secs(10),
    };
    (name, signature)
}

fn catalog() -> Catalog {
    let upstream = || Field::required("upstream", Type::Node, "Whom to follow.");
    Catalog {
        actions: [
            signature("check_lsn", NodeRule::Required, vec![upstream()]),
            signature(
                "create_slot",
                NodeRule::Required,
                vec![Field::required("for", Type::Node, "")],
            ),
            signature("rewind", NodeRule::Required, vec![upstream()]),
            signature(
                "set_upstream",
                NodeRule::Required,
                vec![upstream(), Field::optional("slot", Type::String, "")],
            ),
            signature(
                "stop",
                NodeRule::Required,
                vec![
                    Field::optional("mode", Type::String, "").one_of(&["fast", "immediate"]),
                    Field::optional("escalate", Type::List, "").one_of(&["immediate", "kill"]),
                    Field::optional("grace", Type::Duration, ""),
                ],
            ),
            signature("start", NodeRule::Required, vec![]),
            signature("verify_attach", NodeRule::Required, vec![upstream()]),
            signature(
                "exec",
                NodeRule::Optional,
                vec![
                    Field::required("argv", Type::List, ""),
                    Field::optional("env", Type::Map, ""),
                    Field::optional("token", Type::Secret, ""),
                ],
            ),
            signature(
                "notify",
                NodeRule::Refused,
                vec![
                    Field::optional("text", Type::String, ""),
                    Field::optional("size", Type::Bytes, ""),
                ],
            ),
        ]
        .into(),
    }
}

fn validator() -> Validator {
    let schema = schema(&catalog());
    assert!(jsonschema::meta::is_valid(&schema));
    jsonschema::validator_for(&schema).unwrap()
}

fn problems(validator: &Validator, yaml: &str) -> Vec<String> {
    let json: serde_json::Value = serde_yaml::from_str(yaml).unwrap();
    validator
        .iter_errors(&json)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect()
}

#[test]
fn what_the_loader_reads_the_schema_accepts() {
    let validator = validator();
    for yaml in [FOLLOW, EVERYTHING] {
        assert_eq!(problems(&validator, yaml), Vec::<String>::new());
    }
}

#[test]
fn mistakes_in_the_example_are_refused_by_both() {
    let validator = validator();
    let changes = [
        ("playbook: follow", "playbok: follow"),
        ("playbook: follow", "playbook: Follow It"),
        ("version: 1.0.0", "version: 1.0"),
        ("type: node", "type: nod"),
        ("required: true", "required: yes please"),
        ("required: true", "required: true, default: n1"),
        ("timeout: 10m", "timeout: 10"),
        ("timeout: 90s", "timeout: 90 s"),
        ("timeout: 90s", "timeout: 1s1h"),
        ("needs: [check_lsn]", "need: [check_lsn]"),
        ("needs: [check_lsn]", "needs: [Check]"),
        ("action: rewind", "acton: rewind"),
        ("attempts: 3", "attempts: 0"),
        ("factor: 2", "factor: half"),
        ("delay: 2s", "dealy: 2s"),
        ("  create_slot:", "  create-slot:"),
        ("  create_slot:", "  while:"),
        (
            "when: steps.check_lsn.divergence == 'rewindable'",
            "when: \"{{ steps.a.b }}\"",
        ),
        (
            "when: steps.check_lsn.divergence == 'rewindable'",
            "when: [a]",
        ),
        ("default: fast", "default: [fast]"),
        ("action: start", "action: start\n    playbook: p"),
        ("action: start", "action: start\n    sealed: maybe"),
        ("action: start", "action: start\n    on_failure: ignore"),
        (
            "action: start",
            "action: start\n    rescue: { timeout: 5s }",
        ),
        (
            "action: start",
            "action: start\n    for_each: { item: [a] }",
        ),
        (
            "action: start",
            "action: start\n    for_each: { items: [a], max_failures: 101% }",
        ),
    ];
    for (from, to) in changes {
        let yaml = FOLLOW.replacen(from, to, 1);
        assert_ne!(yaml, FOLLOW, "{from}");
        assert_ne!(problems(&validator, &yaml), Vec::<String>::new(), "{to}");
        let mut diagnostics = Diagnostics::default();
        load(&Source::new("x.yaml", yaml), &mut diagnostics);
        assert!(diagnostics.has_errors(), "{to}");
    }
}

#[test]
fn what_an_action_allows_is_in_the_schema() {
    let validator = validator();
    let steps = [
        (
            "action: stop, node: n, with: { mode: fast, grace: 5s }",
            true,
        ),
        (
            "action: stop, node: n, with: { mode: \"{{ params.m }}\", grace: \"{{ params.g }}\" }",
            true,
        ),
        (
            "action: stop, node: n, with: { escalate: [kill, \"{{ params.m }}\"] }",
            true,
        ),
        ("action: stop, node: n, with: { mode: slow }", false),
        ("action: stop, node: n, with: { escalate: [nuke] }", false),
        ("action: stop, node: n, with: { grace: 5 }", false),
        ("action: stop, node: n, with: { mdoe: fast }", false),
        ("action: stop", false),
        ("action: stpo, node: n", false),
        ("action: check_lsn, node: n", false),
        ("action: check_lsn, node: n, with: { }", false),
        ("action: stop, node: n, effect: once", false),
        ("action: notify, node: n", false),
        ("action: notify, with: { size: 16MiB }", true),
        ("action: notify, with: { size: 16 }", false),
        ("action: exec, with: { argv: [a] }", false),
        ("action: exec, with: { argv: [a] }, effect: once", true),
        (
            "action: exec, with: { argv: [a], env: { A: b }, token: \"env:T\" }, effect: once, probe: { argv: [b] }",
            true,
        ),
        (
            "action: exec, with: { argv: [a], token: hunter2 }, effect: once",
            false,
        ),
        (
            "action: exec, with: { argv: [a] }, effect: once, probe: { args: [b] }",
            false,
        ),
        (
            "action: exec, with: { argv: [a] }, effect: once, assume: { stdout: x }",
            true,
        ),
        (
            "action: exec, with: { argv: [a] }, effect: once, assume: { stdot: x }",
            false,
        ),
        (
            "playbook: follow, with: { node: n, list: [a, { b: c }] }",
            true,
        ),
        ("playbook: follow, node: n", false),
        ("playbook: follow, effect: once", false),
    ];
    for (step, good) in steps {
        let yaml = format!("playbook: p\nsteps: {{ s: {{ {step} }} }}\n");
        let found = problems(&validator, &yaml);
        assert_eq!(found.is_empty(), good, "{step}: {found:?}");
    }
}

#[test]
fn durations_of_the_schema_are_those_of_the_loader() {
    let validator = validator();
    for text in [
        "1s",
        "1.5s",
        "1h30m",
        "1d2h3m4s5ms",
        "1m1.5s",
        "30m1h",
        "1s1s",
        "1.5h30m",
        "s",
        "1",
        "1 s",
        "1w",
        "-1s",
    ] {
        let yaml =
            format!("playbook: p\ntimeout: \"{text}\"\nsteps: {{ s: {{ action: notify }} }}\n");
        assert_eq!(
            problems(&validator, &yaml).is_empty(),
            crate::playbook::parse_duration(text).is_some(),
            "{text}"
        );
    }
}

#[test]
fn reserved_words_are_those_of_the_model() {
    for word in RESERVED {
        assert!(StepId::parse(word).is_none(), "{word}");
    }
    assert!(StepId::parse("stop").is_some());
}
