//! What an editor offers, tells and finds wrong in playbooks, overlays and site files: the real yaml-language-server, with the
//! committed schemas.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod editors_support;

use editors_support::Editor;
use pgbaton::actions::catalog;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The line at the head of a file by which an editor finds its schema.
fn modeline(schema: &str) -> String {
    let path = root().join(format!("schemas/{schema}.schema.json"));
    format!("# yaml-language-server: $schema={}\n", path.display())
}

/// A playbook whose second step goes on as given, and then the rest.
fn second_step(lines: &str) -> String {
    format!(
        "{}playbook: p\nversion: 1.0.0\nsteps:\n  a:\n    action: check_lsn\n    node: n1\n    with: {{ upstream: n2 }}\n  b:\n    {}\n",
        modeline("playbook"),
        lines.replace('\n', "\n    ")
    )
}

fn editor(folder: &Path) -> Editor {
    Editor::open(folder, &json!({}))
}

fn sorted(names: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
    names.sort();
    names
}

#[track_caller]
fn has(offered: &[String], wanted: &[&str]) {
    for word in wanted {
        assert!(offered.iter().any(|o| o == word), "{word}: {offered:?}");
    }
}

#[test]
fn the_actions_of_the_catalog_are_offered_with_what_they_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut editor = editor(folder.path());
    let items = editor.completion("p.yaml", &second_step("action: ‸"));
    let catalog = catalog();
    let label = |item: &Value| item["label"].as_str().unwrap().to_owned();
    assert_eq!(
        sorted(items.iter().map(label)),
        sorted(catalog.actions.keys().map(|name| (*name).to_owned()))
    );
    for item in &items {
        let signature = &catalog.actions[label(item).as_str()];
        assert_eq!(item["documentation"], signature.summary, "{item}");
    }
    let nested = "action: stop\nrescue:\n  c:\n    action: ch‸";
    has(
        &editor.offered("q.yaml", &second_step(nested)),
        &["check_lsn", "checkpoint"],
    );
}

#[test]
fn below_with_the_inputs_of_the_action_are_offered_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut editor = editor(folder.path());
    for signature in catalog().actions.values() {
        if signature.inputs.is_empty() {
            continue;
        }
        let step = format!("action: {}\nnode: n1\nwith:\n  ‸", signature.name);
        let mut offered = editor.offered("p.yaml", &second_step(&step));
        // All that must be there, at once, is one offer more.
        let all = format!("inputs of {}", signature.name);
        let whole = signature.inputs.iter().any(|input| input.required);
        assert_eq!(offered.contains(&all), whole, "{offered:?}");
        offered.retain(|label| *label != all);
        assert_eq!(
            offered,
            sorted(signature.inputs.iter().map(|input| input.name)),
            "{}",
            signature.name
        );
    }
    // In one line, from the first letter on.
    assert_eq!(
        editor.offered("q.yaml", &second_step("action: stop\nwith: { m‸ }")),
        ["escalate", "mode"]
    );
}

#[test]
fn values_are_offered_where_there_are_few_and_references_where_one_may_stand() {
    let folder = tempfile::tempdir().unwrap();
    let mut editor = editor(folder.path());
    let mut at = |step: &str| editor.offered("p.yaml", &second_step(step));
    has(
        &at("action: stop\nnode: n1\nwith:\n  mode: ‸"),
        &[
            "fast",
            "immediate",
            "kill",
            "terminate",
            "{{ params.mode }}",
        ],
    );
    has(
        &at("action: stop\nnode: n1\nwith:\n  escalate:\n    - ‸"),
        &["immediate", "kill", "terminate"],
    );
    has(
        &at("action: set_upstream\nnode: n1\nwith:\n  slot: ‸"),
        &["{{ params.slot }}", "{{ steps.create_slot.slot }}"],
    );
    has(
        &at("action: stop\nnode: ‸"),
        &["{{ item }}", "{{ params.NODE }}", "{{ steps.choose.node }}"],
    );
    has(
        &at("action: stop\non_failure: ‸"),
        &["continue", "degrade", "fail"],
    );
    has(
        &at("playbook: ‸"),
        &["failover", "follow", "rejoin", "switchover"],
    );
    has(
        &at("action: exec\neffect: once\nassume:\n  ‸"),
        &["exit_status", "stdout"],
    );
}

