//! A site, read and checked.

use super::{Api, EtcdStore, Hooks, SiteError, api, cluster, hooks, redact, store, words};
use crate::cluster::Inventory;
use crate::document::{Diagnostics, Lowering, Source, Spanned, Tree, parse, read_file};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A site file, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// `site.vars` of playbooks.
    pub vars: BTreeMap<String, Json>,
    /// Where journals of runs and locks are kept; the caller has a default.
    pub journal: Option<PathBuf>,
    /// Where they are kept instead, when several machines share them.
    pub store: Option<EtcdStore>,
    /// The HTTP API of `pgbaton serve`; without it no port is opened.
    pub api: Option<Api>,
    /// What programs outside may let it run, by name.
    pub hooks: Option<Hooks>,
    /// Its clusters, by name; at least one.
    pub clusters: BTreeMap<String, Inventory>,
}

impl Site {
    /// Reads a site file. Paths of files on this machine are taken from the file's directory, `~/` from the home
    /// directory.
    pub fn load(path: &Path) -> Result<Self, SiteError> {
        let fail = |source| SiteError::Read {
            path: path.to_owned(),
            source,
        };
        let text = read_file(path).map_err(fail)?;
        let here = std::path::absolute(path).map_err(fail)?;
        let base = here.parent().unwrap_or(Path::new("/"));
        let source = Source::new(path.display().to_string(), text);
        Self::parse(&source, base).map_err(|diagnostics| SiteError::Invalid {
            path: path.to_owned(),
            diagnostics,
        })
    }

    /// Reads the text of a site file whose relative paths are taken from `base`. The diagnostics show the text with
    /// secrets blotted out.
    pub fn parse(source: &Source, base: &Path) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        let tree = parse(source, &mut diagnostics);
        let site = tree.as_ref().and_then(|tree| {
            let mut to = Lowering {
                source,
                diagnostics: &mut diagnostics,
            };
            lower(&mut to, tree, base)
        });
        match site {
            Some(site) if !diagnostics.has_errors() => Ok(site),
            _ => {
                diagnostics.sort();
                redact::blot(source, tree.as_ref(), &mut diagnostics);
                Err(diagnostics)
            }
        }
    }
}

/// None only after an error.
fn lower(to: &mut Lowering<'_>, tree: &Spanned<Tree>, base: &Path) -> Option<Site> {
    let mut top = to.map("a site file", tree)?;
    let name = top
        .required(to, "site")
        .and_then(|e| words::name(to, "`site`", &e.value));
    let vars = top
        .optional(to, "vars")
        .and_then(|e| variables(to, &e.value));
    let journal = top
        .optional(to, "journal")
        .and_then(|e| words::local_path(to, "`journal`", &e.value, base));
    let shared = top.optional(to, "store");
    if let (Some(_), Some(shared)) = (&journal, &shared) {
        let message = "`journal` and `store` exclude each other";
        to.error("bad-value", shared.key.span, message).help = Some(
            "`journal` is a directory of this machine, `store` an etcd for several".to_owned(),
        );
    }
    let store = shared.and_then(|e| store::lower(to, &e.value));
    let api = top
        .optional(to, "api")
        .and_then(|e| api::lower(to, &e.value, base));
    let mut clusters = BTreeMap::new();
    if let Some(entry) = top.required(to, "clusters") {
        let entries = to.entries("`clusters`", &entry.value).unwrap_or_default();
        if entries.is_empty() && matches!(entry.value.value, Tree::Map(_)) {
            to.error("empty-value", entry.key.span, "`clusters` names no cluster");
        }
        for entry in entries {
            let name = words::checked_name(to, "the name of a cluster", &entry.key);
            let cluster = cluster::lower(to, entry, base);
            if let (Some(name), Some(cluster)) = (name, cluster) {
                clusters.insert(name, cluster);
            }
        }
    }
    let called = top.optional(to, "hooks");
    let hooks = called.and_then(|e| hooks::lower(to, &e.value, base, &clusters));
    if let Some(entry) = called
        && !top.has("api")
    {
        let message = "`hooks` needs `api`: without it no port is opened";
        to.error("missing-key", entry.key.span, message).help =
            Some("give `api: { listen: ADDRESS, tokens: FILE }`".to_owned());
    }
    top.finish(to);
    Some(Site {
        name: name?,
        vars: vars.unwrap_or_default(),
        journal,
        store,
        api,
        hooks,
        clusters,
    })
}

/// Variables keep whatever form they have, under names that expressions can use.
fn variables(to: &mut Lowering<'_>, value: &Spanned<Tree>) -> Option<BTreeMap<String, Json>> {
    let mut vars = BTreeMap::new();
    for entry in to.entries("`vars`", value)? {
        let key = &entry.key.value;
        let good = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good {
            to.error(
                "bad-name",
                entry.key.span,
                format!("`{key}` cannot be the name of a variable"),
            )
            .help = Some(
                "use letters, digits and `_`, so that `site.vars.NAME` can be written".to_owned(),
            );
        }
        vars.insert(key.clone(), words::json(&entry.value.value));
    }
    Some(vars)
}
