//! The cluster at a glance.

use super::{Inventory, Lsn, NodeName, Timeline};
use serde::{Deserialize, Serialize};

/// The table that `status` shows; columns as `repmgr cluster show` has them, lag included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    /// The cluster.
    pub cluster: String,
    /// A row for each node, in the order of their ids.
    pub rows: Vec<Row>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: NodeName,
    /// `primary` or `standby`; none when it could not be told.
    pub role: Option<String>,
    /// How it is.
    pub status: RowStatus,
    /// What it receives from, or is set to follow; a node's name where it is one of ours.
    pub upstream: Option<String>,
    /// It really streams from there.
    pub attached: bool,
    /// Its location.
    pub location: String,
    /// Its priority.
    pub priority: i64,
    /// Its timeline, from `IDENTIFY_SYSTEM`.
    pub timeline: Option<Timeline>,
    /// Its position.
    pub at: Option<Lsn>,
    /// Bytes behind the primary; none when there is no primary or no position.
    pub lag: Option<i64>,
    /// What is wrong, where something is.
    pub note: Option<String>,
    /// What a node that does not answer was, as its files say or as it was last seen. Only looked for where that decides who
    /// the primary was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Was>,
}

/// What a node was before it fell silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Was {
    /// A primary.
    Primary,
    /// A standby; its row says of whom.
    Standby,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowStatus {
    /// It answers.
    Running,
    /// It answers that it does not accept sessions.
    Rejecting,
    /// Nothing answers.
    Unreachable,
}

impl Topology {
    /// The one running primary; none when there is none or more than one.
    pub fn primary(&self) -> Option<&Row> {
        let mut primaries = self
            .rows
            .iter()
            .filter(|r| r.role.as_deref() == Some("primary"));
        let first = primaries.next()?;
        primaries.next().is_none().then_some(first)
    }

    /// The row of a node.
    pub fn row(&self, name: &NodeName) -> Option<&Row> {
        self.rows.iter().find(|r| r.name == *name)
    }

    /// The primary before the outage, as the standbys tell: the running primary, else the one node to which what all
    /// reachable standbys are set to follow leads, through standbys that are lost, too.
    pub fn presumed_primary(&self, inventory: &Inventory) -> Option<NodeName> {
        let row = self.primary().or_else(|| self.lost_primary())?;
        inventory
            .nodes
            .contains_key(&row.name)
            .then(|| row.name.clone())
    }

    /// Who has to be looked at before [`Self::presumed_primary`] can say who a dead primary was: with two nodes silent, the
    /// one that is followed may have been a standby of the other.
    pub fn unclear(&self) -> Vec<&Row> {
        let silent: Vec<&Row> = self.rows.iter().filter(|row| row.is_lost()).collect();
        let clear = self.primary().is_some()
            || silent.len() < 2
            || self
                .lost_primary()
                .is_some_and(|row| row.was == Some(Was::Primary));
        if clear { Vec::new() } else { silent }
    }

    /// The one node at which all chains of upstreams end. One of which nobody knows whether it was a primary counts only
    /// where no other could have been the one above it.
    fn lost_primary(&self) -> Option<&Row> {
        let standbys = self.rows.iter().filter(|row| row.is("standby"));
        let mut ends: Vec<&Row> = standbys.filter_map(|row| self.end_above(row)).collect();
        ends.sort_unstable_by_key(|row| &row.name);
        ends.dedup_by_key(|row| &row.name);
        let [end] = ends[..] else { return None };
        let may_be_above = |row: &&Row| row.name != end.name && row.is_lost() && row.was.is_none();
        let sure = end.role.is_some() || end.was == Some(Was::Primary);
        (sure || !self.rows.iter().any(|row| may_be_above(&row))).then_some(end)
    }

    /// The first node above a standby that is no standby, as far as anybody knows; none where that is nobody of ours.
    fn end_above<'a>(&'a self, mut row: &'a Row) -> Option<&'a Row> {
        for _ in 0..=self.rows.len() {
            if !row.is("standby") && row.was != Some(Was::Standby) {
                return Some(row);
            }
            let upstream = row.upstream.as_deref()?;
            row = self.rows.iter().find(|r| r.name.as_str() == upstream)?;
        }
        None
    }

    /// Running standbys that are set to follow a node that is lost, and is not the primary.
    pub fn orphans(&self, inventory: &Inventory) -> Vec<&Row> {
        let primary = self.presumed_primary(inventory);
        let lost = |name: &str| {
            let mut rows = self.rows.iter();
            rows.any(|row| {
                row.name.as_str() == name && row.is_lost() && Some(&row.name) != primary.as_ref()
            })
        };
        let standbys = self.rows.iter().filter(|row| row.is("standby"));
        standbys
            .filter(|row| row.upstream.as_deref().is_some_and(lost))
            .collect()
    }
}

