//! Where playbooks are found: a file of the user's wins over a stock playbook of the same name.

use crate::document::Source;
use crate::playbook::{Library, Map};
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
            name: "failover",
            text: include_str!("../../playbooks/failover.yaml"),
        },
        Stock {
            name: "follow",
            text: include_str!("../../playbooks/follow.yaml"),
        },
        Stock {
            name: "switchover",
            text: include_str!("../../playbooks/switchover.yaml"),
        },
    ]
}

/// The user's folders, then the stock.
pub struct Shelves {
    folders: Vec<PathBuf>,
    vars: Option<Map>,
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
        }
    }

    /// The same, with the variables of the site that the playbooks are for: others are errors then.
    #[must_use]
    pub fn for_site(mut self, vars: Map) -> Self {
        self.vars = Some(vars);
        self
    }

    /// A file when it is written as one (`./x`, `x.yaml`), otherwise by name.
    pub fn open(&self, wanted: &str) -> Result<Source, (String, Option<String>)> {
        let is_yaml = Path::new(wanted)
            .extension()
            .is_some_and(|ending| ending == "yaml" || ending == "yml");
        let is_path = wanted.contains('/') || is_yaml;
        if is_path {
            return std::fs::read_to_string(wanted)
                .map(|text| Source::new(wanted, text))
                .map_err(|error| (format!("playbook {wanted} cannot be read: {error}"), None));
        }
        self.find(wanted).ok_or_else(|| {
            (
                format!("there is no playbook `{wanted}`"),
                Some(format!("there are: {}", self.names().join(", "))),
            )
        })
    }
}

impl Library for Shelves {
    fn find(&self, name: &str) -> Option<Source> {
        for folder in &self.folders {
            let path = folder.join(format!("{name}.yaml"));
            if let Ok(text) = std::fs::read_to_string(&path) {
                return Some(Source::new(path.display().to_string(), text));
            }
        }
        let stock = stock_playbooks().iter().find(|stock| stock.name == name)?;
        Some(Source::new(format!("<stock>/{name}.yaml"), stock.text))
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
            {
                names.push(stem.to_owned());
            }
        }
        names.sort();
        names.dedup();
        names
    }
}