#[test]
fn expressions_are_offered_outputs_facts_and_kinds_of_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut editor = editor(folder.path());
    for signature in catalog().actions.values() {
        if signature.outputs.is_empty() {
            continue;
        }
        let step = format!("action: {}\nuntil: ‸", signature.name);
        let offered = editor.offered("p.yaml", &second_step(&step));
        let results = offered.iter().filter(|label| label.starts_with("result."));
        assert_eq!(
            results.cloned().collect::<Vec<_>>(),
            sorted(
                signature
                    .outputs
                    .iter()
                    .map(|output| format!("result.{}", output.name))
            ),
            "{}",
            signature.name
        );
    }
    let everywhere = [
        "cluster.primary",
        "cluster.nodes[NODE].role",
        "params.NAME",
        "run.passed",
        "steps.STEP.status == 'ok'",
        "steps.check_lsn.divergence",
        "steps.create_slot.slot",
    ];
    let mut at = |step: &str| editor.completion("p.yaml", &second_step(step));
    let when = at("action: stop\nnode: n1\nwhen: steps.‸");
    let labels: Vec<String> = when
        .iter()
        .map(|item| item["label"].as_str().unwrap().to_owned())
        .collect();
    has(&labels, &everywhere);
    // The name of the step is typed over: only whoever writes the file knows it.
    let offered = when
        .iter()
        .find(|item| item["label"] == "steps.check_lsn.divergence")
        .unwrap();
    assert_eq!(
        offered["textEdit"]["newText"],
        "steps.${1:check_lsn}.divergence"
    );
    let mut at = |step: &str| editor.offered("q.yaml", &second_step(step));
    has(&at("action: assert\nwith:\n  that: ‸"), &everywhere);
    has(
        &at("action: stop\nretry:\n  if: ‸"),
        &["error.kind == 'timeout'", "error.kind == 'unknown'"],
    );
    has(
        &at("action: stop\nfor_each:\n  items: ‸"),
        &["cluster.standbys", "cluster.orphans"],
    );
    let outputs = format!(
        "{}outputs:\n  lag: ‸\n",
        second_step("action: start\nnode: n1")
    );
    has(&editor.offered("r.yaml", &outputs), &everywhere);
}

#[test]
fn keys_and_values_of_site_files_and_overlays_are_offered() {
    let folder = tempfile::tempdir().unwrap();
    let mut editor = editor(folder.path());
    let site = modeline("site");
    let cluster = format!("{site}site: e\nclusters:\n  o:\n    ");
    let mut at = |text: &str| editor.offered("site.yaml", text);
    has(
        &at(&format!("{site}site: e\n‸\n")),
        &[
            "api", "clusters", "hooks", "journal", "notify", "overlays", "store", "vars",
        ],
    );
    has(
        &at(&format!("{cluster}‸\n")),
        &[
            "detector",
            "nodes",
            "replication",
            "sql",
            "ssh",
            "synchronous",
            "transport",
        ],
    );
    has(
        &at(&format!("{cluster}sql:\n      sslmode: ‸\n")),
        &["prefer", "verify-full"],
    );
    has(
        &at(&format!("{cluster}nodes:\n      n1:\n        ‸\n")),
        &["data", "host", "location", "priority", "promote", "service"],
    );
    has(
        &at(&format!("{cluster}detector:\n      ‸\n")),
        &["cooldown", "mode", "on_return", "silent"],
    );
    has(
        &at(&format!("{cluster}detector: ‸\n")),
        &["approve", "auto", "observe"],
    );

    let overlay = modeline("overlay");
    let mut at = |text: &str| editor.offered("overlay.yaml", text);
    has(
        &at(&format!("{overlay}overlay: ‸\n")),
        &["failover", "switchover"],
    );
    has(
        &at(&format!("{overlay}overlay: failover\n‸\n")),
        &["finally", "params", "rescue", "steps", "version"],
    );
    has(
        &at(&format!(
            "{overlay}overlay: failover\nsteps:\n  x:\n    ‸\n"
        )),
        &["action", "disable", "needed_by", "needs", "sealed"],
    );
    assert_eq!(
        at(&format!(
            "{overlay}overlay: failover\nsteps:\n  x:\n    action: exec\n    with:\n      ‸\n"
        )),
        ["argv", "env", "stdin"]
    );
}

#[test]
fn whoever_points_at_a_word_is_told_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut editor = editor(folder.path());
    let site = modeline("site");
    let cases = [
        (
            second_step("action: check‸_lsn\nnode: n1"),
            "Compare a node with its future upstream",
        ),
        (
            second_step("action: stop\nnode: n1\nwith:\n  mo‸de: fast"),
            "unless given",
        ),
        (
            second_step("action: stop\nnode: n1\nwh‸en: true"),
            "Skipping does not spread",
        ),
        (
            format!("{site}site: e\nclusters:\n  o:\n    sq‸l: {{ user: a }}\n"),
            "How pgbaton logs in",
        ),
        (
            format!(
                "{}overlay: failover\nsteps:\n  x:\n    needed‸_by: [a]\n",
                modeline("overlay")
            ),
            "Steps that are to wait for this one",
        ),
    ];
    for (text, told) in cases {
        let hover = editor.hover("h.yaml", &text);
        assert!(hover.contains(told), "{told}: {hover}");
    }
}

