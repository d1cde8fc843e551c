//! The committed schemas are what the code says, and the stock playbooks keep to them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The stock playbooks, by file.
fn stock() -> Vec<(PathBuf, String)> {
    let mut found: Vec<_> = std::fs::read_dir(root().join("playbooks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "there are stock playbooks");
    found
}

#[test]
fn the_committed_schema_of_playbooks_is_not_stale() {
    let path = root().join("schemas/playbook.schema.json");
    let schema = pgbaton::playbook::schema(&pgbaton::actions::catalog());
    let now = format!("{schema:#}\n");
    if std::env::var_os("PGBATON_BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == now,
        "schemas/playbook.schema.json is stale; PGBATON_BLESS=1 cargo test --test schemas writes it"
    );
}

#[test]
fn the_committed_schema_of_overlays_is_not_stale() {
    let path = root().join("schemas/overlay.schema.json");
    let schema = pgbaton::playbook::overlay_schema(&pgbaton::actions::catalog());
    let now = format!("{schema:#}\n");
    if std::env::var_os("PGBATON_BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == now,
        "schemas/overlay.schema.json is stale; PGBATON_BLESS=1 cargo test --test schemas writes it"
    );
}

/// What the loader takes as an overlay of `failover`, the schema takes; slips that both can see, neither takes.
#[test]
fn the_schema_of_overlays_and_the_loader_agree() {
    use pgbaton::document::{Diagnostics, Source};
    let schema = pgbaton::playbook::overlay_schema(&pgbaton::actions::catalog());
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let example = include_str!("../docs/examples/overlays/10-vip.yaml");
    let judge = |text: &str| {
        let overlay: serde_json::Value = serde_yaml::from_str(text).unwrap();
        let stock = pgbaton::runs::stock_playbook("failover").unwrap();
        let whole = Source::layered(&[stock, Source::new("o.yaml", text)]);
        let mut diagnostics = Diagnostics::default();
        pgbaton::playbook::load(&whole, &mut diagnostics);
        (validator.is_valid(&overlay), !diagnostics.has_errors())
    };
    for good in [
        example,
        "overlay: failover\n",
        "overlay: failover\nfinally: { timeout: 2m }\nrescue: { tell: { action: notify, with: { message: x } } }\n",
        "overlay: failover\nsteps: { fence: { action: fence, with: { patience: 3s } }, follow: { rescue: { timeout: 5s, steps: { a: { action: wait, with: { for: 1s } } } } } }\n",
        "overlay: failover\nparams: { apply: { enum: [restart], default: restart, sealed: true }, own: { type: string } }\n",
    ] {
        assert_eq!(judge(good), (true, true), "{good}");
    }
    for (from, to) in [
        ("overlay: failover", "overlays: failover"),
        ("steps:", "stpes:"),
        ("default: 0B", "default: [0B]\n    type: bytes"),
        ("needed_by: [follow]", "needed_by: { follow: true }"),
        ("max_parallel: 2", "max_parallel: two"),
        ("timeout: 10s", "timeout: 10"),
        ("action: exec", "action: exce"),
        ("effect: idempotent", "effect: sometimes"),
        (
            "disable: \"repmgr is not used here, OPS-4711\"",
            "disable: true",
        ),
        (
            "disable: \"repmgr is not used here, OPS-4711\"",
            "disable: \"\"",
        ),
    ] {
        let slip = example.replacen(from, to, 1);
        assert_ne!(slip, example, "{from} is in the example");
        let slip = slip.replace(
            "{ default: [0B]\n    type: bytes, sealed: true }",
            "{ default: [0B], type: bytes, sealed: true }",
        );
        let (schema, loader) = judge(&slip);
        assert!(!schema, "{to}");
        // Whether there is such an action is for the catalog to say.
        assert!(!loader || to.contains("exce"), "{to}");
    }
}

#[test]
fn stock_playbooks_keep_to_the_committed_schema() {
    let text = std::fs::read_to_string(root().join("schemas/playbook.schema.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (path, text) in stock() {
        let playbook: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let problems: Vec<String> = validator
            .iter_errors(&playbook)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(problems.is_empty(), "{}: {problems:#?}", path.display());
    }
}

#[test]
fn a_slip_in_a_stock_playbook_is_refused_by_the_committed_schema() {
    let text = std::fs::read_to_string(root().join("schemas/playbook.schema.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let failover = std::fs::read_to_string(root().join("playbooks/failover.yaml")).unwrap();
    for (from, to) in [
        ("action: promote", "action: promot"),
        ("proofs: [stopped]", "proof: [stopped]"),
        ("timeout: 15s", "timeout: 15"),
    ] {
        let slip = failover.replacen(from, to, 1);
        assert_ne!(slip, failover, "{from} is in the playbook");
        let playbook: serde_json::Value = serde_yaml::from_str(&slip).unwrap();
        assert!(!validator.is_valid(&playbook), "{to}");
    }
}

#[test]
fn editors_find_the_schema_by_the_first_line_of_each_stock_playbook() {
    for (path, text) in stock() {
        let first = text.lines().next().unwrap_or_default();
        let Some(schema) = first.strip_prefix("# yaml-language-server: $schema=") else {
            panic!("{}: {first}", path.display());
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        assert!(
            folder.join(schema).is_file(),
            "{}: {schema}",
            path.display()
        );
    }
}

/// What editors offer to type over, with what stands in its place: `${1:name}`, `${1|one,other|}`.
fn filled(body: &str) -> String {
    let mut text = String::new();
    let mut rest = body;
    while let Some((before, behind)) = rest.split_once("${") {
        let (place, behind) = behind.split_once('}').unwrap();
        let words = place.trim_start_matches(|c: char| c.is_ascii_digit());
        let first = words.trim_matches([':', '|']).split(',').next().unwrap();
        text.push_str(before);
        text.push_str(first);
        rest = behind;
    }
    text + rest
}

/// An expression that an editor offers and `validate` refuses would be worse than none.
#[test]
fn what_editors_offer_as_facts_the_checker_knows() {
    use pgbaton::document::{Diagnostics, Source};
    use std::fmt::Write as _;
    let schema = pgbaton::playbook::schema(&pgbaton::actions::catalog());
    let offered = schema["$defs"]["reference"]["defaultSnippets"]
        .as_array()
        .unwrap();
    let bodies: Vec<String> = offered
        .iter()
        .map(|one| filled(one["body"].as_str().unwrap()))
        .collect();
    let facts: Vec<&String> = bodies.iter().filter(|b| !b.starts_with("steps.")).collect();
    assert!(facts.len() > 10, "{bodies:?}");
    let mut playbook = "playbook: p\nparams: { name: { type: string, default: a }, node: { type: node, required: true } }\n\
        steps: { step: { action: wait, with: { for: 1s } } }\noutputs:\n"
        .to_owned();
    for (number, body) in facts
        .into_iter()
        .chain(bodies.iter().filter(|b| b.starts_with("steps.step.")))
        .enumerate()
    {
        writeln!(playbook, "  o{number}: {body}").unwrap();
    }
    let mut found = Diagnostics::default();
    let shelves = pgbaton::runs::Shelves::beside(None);
    pgbaton::playbook::check(
        &Source::new("p.yaml", playbook.as_str()),
        &pgbaton::actions::catalog(),
        &shelves,
        &mut found,
    );
    assert!(!found.has_errors(), "{playbook}{found:?}");
}

/// The names that editors offer for `playbook` and `overlay`.
#[test]
fn the_stock_playbooks_are_offered_by_name() {
    let names: Vec<&str> = pgbaton::runs::stock_playbooks()
        .iter()
        .map(|stock| stock.name)
        .collect();
    let catalog = pgbaton::actions::catalog();
    let step = &pgbaton::playbook::schema(&catalog)["$defs"]["step"]["properties"];
    assert_eq!(step["playbook"]["examples"], serde_json::json!(names));
    let overlay = &pgbaton::playbook::overlay_schema(&catalog)["properties"];
    assert_eq!(overlay["overlay"]["examples"], serde_json::json!(names));
}
