//! A site from what was found, and beside it what nobody could tell.

mod access;
mod node;

use super::{Found, ImportError};
use crate::cluster::{Detector, Inventory, Node, NodeName, RepmgrTable, Trouble};
use crate::document::Source;
use crate::postgres::{Door, Registered, Seen};
use crate::site::{Remarks, Site, to_yaml_with};
use std::collections::BTreeMap;
use std::path::Path;

/// A site file that the loader takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The file.
    pub text: String,
    /// The nodes in it.
    pub nodes: Vec<NodeName>,
    /// Nodes of repmgr's that are not in it, and why.
    pub left_out: Vec<String>,
    /// What somebody has to fill in or look at, a sentence each; it stands in the file, too.
    pub open: Vec<String>,
}

/// Makes the site, with one cluster of this name.
pub fn draft(found: &Found, cluster: &str) -> Result<Draft, ImportError> {
    let mut pen = Pen {
        found,
        remarks: Remarks::default(),
        cluster: Vec::new(),
        left_out: Vec::new(),
        open: Vec::new(),
    };
    let inventory = pen.inventory(cluster)?;
    let nodes: Vec<NodeName> = inventory.nodes.keys().cloned().collect();
    let site = Site {
        name: cluster.to_owned(),
        vars: BTreeMap::new(),
        journal: None,
        store: None,
        api: None,
        hooks: None,
        clusters: [(cluster.to_owned(), inventory)].into(),
    };
    pen.remarks.top = vec![
        "Made by `pgbaton import repmgr` from repmgr's table of nodes. Look it over, then: pgbaton validate; pgbaton status"
            .to_owned(),
    ];
    pen.remarks.clusters = [(cluster.to_owned(), pen.cluster)].into();
    let text = to_yaml_with(&site, &pen.remarks);
    let source = Source::new("the imported site file", text.as_str());
    Site::parse(&source, Path::new("/")).map_err(ImportError::Unusable)?;
    Ok(Draft {
        text,
        nodes,
        left_out: pen.left_out,
        open: pen.open,
    })
}

/// What is written, and what is said about it.
struct Pen<'f> {
    found: &'f Found,
    remarks: Remarks,
    cluster: Vec<String>,
    left_out: Vec<String>,
    open: Vec<String>,
}

/// A node that can be written.
struct Member<'f> {
    name: NodeName,
    about: &'f Registered,
    door: &'f Door,
    seen: Result<&'f Seen, &'f Trouble>,
}

impl Member<'_> {
    /// What it says of itself, if it answered.
    fn told<T>(&self, of: impl Fn(&Seen) -> Option<T>) -> Option<T> {
        self.seen.ok().and_then(of)
    }
}

impl<'f> Pen<'f> {
    /// Says at the cluster what somebody has to look at.
    fn ask(&mut self, line: impl Into<String>) {
        let line = line.into();
        self.cluster.push(line.clone());
        self.open.push(line);
    }

    fn inventory(&mut self, cluster: &str) -> Result<Inventory, ImportError> {
        let members = self.members();
        if members.is_empty() {
            return Err(ImportError::NoNodes(self.left_out.clone()));
        }
        let product = self.found.registry.product;
        let nodes: BTreeMap<NodeName, Node> = members
            .iter()
            .map(|member| (member.name.clone(), self.node(member, &members)))
            .collect();
        let sql = self.sql()?;
        let database = sql.dbname.clone();
        Ok(Inventory {
            cluster: cluster.to_owned(),
            product,
            sql,
            replication: self.replication(&members),
            synchronous: self.synchronous(&members),
            repmgr: Some(RepmgrTable {
                database,
                schema: "repmgr".to_owned(),
            }),
            detector: Detector::default(),
            nodes,
        })
    }

    /// The nodes that have a place in a site file; the others are named.
    fn members(&mut self) -> Vec<Member<'f>> {
        let found = self.found;
        let mut members = Vec::new();
        for (about, seen) in found.registry.nodes.iter().zip(&found.seen) {
            let leave = |why: &str| format!("{} (id {}) is left out: {why}", about.name, about.id);
            let why = match (&about.door, NodeName::parse(&about.name)) {
                _ if about.kind == "witness" => {
                    "it is a witness, which holds none of the data and cannot be promoted"
                        .to_owned()
                }
                (_, Err(error)) => format!("{error}; give it another name in repmgr"),
                (None, _) => "its connection string in repmgr.nodes cannot be read".to_owned(),
                (Some(door), _) if door.servers().len() != 1 => {
                    "its connection string in repmgr.nodes must name one host".to_owned()
                }
                (Some(door), Ok(name)) => {
                    members.push(Member {
                        name,
                        about,
                        door,
                        seen: seen.as_ref(),
                    });
                    continue;
                }
            };
            let line = leave(&why);
            self.cluster.push(line.clone());
            self.left_out.push(line);
        }
        members
    }
}
