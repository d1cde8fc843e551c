//! The manual that `pgbaton man` writes: a page for each command, which man takes without a warning.
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use assert_cmd::Command;
use std::collections::BTreeSet;
use std::path::Path;

fn written(folder: &Path) -> BTreeSet<String> {
    let mut command = Command::cargo_bin("pgbaton").unwrap();
    command.arg("man").arg(folder).assert().success().stdout("");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// What the page of each command is called, the commands of commands too.
fn pages(command: &clap::Command, name: &str, found: &mut BTreeSet<String>) {
    found.insert(format!("{name}.1"));
    for inner in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        pages(inner, &format!("{name}-{}", inner.get_name()), found);
    }
}

/// A page as a terminal of 80 columns shows it, and what man had to say about it.
fn shown(page: &Path) -> (String, String) {
    let done = std::process::Command::new("man")
        .args(["--warnings", "--encoding=UTF-8", "--local-file"])
        .arg(page)
        .envs([
            ("LC_ALL", "C.UTF-8"),
            ("MANWIDTH", "80"),
            ("MANPAGER", "cat"),
        ])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", page.display());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(done.stdout), text(done.stderr))
}

#[test]
fn every_command_has_a_page_that_man_takes_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("share/man/man1");
    let mut wanted = BTreeSet::new();
    pages(&pgbaton::cli::arguments(), "pgbaton", &mut wanted);
    assert!(wanted.contains("pgbaton-runs-list.1"), "{wanted:?}");
    assert_eq!(written(&folder), wanted);
    for page in wanted {
        let (text, warnings) = shown(&folder.join(&page));
        assert_eq!(warnings, "", "{page}");
        let title = page.trim_end_matches(".1");
        assert!(text.starts_with(&format!("{}(1)", title.to_uppercase())));
        assert!(text.contains(&format!("\n       {title} - ")), "{text}");
        assert!(text.contains("--site <FILE>"), "{text}");
    }
    let (first, _) = shown(&folder.join("pgbaton.1"));
    for said in [
        "EXIT STATUS",
        "3 refused",
        "PGBATON_SITE",
        "pgbaton-runs(1)",
        "/etc/pgbaton/site.yaml",
    ] {
        assert!(first.contains(said), "{said}: {first}");
    }
    // They are written again as they are; a place that cannot be is told.
    assert!(!written(&folder).is_empty());
    let mut wrong = Command::cargo_bin("pgbaton").unwrap();
    let wrong = wrong.args(["man", "/dev/null/man"]).assert().code(1);
    let said = String::from_utf8_lossy(&wrong.get_output().stderr).into_owned();
    assert!(
        said.contains("the manual cannot be written to /dev/null/man"),
        "{said}"
    );
}
