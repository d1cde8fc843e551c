//! Where expressions and templates find the values of names.

use super::Value;

/// Looks names up. Paths are as written: `["steps", "check_lsn", "divergence"]`.
pub trait Names {
    /// The value at this path; `None` when nothing of this name exists (an error), `Null` when it exists without value.
    ///
    /// Implementations answer for *every* prefix too: `["params"]` gives the map of all parameters.
    fn lookup(&self, path: &[&str]) -> Option<Value>;
}

impl Names for Value {
    fn lookup(&self, path: &[&str]) -> Option<Value> {
        let mut here = self;
        for part in path {
            match here {
                Self::Map(map) => here = map.get(*part)?,
                Self::Unknown => return Some(Self::Unknown),
                _ => return None,
            }
        }
        Some(here.clone())
    }
}

/// The value at the longest prefix of `path` that is known, and the length of that prefix.
pub(super) fn lookup_longest(names: &dyn Names, path: &[String]) -> Option<(usize, Value)> {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    (1..=parts.len())
        .rev()
        .find_map(|length| Some((length, names.lookup(&parts[..length])?)))
}
