//! Static checks that need more than the text: the catalog of actions, and the playbooks that are nested.

use super::{Catalog, Playbook};
use crate::document::{Diagnostics, Source};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Finds playbooks by the names that steps use.
pub trait Library {
    /// The source of the playbook of this name.
    fn find(&self, name: &str) -> Option<Source>;
    /// All names, for suggestions.
    fn names(&self) -> Vec<String>;
}

/// A playbook that may run, with everything that it nests.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The playbook.
    pub playbook: Arc<Playbook>,
    /// Those that it nests, directly or not, by name.
    pub nested: BTreeMap<String, Arc<Playbook>>,
}

/// Loads and checks a playbook and all that it nests. `None` when anything is an error.
pub fn check(
    _source: &Source,
    _catalog: &Catalog,
    _library: &dyn Library,
    _diagnostics: &mut Diagnostics,
) -> Option<Checked> {
    None
}
