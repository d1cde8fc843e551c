//! The book in `docs/`: every page is in it, every link leads somewhere, and what it shows (files, commands) is what the program takes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod book_support;

use book_support::{Page, calls, page, pages_in};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every page, the README too, by its path from the root.
fn pages() -> BTreeMap<PathBuf, Page> {
    let mut found = pages_in(&root().join("docs"));
    found.push(root().join("README.md"));
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        (path.strip_prefix(root()).unwrap().to_owned(), page(&text))
    };
    found.iter().map(read).collect()
}

/// The path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{}", path.display()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn every_page_is_in_the_summary_once() {
    let pages = pages();
    let summary = Path::new("docs/SUMMARY.md");
    let mut listed: Vec<PathBuf> = pages[summary]
        .links
        .iter()
        .map(|(_, link)| plain(&Path::new("docs").join(link)))
        .collect();
    listed.sort();
    let there: Vec<PathBuf> = pages
        .keys()
        .filter(|path| path.starts_with("docs") && *path != summary)
        .cloned()
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut broken = Vec::new();
    let mut seen = 0;
    for (path, page) in &pages {
        for (line, link) in &page.links {
            if link.starts_with("https://") || link.starts_with("http://") {
                continue;
            }
            seen += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => plain(&path.parent().unwrap().join(file)),
            };
            let known = |page: &Page| anchor.is_empty() || page.ids.iter().any(|id| id == anchor);
            let leads = match pages.get(&target) {
                Some(page) => known(page),
                None => anchor.is_empty() && root().join(&target).is_file(),
            };
            if !leads {
                broken.push(format!("{}:{line}: {link}", path.display()));
            }
        }
    }
    assert!(seen > 100, "links are found: {seen}");
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A block whose fence says `yaml,playbook`, `yaml,overlay` or `yaml,site` is a whole file.
#[test]
fn whole_files_in_the_pages_are_taken_by_validate() {
    let mut seen = BTreeMap::new();
    for (path, page) in pages() {
        for block in &page.blocks {
            let Some(kind) = block.info.strip_prefix("yaml,") else {
                continue;
            };
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join(match kind {
                "site" => "site.yaml",
                "overlay" => "overlay.yaml",
                "playbook" => "own.yaml",
                other => panic!("{}: {other} is no kind of file", path.display()),
            });
            std::fs::write(&file, &block.text).unwrap();
            let output = assert_cmd::Command::cargo_bin("pgbaton")
                .unwrap()
                .arg("validate")
                .arg(&file)
                .current_dir(folder.path())
                .env_remove("PGBATON_SITE")
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}:{}\n{}",
                path.display(),
                block.line,
                String::from_utf8_lossy(&output.stderr)
            );
            *seen.entry(kind.to_owned()).or_insert(0) += 1;
        }
    }
    for kind in ["site", "overlay", "playbook"] {
        assert!(seen.contains_key(kind), "no block of kind {kind}: {seen:?}");
    }
}

#[test]
fn every_action_is_named_where_writing_playbooks_is_told() {
    let page = std::fs::read_to_string(root().join("docs/writing-playbooks.md")).unwrap();
    let (_, table) = page.split_once("\n## Actions\n").unwrap();
    for name in pgbaton::actions::catalog().actions.keys() {
        let times = table.matches(&format!("`{name}`")).count();
        assert_eq!(times, 1, "{name}");
    }
}

#[test]
fn every_command_in_a_block_is_one_that_the_program_takes() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for (path, page) in pages() {
        for block in &page.blocks {
            let prompt = match block.words().first() {
                Some(&"console") => "$ ",
                Some(&"sh") => "",
                _ => continue,
            };
            let text = block.text.replace("\\\n", " ");
            for line in text.lines().filter_map(|line| line.strip_prefix(prompt)) {
                for words in calls(line) {
                    seen += 1;
                    if let Err(error) = pgbaton::cli::arguments().try_get_matches_from(&words) {
                        let whole = error.to_string();
                        let first = whole.lines().next().unwrap_or_default();
                        wrong.push(format!(
                            "{}:{}: {line}: {first}",
                            path.display(),
                            block.line
                        ));
                    }
                }
            }
        }
    }
    assert!(seen > 40, "commands are found: {seen}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
