//! The command line from outside: what it prints where, and its exit codes. No cluster is needed.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use assert_cmd::Command;
use std::path::Path;

/// What the binary said.
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

fn pgbaton(folder: &Path, words: &[&str]) -> Said {
    let output = Command::cargo_bin("pgbaton")
        .unwrap()
        .args(words)
        .current_dir(folder)
        .env("LC_ALL", "C.UTF-8")
        .env_remove("PGBATON_SITE")
        .env_remove("PGBATON_LOG")
        .env_remove("NO_COLOR")
        .output()
        .unwrap();
    Said {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

const BAD: &str = "playbook: bad
timeout: 10
steps:
  one:
    action: wait
    whenn: true
  two:
    needs: [three]
    action: no_such_action
";

#[test]
fn without_arguments_there_is_help_and_exit_code_2() {
    let said = pgbaton(folder(&[]).path(), &[]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    for command in [
        "validate",
        "run",
        "status",
        "graph",
        "playbook",
        "lab",
        "demo",
        "schema",
        "completions",
    ] {
        assert!(
            said.stderr.contains(&format!("\n  {command} ")),
            "{command}"
        );
    }
}

#[test]
fn asked_for_help_is_data() {
    for words in [&["--help"][..], &["help", "run"], &["--version"]] {
        let said = pgbaton(folder(&[]).path(), words);
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{words:?}");
        assert!(!said.stdout.is_empty());
    }
}

#[test]
fn a_mistyped_command_gets_a_suggestion() {
    let said = pgbaton(folder(&[]).path(), &["statsu"]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    assert!(said.stderr.contains("'status'"), "{}", said.stderr);
}

#[test]
fn what_is_not_there_is_exit_code_2_with_advice() {
    let empty = folder(&[]);
    for (words, named) in [
        (&["--site", "nowhere.yaml", "status"][..], "nowhere.yaml"),
        (
            &["--site", "nowhere.yaml", "run", "failover"],
            "nowhere.yaml",
        ),
        (&["graph", "failovr"], "failovr"),
        (&["playbook", "show", "x.yaml"], "x.yaml"),
        (&["validate", "x.yaml"], "x.yaml"),
        (&["run", "failover", "-p", "max_loss"], "name=value"),
        (&["--log-level", "nonsense", "validate"], "nonsense"),
        (&["lab", "fault", "maim", "n1"], "maim"),
        (&["lab", "status", "--name", "no-such-lab"], "no-such-lab"),
    ] {
        let said = pgbaton(empty.path(), words);
        assert_eq!(said.code, 2, "{words:?}: {}", said.stderr);
        let all = said.stdout + &said.stderr;
        assert!(all.contains(named), "{words:?}: {all}");
    }
}

#[test]
fn validate_shows_all_errors_of_all_files_at_once() {
    let files = folder(&[
        ("bad.yaml", BAD),
        (
            "good.yaml",
            "playbook: good\nsteps:\n  one: { action: wait, with: { for: 1s } }\n",
        ),
        (
            "site.yaml",
            "site: east\nclusters:\n  orders:\n    nods: {}\n",
        ),
    ]);
    let said = pgbaton(
        files.path(),
        &["validate", "bad.yaml", "good.yaml", "site.yaml"],
    );
    assert_eq!(said.code, 2);
    for code in [
        "bad-duration",
        "unknown-key",
        "unknown-step",
        "unknown-action",
        "missing-key",
    ] {
        assert!(
            said.stderr.contains(&format!("[{code}]")),
            "{code}: {}",
            said.stderr
        );
    }
    assert!(
        said.stderr.contains("bad.yaml:6:5"),
        "file, line and column: {}",
        said.stderr
    );
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "a line for each file: {lines:?}");
    assert!(
        lines[0].starts_with("bad.yaml: playbook invalid:"),
        "{lines:?}"
    );
    assert_eq!(lines[1], "good.yaml: playbook ok");
    assert!(
        lines[2].starts_with("site.yaml: site file invalid:"),
        "{lines:?}"
    );
}

#[test]
fn validate_as_json_is_data_alone() {
    let files = folder(&[("bad.yaml", BAD)]);
    let said = pgbaton(files.path(), &["--json", "validate", "bad.yaml"]);
    assert_eq!((said.code, said.stderr.as_str()), (2, ""));
    let json: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let file = &json["files"][0];
    assert_eq!(
        (&file["file"], &file["ok"]),
        (&"bad.yaml".into(), &false.into())
    );
    let first = &file["diagnostics"][0];
    assert!(first["line"].is_u64() && first["column"].is_u64() && first["code"].is_string());
}

#[test]
fn the_stock_playbooks_are_valid() {
    let said = pgbaton(folder(&[]).path(), &["validate"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let stock = [
        "approved_failover",
        "failover",
        "follow",
        "rejoin",
        "restart",
        "switchover",
        "synchronous",
    ];
    for name in stock {
        let line = format!("<stock>/{name}.yaml: playbook ok");
        assert!(said.stdout.lines().any(|l| l == line), "{}", said.stdout);
    }
}

#[test]
fn a_run_of_a_playbook_with_errors_touches_nothing() {
    let site = "site: east
clusters:
  orders:
    product: postgresql
    sql: { user: postgres, dbname: postgres }
    replication: { user: postgres }
    transport: local
    defaults: { data: /nowhere/data, bin: /nowhere/bin }
    nodes:
      n1: { host: 127.0.0.1, port: 1 }
      n2: { host: 127.0.0.1, port: 2 }
";
    let files = folder(&[("bad.yaml", BAD), ("site.yaml", site)]);
    let said = pgbaton(files.path(), &["run", "./bad.yaml"]);
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (2, ""),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("unknown-key"), "{}", said.stderr);
    assert!(
        said.stderr
            .contains("error: playbook ./bad.yaml has errors"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_playbook_of_ones_own_wins_over_the_stock_one() {
    let own = "playbook: failover\nsummary: my very own\nsteps:\n  one: { action: wait, with: { for: 1s } }\n";
    let files = folder(&[("playbooks/failover.yaml", own)]);
    let said = pgbaton(files.path(), &["playbook", "show", "failover"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, own));
    let said = pgbaton(files.path(), &["--json", "playbook", "list"]);
    let json: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let all = json.as_array().unwrap();
    let failover = all.iter().find(|p| p["name"] == "failover").unwrap();
    assert_eq!(failover["summary"], "my very own");
    assert!(
        all.iter().any(|p| p["name"] == "switchover"),
        "the stock is there too"
    );
}

#[test]
fn the_parameters_of_a_playbook_do_not_spoil_its_text() {
    let said = pgbaton(folder(&[]).path(), &["playbook", "show", "failover"]);
    assert_eq!(said.code, 0);
    assert!(said.stdout.contains("playbook: failover") && !said.stdout.contains("Parameters"));
    assert!(said.stderr.contains("max_loss (bytes)"), "{}", said.stderr);
}

#[test]
fn graphs_are_drawn_in_every_format() {
    let empty = folder(&[]);
    for (format, begins) in [
        ("mermaid", "flowchart TD\n"),
        ("dot", "digraph \"failover\" {\n"),
        ("svg", "<svg "),
    ] {
        let said = pgbaton(empty.path(), &["graph", "failover", "--format", format]);
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{format}");
        assert!(said.stdout.starts_with(begins), "{format}");
        for step in ["promote", "verify_attach"] {
            assert!(
                said.stdout.contains(step),
                "{format}: {step}, also of the nested playbook"
            );
        }
    }
}

#[test]
fn schemas_are_json_that_a_validator_takes() {
    let empty = folder(&[]);
    for of in ["playbook", "site"] {
        let said = pgbaton(empty.path(), &["schema", of]);
        assert_eq!(said.code, 0);
        let schema: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        jsonschema::validator_for(&schema).unwrap();
    }
}

#[test]
fn completions_know_the_commands() {
    let empty = folder(&[]);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = pgbaton(empty.path(), &["completions", shell]);
        assert_eq!(said.code, 0, "{shell}");
        assert!(said.stdout.contains("validate"), "{shell}");
    }
}

#[test]
fn colours_follow_the_wish() {
    let files = folder(&[("bad.yaml", BAD)]);
    let escape = '\u{1b}';
    let said = pgbaton(files.path(), &["validate", "bad.yaml"]);
    assert!(!said.stderr.contains(escape), "none in a pipe");
    let said = pgbaton(files.path(), &["--color", "always", "validate", "bad.yaml"]);
    assert!(said.stderr.contains(escape) && said.stdout.contains(escape));
}
