//! A playbook and all that it nests.

use super::kind::Output;
use super::parts::Parts;
use super::seals::seal_what_is_handed_on;
use super::steps::check_playbook;
use super::values::settle;
use crate::document::{Diagnostics, Source, Span, suggest};
use crate::playbook::overlay::plain;
use crate::playbook::{Body, Catalog, Map, Playbook, load};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How deep playbooks may nest.
const MAX_DEPTH: usize = 16;

/// A playbook that is there and cannot be read. Never passed over in favour of another one of the same name: the site
/// would run what it has replaced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("playbook {file} cannot be read: {why}")]
pub struct UnreadablePlaybook {
    /// Its file.
    pub file: String,
    /// Why.
    pub why: String,
}

/// Finds playbooks by the names that steps use.
pub trait Library {
    /// The source of the playbook of this name; none when there is none.
    fn find(&self, name: &str) -> Result<Option<Source>, UnreadablePlaybook>;
    /// All names, for suggestions.
    fn names(&self) -> Vec<String>;
    /// The names of the cluster's nodes; none where no cluster is known, and then any may be named.
    fn nodes(&self) -> Option<&[String]> {
        None
    }
    /// The site's variables; none where no site is known, and then any may be named.
    fn site_vars(&self) -> Option<&Map> {
        None
    }
}

/// A playbook that may run, with everything that it nests. Constant inputs of actions have the type that the action declares:
/// `timeout: 90s` for an input of type duration is a duration, not text.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The playbook.
    pub playbook: Arc<Playbook>,
    /// Those that it nests, directly or not, by name.
    pub nested: BTreeMap<String, Arc<Playbook>>,
    /// What all of them were read from: the playbook itself, then those that it nests, each with its name.
    pub sources: Vec<(String, Source)>,
}

/// What a playbook is to those that nest it.
#[derive(Debug, Clone)]
pub(super) struct Contract {
    pub(super) playbook: Arc<Playbook>,
    pub(super) source: Source,
    pub(super) outputs: Vec<Output>,
    /// The parts that its steps play for sure.
    pub(super) parts: Parts,
}

/// Nested playbooks by name; nothing for those that cannot be used, which has been reported.
pub(super) type Nested = BTreeMap<String, Option<Contract>>;

/// Loads and checks a playbook and all that it nests. `None` when anything is an error; then all errors are in
/// `diagnostics`, each in the file that it is about.
pub fn check(
    source: &Source,
    catalog: &Catalog,
    library: &dyn Library,
    diagnostics: &mut Diagnostics,
) -> Option<Checked> {
    let mut found = Diagnostics::default();
    let mut family = Family {
        catalog,
        library,
        nested: Nested::new(),
        stack: Vec::new(),
        diagnostics: &mut found,
    };
    let root = family.visit(source, None);
    let nested = std::mem::take(&mut family.nested);
    let failed = found.has_errors();
    diagnostics.append(found);
    if failed {
        return None;
    }
    let root = root?;
    let mut sources = vec![(root.playbook.name.value.clone(), root.source)];
    let mut playbooks = BTreeMap::new();
    for (name, contract) in nested {
        let Some(contract) = contract else { continue };
        sources.push((name.clone(), contract.source));
        playbooks.insert(name, contract.playbook);
    }
    Some(Checked {
        playbook: root.playbook,
        nested: playbooks,
        sources,
    })
}

struct Family<'f> {
    catalog: &'f Catalog,
    library: &'f dyn Library,
    nested: Nested,
    /// The playbooks on the way from the root to here.
    stack: Vec<(String, Source)>,
    diagnostics: &'f mut Diagnostics,
}

