//! repmgr's own table of the nodes, and what it should say.

use super::NodeName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where repmgr keeps its table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepmgrTable {
    /// The database.
    pub database: String,
    /// The schema.
    pub schema: String,
}

/// What repmgr takes a node for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepmgrType {
    /// The one that is written to.
    Primary,
    /// One that follows.
    Standby,
    /// One without the data, that only counts.
    Witness,
}

impl RepmgrType {
    /// As the table has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::Witness => "witness",
        }
    }

    /// Reads the table's word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Primary, Self::Standby, Self::Witness]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// The columns of a row that a change of roles changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepmgrRow {
    /// repmgr's number of the node.
    pub id: u32,
    /// What it is.
    pub kind: RepmgrType,
    /// Whether it takes part.
    pub active: bool,
    /// The number of the node that it follows.
    pub upstream: Option<u32>,
}

/// A node as repmgr knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepmgrNode {
    /// Its name.
    pub name: String,
    /// Its row.
    pub row: RepmgrRow,
}

/// How a node really stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is the primary.
    Primary,
    /// It follows this node, where that can be told.
    Standby(Option<NodeName>),
    /// It does not answer.
    Silent,
}

/// The rows that are not as they should be, as they should be. Witnesses, and nodes that nobody asked, stay as they are.
/// Of a silent node only this is sure: it is not the active primary.
pub fn repmgr_changes(
    table: &[RepmgrNode],
    standings: &BTreeMap<NodeName, Standing>,
) -> Vec<RepmgrRow> {
    let id_of = |name: &NodeName| {
        let known = table.iter().find(|node| node.name == name.as_str());
        known.map(|node| node.row.id)
    };
    let members = table
        .iter()
        .filter(|node| node.row.kind != RepmgrType::Witness);
    members
        .filter_map(|node| {
            let (_, standing) = standings
                .iter()
                .find(|(name, _)| name.as_str() == node.name)?;
            let before = &node.row;
            let row = match standing {
                Standing::Primary => RepmgrRow {
                    kind: RepmgrType::Primary,
                    active: true,
                    upstream: None,
                    ..*before
                },
                Standing::Standby(upstream) => RepmgrRow {
                    kind: RepmgrType::Standby,
                    active: true,
                    upstream: upstream.as_ref().and_then(id_of).or(before.upstream),
                    ..*before
                },
                Standing::Silent => RepmgrRow {
                    active: before.active && before.kind != RepmgrType::Primary,
                    ..*before
                },
            };
            (row != *before).then_some(row)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u32, kind: RepmgrType, active: bool, upstream: Option<u32>) -> RepmgrRow {
        RepmgrRow {
            id,
            kind,
            active,
            upstream,
        }
    }

    #[test]
    fn what_is_not_true_is_changed_and_nothing_else() {
        use RepmgrType::{Primary, Standby, Witness};
        let table: Vec<RepmgrNode> = [
            ("n1", row(11, Primary, true, None)),
            ("n2", row(12, Standby, true, Some(11))),
            ("n3", row(13, Standby, true, Some(11))),
            ("n4", row(14, Standby, true, Some(11))),
            ("w", row(15, Witness, true, Some(11))),
            ("stranger", row(16, Standby, true, Some(11))),
        ]
        .map(|(name, row)| RepmgrNode {
            name: name.to_owned(),
            row,
        })
        .into();
        let name = |n: &str| NodeName::parse(n).unwrap();
        let after = [
            ("n1", Standing::Silent),
            ("n2", Standing::Primary),
            ("n3", Standing::Standby(Some(name("n2")))),
            ("n4", Standing::Silent),
            ("w", Standing::Silent),
        ];
        let standings = after.map(|(n, standing)| (name(n), standing)).into();
        assert_eq!(
            repmgr_changes(&table, &standings),
            [
                row(11, Primary, false, None),
                row(12, Primary, true, None),
                row(13, Standby, true, Some(12)),
            ]
        );
    }
}
