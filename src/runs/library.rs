//! Where playbooks are found: a file of the user's wins over a stock playbook of the same name.

use crate::cluster::Inventory;
use crate::document::{Source, read_file};
use crate::playbook::{Library, Map, UnreadablePlaybook};
use std::path::{Path, PathBuf};

/// A playbook that is part of pgbaton.
#[derive(Debug, Clone, Copy)]
pub struct Stock {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The playbooks that are part of pgbaton, in the order in which a reader should meet them.
pub fn stock_playbooks() -> &'static [Stock] {
    &[
        Stock {
            name: "approved_failover",
            text: include_str!("../../playbooks/approved_failover.yaml"),
        },
        Stock {
            name: "failover",
            text: include_str!("../../playbooks/failover.yaml"),
        },
        Stock {
            name: "follow",
            text: include_str!("../../playbooks/follow.yaml"),
        },
        Stock {
            name: "rejoin",
            text: include_str!("../../playbooks/rejoin.yaml"),
        },
        Stock {
            name: "switchover",
            text: include_str!("../../playbooks/switchover.yaml"),
        },
        Stock {
            name: "synchronous",
            text: include_str!("../../playbooks/synchronous.yaml"),
        },
    ]
}

/// The user's folders, then the stock.
#[derive(Debug, Clone)]
pub struct Shelves {
    folders: Vec<PathBuf>,
    vars: Option<Map>,
    nodes: Option<Vec<String>>,
}

impl Shelves {
    /// The current directory's `playbooks/`, and `playbooks/` beside the site file.
    pub fn beside(site_file: Option<&Path>) -> Self {
        let mut folders = vec![PathBuf::from("playbooks")];
        if let Some(beside) = site_file.and_then(Path::parent) {
            folders.push(beside.join("playbooks"));
        }
        Self {
            folders,
            vars: None,
            nodes: None,
        }
    }

    /// The same, with the variables of the site that the playbooks are for: others are errors then.
    #[must_use]
    pub fn for_site(mut self, vars: Map) -> Self {
        self.vars = Some(vars);
        self
    }

    /// The same, with the nodes of the cluster that the playbooks are for.
    #[must_use]
    pub fn for_cluster(mut self, inventory: &Inventory) -> Self {
        self.nodes = Some(inventory.nodes.keys().map(ToString::to_string).collect());
        self
    }

    /// A file when it is written as one (`./x`, `x.yaml`), otherwise by name.
    pub fn open(&self, wanted: &str) -> Result<Source, (String, Option<String>)> {
        match self.find(wanted) {
            Ok(Some(source)) => Ok(source),
            Ok(None) if is_path(wanted) => Err((format!("there is no file {wanted}"), None)),
            Ok(None) => Err((
                format!("there is no playbook `{wanted}`"),
                Some(format!("there are: {}", self.names().join(", "))),
            )),
            Err(unreadable) => Err((unreadable.to_string(), None)),
        }
    }
}

fn is_path(wanted: &str) -> bool {
    let ending = Path::new(wanted).extension();
    wanted.contains('/') || ending.is_some_and(|e| e == "yaml" || e == "yml")
}

/// None when there is no such file.
fn read(path: &Path) -> Result<Option<Source>, UnreadablePlaybook> {
    match read_file(path) {
        Ok(text) => Ok(Some(Source::new(path.display().to_string(), text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(UnreadablePlaybook {
            file: path.display().to_string(),
            why: error.to_string(),
        }),
    }
}

impl Library for Shelves {
    fn find(&self, name: &str) -> Result<Option<Source>, UnreadablePlaybook> {
        if is_path(name) {
            return read(Path::new(name));
        }
        for folder in &self.folders {
            if let Some(found) = read(&folder.join(format!("{name}.yaml")))? {
                return Ok(Some(found));
            }
        }
        let stock = stock_playbooks().iter().find(|stock| stock.name == name);
        Ok(stock.map(|stock| Source::new(format!("<stock>/{name}.yaml"), stock.text)))
    }

    fn nodes(&self) -> Option<&[String]> {
        self.nodes.as_deref()
    }

    fn site_vars(&self) -> Option<&Map> {
        self.vars.as_ref()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = stock_playbooks()
            .iter()
            .map(|stock| stock.name.to_owned())
            .collect();
        for entry in self
            .folders
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok())
            .flatten()
            .flatten()
        {
            let path = entry.path();
            if path.extension().is_some_and(|e| e == "yaml")
                && let Some(stem) = path.file_stem().and_then(|s| s.to_str())
                // `*.test.yaml` are tests of one.
                && Path::new(stem).extension().is_none_or(|e| e != "test")
            {
                names.push(stem.to_owned());
            }
        }
        names.sort();
        names.dedup();
        names
    }
}
