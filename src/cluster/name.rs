//! Identities: parsed at the border, never bare strings inside.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of a node in the site file. Also its `application_name` in replication.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeName(String);

/// A name that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a usable {what}: {why}")]
pub struct NameError {
    /// What was given.
    pub name: String,
    /// What it should have been the name of.
    pub what: &'static str,
    /// Which rule it breaks.
    pub why: &'static str,
}

impl NodeName {
    /// A node's name: 1 to 63 bytes of letters, digits, `_`, `-` and `.`, beginning with a letter or digit.
    /// The limits are those of `application_name` in `synchronous_standby_names` (NAMEDATALEN − 1).
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let fail = |why| {
            Err(NameError {
                name: name.to_owned(),
                what: "node name",
                why,
            })
        };
        if name.is_empty() || name.len() > 63 {
            return fail("it must have 1 to 63 characters");
        }
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return fail("it must begin with a letter or a digit");
        }
        if !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        {
            return fail("only letters, digits, `_`, `-` and `.` are allowed");
        }
        Ok(Self(name.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The replication slot that this node uses on its upstream: `pgbaton_` and the name in lower case, with
    /// everything that PostgreSQL does not allow in a slot name replaced by `_`.
    pub fn slot(&self) -> SlotName {
        let mapped: String = self
            .0
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '_' {
                    c.to_ascii_lowercase()
                } else {
                    '_'
                }
            })
            .collect();
        let mut name = format!("pgbaton_{mapped}");
        name.truncate(63);
        SlotName(name)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a replication slot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotName(String);

impl SlotName {
    /// PostgreSQL's rule: 1 to 63 lower-case letters, digits and underscores.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let good = (1..=63).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if good {
            Ok(Self(name.to_owned()))
        } else {
            Err(NameError {
                name: name.to_owned(),
                what: "replication slot name",
                why: "PostgreSQL allows 1 to 63 lower-case letters, digits and underscores",
            })
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_name_is_legal_whatever_the_node_is_called() {
        for name in ["n1", "Node-1", "db.example.com", &"X".repeat(63)] {
            let slot = NodeName::parse(name).unwrap().slot();
            assert!(SlotName::parse(slot.as_str()).is_ok(), "{slot}");
        }
        assert_eq!(
            NodeName::parse("Node-1").unwrap().slot().as_str(),
            "pgbaton_node_1"
        );
    }

    #[test]
    fn bad_node_names_say_why() {
        for bad in ["", "-x", "a b", "a'b", &"x".repeat(64)] {
            assert!(NodeName::parse(bad).is_err(), "{bad}");
        }
    }
}
