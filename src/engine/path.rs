//! Names of runs and of places in a run.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The id of a run, made when it is requested: sortable by time, safe in file names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Arc<str>);

impl RunId {
    /// An id from the time and 20 bits of entropy: `20261123-014607-7k3q`. Later seconds sort after earlier ones.
    pub fn generate(now: jiff::Timestamp, entropy: u64) -> Self {
        // No letters that are mistaken for digits.
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let suffix: String = (0..4)
            .map(|place| {
                let index = (entropy >> (5 * place)) & 31;
                char::from(ALPHABET[usize::try_from(index).unwrap_or(0)])
            })
            .collect();
        Self(format!("{}-{suffix}", now.strftime("%Y%m%d-%H%M%S")).into())
    }
}

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
            Self([&self.0, "/", id].concat().into())
        }
    }

    /// An item of this step's `for_each`.
    #[must_use]
    pub fn item(&self, key: &str) -> Self {
        Self([&self.0, "[", key, "]"].concat().into())
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

    /// The rescue of the playbook whose steps stand in this scope: `(rescue)`, or `follow[node3]/(rescue)` where it is
    /// nested, so that it is not taken for the rescue of the step that nests it.
    #[must_use]
    pub fn playbook_rescue(&self) -> Self {
        self.step("(rescue)")
    }

    /// The finally of the playbook whose steps stand in this scope.
    #[must_use]
    pub fn playbook_finally(&self) -> Self {
        self.step("(finally)")
    }

    /// Whether this lies in a playbook's rescue or finally: what is done there makes up for something and is not
    /// itself undone.
    pub fn makes_up(&self) -> bool {
        // The key of an item may hold anything but brackets.
        let mut inside = false;
        self.0
            .split(|c| {
                inside = (inside || c == '[') && c != ']';
                c == '/' && !inside
            })
            .any(|part| part == "(rescue)" || part == "(finally)")
    }

    /// Whether this is an item of a `for_each`.
    pub fn is_item(&self) -> bool {
        self.0.ends_with(']')
    }

    /// What a scope at this path belongs to.
    pub(super) fn owner(&self) -> Owner<'_> {
        let text: &str = &self.0;
        for suffix in ["(rescue)", "(finally)"] {
            if let Some(before) = text.strip_suffix(suffix) {
                return match before.strip_suffix('/') {
                    _ if before.is_empty() => Owner::Scope(""),
                    Some(scope) => Owner::Scope(scope),
                    None => Owner::Step(before),
                };
            }
        }
        Owner::Step(text)
    }
}

/// What a scope belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    /// A step: its nested playbook, its item, its rescue.
    Step(&'a str),
    /// A playbook's scope: its rescue, its finally.
    Scope(&'a str),
}

impl std::borrow::Borrow<str> for StepPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_tell_their_time_and_sort_by_it() {
        let at = |s: &str| s.parse::<jiff::Timestamp>().expect("a time");
        let early = RunId::generate(at("2026-11-23T01:46:07Z"), u64::MAX);
        let late = RunId::generate(at("2026-11-23T01:46:08Z"), 0);
        assert_eq!(early.to_string(), "20261123-014607-zzzz");
        assert_eq!(late.to_string(), "20261123-014608-0000");
        assert!(early < late);
    }

    #[test]
    fn the_key_of_an_item_is_no_part_of_the_playbook() {
        let item = StepPath::root().step("each").item("x/(rescue)/y");
        assert!(!item.step("b").makes_up());
        assert!(item.playbook_rescue().step("b").makes_up());
    }

    #[test]
    fn paths_name_their_owner() {
        let root = StepPath::root();
        let item = root.step("follow").item("node3");
        for (path, text, owner) in [
            (item.clone(), "follow[node3]", Owner::Step("follow[node3]")),
            (
                item.step("stop").rescue(),
                "follow[node3]/stop(rescue)",
                Owner::Step("follow[node3]/stop"),
            ),
            (
                item.rescue(),
                "follow[node3](rescue)",
                Owner::Step("follow[node3]"),
            ),
            (
                item.playbook_rescue(),
                "follow[node3]/(rescue)",
                Owner::Scope("follow[node3]"),
            ),
            (root.playbook_rescue(), "(rescue)", Owner::Scope("")),
            (root.playbook_finally(), "(finally)", Owner::Scope("")),
        ] {
            assert_eq!(path.to_string(), text);
            assert_eq!(path.owner(), owner, "{text}");
        }
    }

    #[test]
    fn only_what_stands_in_a_playbooks_rescue_or_finally_makes_up() {
        let root = StepPath::root();
        assert!(root.playbook_rescue().step("start").makes_up());
        assert!(
            root.step("follow")
                .item("n")
                .playbook_finally()
                .step("x")
                .makes_up()
        );
        assert!(!root.step("stop").rescue().step("start").makes_up());
    }
}
