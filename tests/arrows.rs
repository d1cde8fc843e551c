//! The rooms of the house import only the rooms below them: every `crate::` path of every file is resolved with `syn`.
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::visit::Visit;

/// Who may import whom, as `docs/design/architecture.md` has it. Rooms that are still to be built stand here already.
fn allowed() -> BTreeMap<&'static str, Vec<&'static str>> {
    let everything = vec![
        "document",
        "cluster",
        "site",
        "playbook",
        "engine",
        "journal",
        "actions",
        "transport",
        "postgres",
        "simulate",
        "notify",
        "traces",
        "runs",
        "rehearse",
        "trigger",
        "server",
        "lab",
        "import",
    ];
    let runs = vec![
        "document",
        "cluster",
        "site",
        "playbook",
        "engine",
        "journal",
        "actions",
        "transport",
        "postgres",
        "simulate",
    ];
    BTreeMap::from([
        ("document", vec![]),
        ("cluster", vec![]),
        ("site", vec!["document", "cluster"]),
        ("playbook", vec!["document", "cluster"]),
        ("engine", vec!["playbook"]),
        ("journal", vec!["engine"]),
        ("actions", vec!["cluster", "playbook", "engine"]),
        ("transport", vec![]),
        ("notify", vec!["cluster", "site", "transport"]),
        ("postgres", vec!["cluster", "transport"]),
        ("simulate", vec!["cluster"]),
        ("traces", vec!["playbook", "engine", "transport"]),
        ("runs", [runs.clone(), vec!["traces"]].concat()),
        ("rehearse", [runs.clone(), vec!["runs"]].concat()),
        ("trigger", [runs.clone(), vec!["notify", "runs"]].concat()),
        (
            "server",
            [runs.clone(), vec!["notify", "traces", "runs", "trigger"]].concat(),
        ),
        ("lab", vec!["cluster", "site", "transport", "postgres"]),
        ("import", vec!["document", "cluster", "site", "postgres"]),
        ("cli", everything),
    ])
}

/// Collects the first segment of every path that begins with `crate::` or `pgbaton::`, in `use` trees, expressions,
/// types, and inside macros, whose tokens are searched for the same words.
#[derive(Default)]
struct Imports {
    rooms: BTreeSet<String>,
}

impl Imports {
    fn tree(&mut self, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                self.rooms.insert(path.ident.to_string());
            }
            syn::UseTree::Name(name) => {
                self.rooms.insert(name.ident.to_string());
            }
            syn::UseTree::Rename(rename) => {
                self.rooms.insert(rename.ident.to_string());
            }
            syn::UseTree::Glob(_) => {
                self.rooms.insert("*".to_owned());
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(item)),
        }
    }

    fn tokens(&mut self, tokens: &str) {
        for start in ["crate ::", "crate::", "pgbaton ::", "pgbaton::"] {
            for (at, _) in tokens.match_indices(start) {
                let rest = tokens[at + start.len()..].trim_start();
                let room: String = rest
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if !room.is_empty() {
                    self.rooms.insert(room);
                }
            }
        }
    }
}

fn is_root(ident: &syn::Ident) -> bool {
    ident == "crate" || ident == "pgbaton"
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_use_tree(&mut self, tree: &'ast syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) if is_root(&path.ident) => self.tree(&path.tree),
            other => syn::visit::visit_use_tree(self, other),
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path.segments.iter();
        if segments.next().is_some_and(|first| is_root(&first.ident))
            && let Some(room) = segments.next()
        {
            self.rooms.insert(room.ident.to_string());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        use quote::ToTokens as _;
        self.tokens(&mac.tokens.to_token_stream().to_string());
        syn::visit::visit_macro(self, mac);
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn imports_of(text: &str) -> BTreeSet<String> {
    let mut imports = Imports::default();
    imports.visit_file(&syn::parse_file(text).unwrap());
    imports.rooms
}

/// What is wrong with a file of `room` that holds `text`; empty when every arrow points down.
fn wrong_arrows(room: &str, text: &str) -> Vec<String> {
    let table = allowed();
    let Some(may) = table.get(room) else {
        return vec![format!("`{room}` is no room of the house")];
    };
    imports_of(text)
        .into_iter()
        .filter(|to| to != room && !may.contains(&to.as_str()))
        .collect()
}

#[test]
fn every_arrow_points_down() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in rust_files(&source) {
        let inside = file.strip_prefix(&source).unwrap();
        let Some(room) = inside.parent().and_then(|p| p.iter().next()) else {
            continue;
        };
        let text = std::fs::read_to_string(&file).unwrap();
        for to in wrong_arrows(&room.to_string_lossy(), &text) {
            wrong.push(format!("{} imports `{to}`", inside.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows that point up:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn an_arrow_that_points_up_is_seen_wherever_it_stands() {
    for text in [
        "use crate::cli::Main;",
        "use crate::{cluster::Lsn, postgres::Live};",
        "use crate::actions as a;",
        "fn f() { let _ = crate::server::start(); }",
        "fn f(_: &crate::lab::Lab) {}",
        "fn f() { println!(\"{}\", crate::runs::x()); }",
        "mod tests { use pgbaton::postgres::Live; }",
        "fn f() { use crate::*; }",
    ] {
        assert!(!wrong_arrows("engine", text).is_empty(), "{text}");
    }
    assert!(
        wrong_arrows(
            "engine",
            "use crate::playbook::Value; use super::x; use std::fmt;"
        )
        .is_empty()
    );
    assert!(wrong_arrows("kitchen", "").len() == 1);
}