impl Row {
    fn is(&self, role: &str) -> bool {
        self.role.as_deref() == Some(role)
    }

    /// It does not say what it is.
    fn is_lost(&self) -> bool {
        self.role.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Nodes `name role upstream`: role `s` a standby, `p` a primary, `?` silent, `?s` and `?p` silent with files that tell.
    fn cluster(nodes: &[&str]) -> (Topology, Inventory) {
        let mut rows = Vec::new();
        let mut entries = serde_json::Map::new();
        for (id, node) in (1..).zip(nodes) {
            let words: Vec<&str> = node.split(' ').collect();
            let (name, how) = (words[0], words[1]);
            let role = match how {
                "s" => Some("standby"),
                "p" => Some("primary"),
                _ => None,
            };
            rows.push(Row {
                id,
                name: NodeName::parse(name).unwrap(),
                role: role.map(str::to_owned),
                status: role.map_or(RowStatus::Unreachable, |_| RowStatus::Running),
                upstream: words.get(2).map(|&w| w.to_owned()),
                attached: false,
                location: String::new(),
                priority: 100,
                timeline: None,
                at: None,
                lag: None,
                note: None,
                was: match how {
                    "?s" => Some(Was::Standby),
                    "?p" => Some(Was::Primary),
                    _ => None,
                },
            });
            entries.insert(
                name.to_owned(),
                json!({
                    "name": name, "id": id, "host": name, "port": 5432, "priority": 100, "location": "", "promote": "allowed",
                    "data": "/d", "bin": "/b", "transport": "none", "log": null, "forbid_return": null, "allow_return": null,
                }),
            );
        }
        let inventory = serde_json::from_value(json!({
            "cluster": "c", "product": "postgresql", "nodes": entries,
            "sql": {
                "user": "u", "dbname": "d", "passfile": null, "password": null, "sslmode": "disable", "sslrootcert": null,
            },
            "replication": { "user": "u", "passfile": null, "options": {} },
            "synchronous": { "mode": "off", "acks": 1 },
        }));
        let topology = Topology {
            cluster: "c".to_owned(),
            rows,
        };
        (topology, inventory.unwrap())
    }

    #[test]
    fn the_dead_primary_is_where_all_chains_end_and_never_a_dead_standby() {
        for (nodes, primary) in [
            (&["a p", "b s a"][..], Some("a")),
            (&["a ?", "b s a", "c s a"], Some("a")),
            (&["a ?", "b s a", "c s b"], Some("a")),
            // The standby in between is dead as well.
            (&["a ?p", "b ?s a", "c s b"], Some("a")),
            (&["a ?", "b ?s a", "c s b"], Some("a")),
            (&["a ?p", "b ?s a", "c s b", "d s a"], Some("a")),
            // Nobody knows whether b was a standby of a.
            (&["a ?", "b ?", "c s b"], None),
            (&["a ?", "b ?", "c s b", "d s a"], None),
            // The other way round it was seen as a primary.
            (&["a ?", "b ?p", "c s b"], Some("b")),
            (&["a ?s b", "b ?", "c s b"], Some("b")),
            // Two that are followed, and two that were promoted.
            (&["a ?p", "b ?p", "c s b", "d s a"], None),
            // A circle, and a standby that follows nobody.
            (&["a ?s b", "b ?s a", "c s b"], None),
            (&["a ?", "b s"], None),
        ] {
            let (topology, inventory) = cluster(nodes);
            let found = topology.presumed_primary(&inventory);
            assert_eq!(found.as_ref().map(NodeName::as_str), primary, "{nodes:?}");
        }
    }

    #[test]
    fn files_are_asked_only_where_two_are_silent_and_nothing_is_sure() {
        for (nodes, asked) in [
            (&["a ?", "b s a", "c s b"][..], 0),
            (&["a p", "b ?", "c ?"], 0),
            (&["a ?", "b ?", "c s b"], 2),
            (&["a ?p", "b ?", "c s a"], 0),
        ] {
            assert_eq!(cluster(nodes).0.unclear().len(), asked, "{nodes:?}");
        }
    }

    #[test]
    fn the_children_of_a_lost_standby_are_orphans_and_those_of_the_primary_are_not() {
        let (topology, inventory) = cluster(&["a p", "b ? a", "c s b", "d s a", "e s c"]);
        let names: Vec<&str> = topology
            .orphans(&inventory)
            .iter()
            .map(|r| r.name.as_str())
            .collect();
        assert_eq!(names, ["c"]);
        let (topology, inventory) = cluster(&["a ?p", "b ?s a", "c s b", "d s a"]);
        let names: Vec<&str> = topology
            .orphans(&inventory)
            .iter()
            .map(|r| r.name.as_str())
            .collect();
        assert_eq!(names, ["c"]);
    }
}