/// A file in which the line with `⟵` is wrong, and a part of what is said there.
fn slips() -> Vec<(String, &'static str)> {
    let site = format!("{}site: e\nclusters:\n  o:\n", modeline("site"));
    let overlay = format!("{}overlay: failover\nsteps:\n", modeline("overlay"));
    vec![
        (second_step("action: stpo ⟵\nnode: n1"), "\"stop\""),
        (
            second_step("action: stop\nnode: n1\nwith:\n  mdoe: fast ⟵"),
            "mdoe",
        ),
        (
            second_step("action: stop\nnode: n1\nwith:\n  mode: slow ⟵"),
            "\"immediate\"",
        ),
        (
            second_step("action: stop\nnode: n1\ndepends_on: [a] ⟵"),
            "depends_on",
        ),
        (
            second_step("action: stop\nnode: n1\ntimeout: 10 ⟵"),
            "string",
        ),
        (
            second_step("action: stop\nnode: n1\neffect: once ⟵"),
            "effect",
        ),
        (
            format!(
                "{site}    sql: {{ user: a }}\n    nodes:\n      n1: {{ host: a }}\n    nods: {{}} ⟵\n"
            ),
            "nods",
        ),
        (
            format!(
                "{site}    sql:\n      user: a\n      sslmode: sometimes ⟵\n    nodes:\n      n1: {{ host: a }}\n"
            ),
            "\"verify-full\"",
        ),
        (format!("{overlay}  x: {{ neds: [a] }} ⟵\n"), "neds"),
        (
            format!("{overlay}  x:\n    action: exec\n    effect: sometimes ⟵\n"),
            "\"idempotent\"",
        ),
    ]
}

#[test]
fn slips_are_found_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut editor = editor(folder.path());
    for (index, (text, said)) in slips().into_iter().enumerate() {
        let line = text.lines().position(|line| line.ends_with(" ⟵")).unwrap() as u64 + 1;
        let text = text.replace(" ⟵", "");
        let found = editor.diagnostics(&format!("{index}.yaml"), &text);
        let [(at, message)] = &found[..] else {
            panic!("{text}{found:?}");
        };
        assert_eq!(*at, line, "{text}{found:?}");
        assert!(message.contains(said), "{text}{found:?}");
    }
}

#[test]
fn stock_playbooks_and_examples_are_clean_and_looked_at() {
    let mut editor = editor(&root());
    let mut files: Vec<PathBuf> = ["playbooks", "docs/examples/overlays"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(root().join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() > 6, "{files:?}");
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.display().to_string();
        assert_eq!(editor.diagnostics(&name, &text), [], "{name}");
        // A schema that is not found finds nothing wrong: with a slip, something is.
        let beside = path.with_file_name("slip.yaml").display().to_string();
        let slip = text.replacen("\nsteps:", "\nstpes:", 1);
        let beside = format!("{beside}-{}.yaml", path.file_stem().unwrap().display());
        let found = editor.diagnostics(&beside, &slip);
        assert!(
            found.iter().any(|(_, message)| message.contains("stpes")),
            "{name}: {found:?}"
        );
    }
}

/// The first block of this language behind the heading of a page.
fn block(page: &str, heading: &str, language: &str) -> String {
    let (_, behind) = page.split_once(heading).expect("the heading is there");
    let (_, block) = behind
        .split_once(&format!("```{language}\n"))
        .expect("a block is there");
    block.split_once("\n```").unwrap().0.to_owned()
}

#[test]
fn the_settings_that_the_page_shows_tell_each_file_its_schema() {
    let page = std::fs::read_to_string(root().join("docs/editors.md")).unwrap();
    let settings: Value = serde_json::from_str(&block(&page, "## VS Code", "json")).unwrap();
    let shown = settings["yaml.schemas"].as_object().unwrap();
    assert_eq!(shown.len(), 3);
    let folder = root().join("schemas").display().to_string();
    let schemas: serde_json::Map<String, Value> = shown
        .iter()
        .map(|(path, files)| {
            let here = path.replace("/etc/pgbaton/schemas", &folder);
            assert!(Path::new(&here).is_file(), "{path}");
            (here, files.clone())
        })
        .collect();
    // Patterns of files pass over folders whose name begins with a dot.
    let place = tempfile::Builder::new().prefix("site-").tempdir().unwrap();
    let mut editor = Editor::open(place.path(), &json!({ "schemas": schemas }));
    editor.wait_for_settings("site.yaml", "site: e\n‸\n");
    has(
        &editor.offered("site.yaml", "site: e\n‸\n"),
        &["clusters", "notify"],
    );
    has(
        &editor.offered("overlays/10-vip.yaml", "overlay: failover\n‸\n"),
        &["params", "waive"],
    );
    has(
        &editor.offered("playbooks/own.yaml", "playbook: own\n‸\n"),
        &["defaults", "waive"],
    );
    // A file of tests is none of the three.
    let tests = "tests: failover\ncases: {}\n";
    assert_eq!(editor.diagnostics("playbooks/own.test.yaml", tests), []);
    assert_ne!(editor.diagnostics("playbooks/other.yaml", tests), []);
}
