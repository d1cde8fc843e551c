//! The pages in `docs/` know every command, option, exit code, error code and kind of failure that there is.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use assert_cmd::Command;
use pgbaton::cluster::TroubleKind;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn page(name: &str) -> String {
    std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("docs")
            .join(name),
    )
    .unwrap()
}

fn help(words: &[&str]) -> String {
    let output = Command::cargo_bin("pgbaton")
        .unwrap()
        .args(words)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names in a section of a help text (`Commands:`): the first word of each of its lines.
fn listed(help: &str, section: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != section).skip(1);
    lines
        .take_while(|line| line.starts_with("  ") || line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .map(ToOwned::to_owned)
        .collect()
}

/// All `--options` of a help text.
fn options(help: &str) -> BTreeSet<String> {
    help.split(|c: char| c.is_whitespace() || "[]=,`'".contains(c))
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn every_command_and_option_is_on_the_commands_page() {
    let page = page("commands.md");
    let top = help(&[]);
    let commands = listed(&top, "Commands:");
    assert!(commands.len() > 8, "{commands:?}");
    let mut missing = Vec::new();
    for command in commands.iter().filter(|c| *c != "help") {
        if !page.contains(&format!("pgbaton {command}")) {
            missing.push(command.clone());
        }
        let own = help(&[command]);
        let inner = listed(&own, "Commands:");
        let texts = inner
            .iter()
            .filter(|c| *c != "help")
            .map(|inner| {
                if !page.contains(&format!("{command} {inner}")) {
                    missing.push(format!("{command} {inner}"));
                }
                help(&[command, inner])
            })
            .chain([own.clone()]);
        for option in texts
            .collect::<Vec<_>>()
            .iter()
            .flat_map(|text| options(text))
        {
            if !["--help", "--version"].contains(&option.as_str()) && !page.contains(&option) {
                missing.push(format!("{command} {option}"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "docs/commands.md does not have {missing:?}"
    );
}

#[test]
fn every_exit_code_is_on_its_page_and_in_the_help() {
    let page = page("exit-codes.md");
    let top = help(&[]);
    for code in [0, 1, 2, 3, 4, 5, 6, 130] {
        assert!(page.contains(&format!("| {code} |")), "{code}");
        assert!(top.contains(&format!("{code} ")), "{code}");
    }
}

#[test]
fn every_error_code_in_the_sources_is_on_the_errors_page_and_the_other_way_round() {
    let page = page("errors.md");
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .map(ToOwned::to_owned)
        .collect();
    let used = codes_in_sources();
    assert!(
        used.contains("duplicate-key"),
        "the search finds what is there"
    );
    let missing: Vec<_> = used.difference(&documented).collect();
    assert!(
        missing.is_empty(),
        "docs/errors.md does not have {missing:?}"
    );
    let kinds = kinds();
    let stale: Vec<_> = documented
        .iter()
        .filter(|code| {
            !used.contains(*code) && !kinds.contains(&code.as_str()) && *code != "sealed"
        })
        .collect();
    assert!(
        stale.is_empty(),
        "docs/errors.md has {stale:?}, which nothing uses"
    );
    for kind in kinds {
        assert!(
            documented.contains(kind),
            "docs/errors.md does not have the kind {kind}"
        );
    }
}

fn kinds() -> [&'static str; 7] {
    use TroubleKind::{Conflict, Denied, Failed, Timeout, Unknown, Unmet, Unreachable};
    [
        Unreachable,
        Timeout,
        Denied,
        Failed,
        Conflict,
        Unmet,
        Unknown,
    ]
    .map(TroubleKind::as_str)
}

/// Every text in the sources of the rooms that make diagnostics that looks like a code: small words with hyphens.
fn codes_in_sources() -> BTreeSet<String> {
    // Keys of other languages that are recognised, and words of the site file.
    const OTHER: [&str; 5] = [
        "continue-on-error",
        "timeout-minutes",
        "max-parallel",
        "verify-ca",
        "verify-full",
    ];
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    for room in ["document", "site", "playbook", "runs"] {
        rust_files(&source.join(room), &mut files);
    }
    let mut codes = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for literal in text.split('"') {
            let number = literal.strip_prefix("PB").unwrap_or_default();
            if number.len() == 3 && number.bytes().all(|b| b.is_ascii_digit()) {
                codes.insert(literal.to_owned());
            }
            let words: Vec<&str> = literal.split('-').collect();
            let word = |w: &&str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase());
            if words.len() > 1 && words.iter().all(word) && !OTHER.contains(&literal) {
                codes.insert(literal.to_owned());
            }
        }
    }
    codes
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "tests" {
                rust_files(&path, found);
            }
        } else if path.extension().is_some_and(|e| e == "rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}
