//! What is kept of a run so that another runner can go on with it.

use crate::playbook::Map;
use serde::{Deserialize, Serialize};

/// What a resume needs besides the parameters and facts that a run starts with: the playbooks as they were when it
/// started, whatever has become of their files since.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Pins {
    /// The playbook that is run, then those that it nests.
    pub playbooks: Vec<Pinned>,
    /// `site.vars`.
    pub site_vars: Map,
    /// `trigger`: the payload.
    pub trigger: Map,
}

/// A playbook's source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// Its name, as playbooks that nest it call it.
    pub name: String,
    /// Where it came from, for messages.
    pub origin: String,
    /// Its text.
    pub text: String,
}