impl Family<'_> {
    /// Loads and checks one playbook, those that it nests first. `name` is the one under which it is nested.
    fn visit(&mut self, source: &Source, name: Option<&str>) -> Option<Contract> {
        let mut own = Diagnostics::default();
        let loaded = load(source, &mut own);
        self.advise(&mut own);
        let Some(mut playbook) = loaded else {
            self.diagnostics.append(own);
            return None;
        };
        let name = name.unwrap_or(&playbook.name.value).to_owned();
        self.stack.push((name, source.clone()));
        for (nested, span) in nested_names(&playbook) {
            self.nest(&nested, span, source, &mut own);
        }
        self.stack.pop();
        seal_what_is_handed_on(&mut playbook, &self.nested);
        let outputs = check_playbook(
            &playbook,
            self.catalog,
            self.library,
            &self.nested,
            &mut own,
        );
        let parts = Parts::of(&playbook, self.catalog, &self.nested);
        let failed = own.has_errors();
        own.sort();
        self.diagnostics.append(own);
        if failed {
            return None;
        }
        settle(&mut playbook, self.catalog);
        Some(Contract {
            playbook: Arc::new(playbook),
            // What a run keeps is one text: it does not hang on how overlays are laid.
            source: plain(source),
            outputs,
            parts,
        })
    }

    fn nest(&mut self, name: &str, span: Span, by: &Source, own: &mut Diagnostics) {
        let circle = self.stack.iter().position(|(known, _)| known == name);
        let source = match self.library.find(name) {
            Ok(source) => source,
            Err(unreadable) => {
                own.error("unreadable-playbook", by, span, unreadable.to_string())
                    .help = Some("make it readable, or take it away".to_owned());
                self.nested.insert(name.to_owned(), None);
                return;
            }
        };
        let same_file = |(_, known): &(String, Source)| source.as_ref() == Some(known);
        if let Some(start) = circle.or_else(|| self.stack.iter().position(same_file)) {
            let chain: Vec<&str> = self.stack[start..]
                .iter()
                .map(|(known, _)| known.as_str())
                .chain([name])
                .collect();
            own.error(
                "playbook-recursion",
                by,
                span,
                format!(
                    "playbooks nest each other in a circle: {}",
                    chain.join(" → ")
                ),
            )
            .help = Some("a playbook cannot run inside itself".to_owned());
            return;
        }
        if self.nested.contains_key(name) {
            if matches!(self.nested.get(name), Some(None)) && source.is_none() {
                self.unknown(name, span, by, own);
            }
            return;
        }
        let contract = match source {
            None => {
                self.unknown(name, span, by, own);
                None
            }
            Some(_) if self.stack.len() >= MAX_DEPTH => {
                own.error(
                    "playbook-recursion",
                    by,
                    span,
                    format!("playbooks nest deeper than {MAX_DEPTH}"),
                );
                None
            }
            Some(source) => self.visit(&source, Some(name)),
        };
        self.nested.insert(name.to_owned(), contract);
    }

    fn unknown(&self, name: &str, span: Span, by: &Source, own: &mut Diagnostics) {
        let help = if self.catalog.actions.contains_key(name) {
            Some(format!("there is an action of this name: `action: {name}`"))
        } else {
            self.near(name)
        };
        let message = format!("there is no playbook `{name}`");
        own.error("unknown-playbook", by, span, message).help = help;
    }

    /// The loader does not know which playbooks there are that an overlay could be meant for.
    fn advise(&self, own: &mut Diagnostics) {
        for diagnostic in &mut own.0 {
            if diagnostic.code == "unknown-playbook" && diagnostic.help.is_none() {
                let (source, span) = diagnostic.source.placed(diagnostic.span);
                let name = source.text.get(span.start..span.end).unwrap_or_default();
                diagnostic.help = self.near(name.trim_matches(['"', '\'']));
            }
        }
    }

    fn near(&self, name: &str) -> Option<String> {
        let names = self.library.names();
        match suggest(name, names.iter().map(String::as_str)) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if names.is_empty() => None,
            None => Some(format!("the playbooks are {}", names.join(", "))),
        }
    }
}

/// The names of the playbooks that a playbook's steps nest, each once, with the place where it is first named.
fn nested_names(playbook: &Playbook) -> Vec<(String, Span)> {
    let mut names: Vec<(String, Span)> = Vec::new();
    for step in playbook.all_steps() {
        if let Body::Playbook { name, .. } = &step.body
            && !names.iter().any(|(known, _)| *known == name.value)
        {
            names.push((name.value.clone(), name.span));
        }
    }
    names
}
