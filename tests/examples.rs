//! All of `docs/examples/`: what stands there can be laid over the stock playbooks, passes its own tests, and breaks nothing
//! in a rehearsal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

use pgbaton::actions::catalog;
use pgbaton::cluster::SyncMode;
use pgbaton::document::Diagnostics;
use pgbaton::playbook::check;
use pgbaton::rehearse::{Effort, Situation, Subject, explore};
use pgbaton::runs::{Shelves, cluster_of, site_vars};
use pgbaton::site::Site;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples")
}

/// The folders that are an example of a site.
fn sites() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(examples()).unwrap();
    let folders = entries.map(|entry| entry.unwrap().path());
    let mut sites: Vec<PathBuf> = folders.filter(|f| f.join("site.yaml").is_file()).collect();
    sites.sort();
    assert!(sites.len() > 6, "{sites:?}");
    sites
}

/// Runs the binary in the folder, with its site file.
fn pgbaton(site: &Path, words: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pgbaton"))
        .args(["--site", "site.yaml"])
        .args(words)
        .current_dir(site)
        .env("NO_COLOR", "1")
        .env_remove("PGBATON_SITE")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output, text)
}

/// The playbooks that an example has overlays of: the names of its files are theirs.
fn overlaid(site: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(site.join("overlays")).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    files
        .map(|file| {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(
                text.lines().any(|line| line == format!("overlay: {name}")),
                "{} is of another playbook",
                file.display()
            );
            assert!(
                text.contains("\nversion: \">=1.0, <2\"\n"),
                "{} does not say which versions it is for",
                file.display()
            );
            name
        })
        .collect()
}

#[test]
fn every_overlay_is_valid_on_its_stock_playbook_and_changes_it() {
    for site in sites() {
        let (output, text) = pgbaton(&site, &["validate"]);
        assert!(output.status.success(), "{}: {text}", site.display());
        assert!(!text.contains("warning"), "{}: {text}", site.display());
        for playbook in overlaid(&site) {
            let laid = format!("<stock>/{playbook}.yaml + overlays/{playbook}.yaml: playbook ok");
            assert!(text.contains(&laid), "{laid}: {text}");
        }
    }
}

#[test]
fn every_example_has_a_page_and_passes_tests_of_its_own() {
    let index = std::fs::read_to_string(examples().join("README.md")).unwrap();
    for site in sites() {
        let folder = site.file_name().unwrap().to_str().unwrap();
        assert!(
            index.contains(&format!("]({folder}/README.md)")),
            "{folder}"
        );
        let page = std::fs::read_to_string(site.join("README.md")).unwrap();
        for section in ["## On the hosts", "## To adapt", "## Not covered"] {
            assert!(
                page.contains(section),
                "{folder}/README.md has no {section}"
            );
        }
        let (output, text) = pgbaton(&site, &["test"]);
        assert!(output.status.success(), "{folder}: {text}");
        assert!(text.contains("all passed"), "{folder}: {text}");
    }
}

/// What `pgbaton --site site.yaml rehearse PLAYBOOK` rehearses.
fn subject(site: &Path, playbook: &str) -> Subject {
    let file = site.join("site.yaml");
    let of_site = Site::load(&file).unwrap();
    let shelves = Shelves::beside(Some(&file)).for_site(&of_site);
    let checked = |name: &str| {
        let source = shelves.open(name).unwrap();
        check(&source, &catalog(), &shelves, &mut Diagnostics::default()).unwrap()
    };
    let inventory = cluster_of(&of_site, None).unwrap().clone();
    let mut subject = Subject::without_site(checked(playbook), Some(checked("follow")));
    subject.site_mode = Some(inventory.synchronous.mode);
    subject.vars = site_vars(&of_site);
    subject.inventory = Arc::new(inventory);
    subject
}

/// In one situation, with every tenth fault: all of them would take as long as all of the stock playbooks'.
#[test]
fn in_a_rehearsal_what_is_merged_breaks_nothing() {
    for site in sites() {
        for playbook in overlaid(&site) {
            let subject = subject(&site, &playbook);
            let start = match playbook.as_str() {
                "failover" | "approved_failover" => "orphans",
                "rejoin" => "diverged",
                _ => "healthy",
            };
            let quorum = subject.site_mode == Some(SyncMode::Quorum);
            let commits = if quorum { "sync" } else { "async" };
            let situation = Situation::parse(&format!("{start}-{commits}")).unwrap();
            let effort = Effort {
                situations: Some(vec![situation]),
                every: 10,
                ..Effort::default()
            };
            let explored = explore(&subject, &effort).unwrap();
            let what = format!("{}, {playbook}, {situation}", site.display());
            assert!(explored.findings.is_empty(), "{what}: {explored:#?}");
            assert!(!explored.never_promotes, "{what}: {explored:#?}");
            assert!(explored.tally.total().runs > 10, "{what}: {explored:#?}");
        }
    }
}
