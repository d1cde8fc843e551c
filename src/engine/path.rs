//! Names of runs and of places in a run.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The id of a run, made when it is requested: sortable by time, safe in file names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Arc<str>);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where in a run: `promote`, `follow[node3]/set_upstream`, `stop(rescue)/wait`, `(finally)/report`.
///
/// An item of a `for_each` is the step's path with the key in brackets; a nested playbook's steps stand below their
/// step; rescue and finally stand in parentheses behind what they belong to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepPath(pub Arc<str>);

impl StepPath {
    /// The top level.
    pub fn root() -> Self {
        Self("".into())
    }

    /// Whether this is the top level.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// A step in this scope.
    #[must_use]
    pub fn step(&self, id: &str) -> Self {
        if self.is_root() {
            Self(id.into())
        } else {
            Self(format!("{self}/{id}").into())
        }
    }

    /// An item of this step's `for_each`.
    #[must_use]
    pub fn item(&self, key: &str) -> Self {
        Self(format!("{self}[{key}]").into())
    }

    /// The rescue of this step, or of the run when this is the top level.
    #[must_use]
    pub fn rescue(&self) -> Self {
        Self(format!("{self}(rescue)").into())
    }

    /// The finally of the run.
    #[must_use]
    pub fn finally(&self) -> Self {
        Self(format!("{self}(finally)").into())
    }
}

impl fmt::Display for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
