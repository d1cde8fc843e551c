//! Where playbooks are found: a file of the user's wins over a stock playbook of the same name, and the site's overlays
//! are laid over whichever it is.

use super::place::site_vars;
use crate::cluster::Inventory;
use crate::document::{Source, read_file};
use crate::playbook::{Library, Map, UnreadablePlaybook, overlay_of};
use crate::site::Site;
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
            name: "restart",
            text: include_str!("../../playbooks/restart.yaml"),
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

/// The user's folders, then the stock, and the overlays of the site.
#[derive(Debug, Clone)]
pub struct Shelves {
    folders: Vec<PathBuf>,
    overlays: Overlays,
    vars: Option<Map>,
    nodes: Option<Vec<String>>,
}

/// Where the overlays of a site are.
#[derive(Debug, Clone)]
enum Overlays {
    /// In the order of the site file.
    Listed(Vec<PathBuf>),
    /// All of a folder, in the order of their names.
    Folder(PathBuf),
    None,
}

impl Shelves {
    /// The current directory's `playbooks/`, and `playbooks/` and `overlays/` beside the site file.
    pub fn beside(site_file: Option<&Path>) -> Self {
        let mut folders = vec![PathBuf::from("playbooks")];
        let beside = site_file.and_then(Path::parent);
        folders.extend(beside.map(|beside| beside.join("playbooks")));
        Self {
            folders,
            overlays: beside.map_or(Overlays::None, |beside| {
                Overlays::Folder(beside.join("overlays"))
            }),
            vars: None,
            nodes: None,
        }
    }

    /// The same, with the variables of the site that the playbooks are for (others are errors then), and with the overlays
    /// that its file names.
    #[must_use]
    pub fn for_site(mut self, site: &Site) -> Self {
        self.vars = Some(site_vars(site));
        if let Some(files) = &site.overlays {
            self.overlays = Overlays::Listed(files.clone());
        }
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

/// A file of the user's.
struct Found {
    path: PathBuf,
    source: Source,
}

impl Found {
    fn at(path: &Path) -> Result<Option<Self>, UnreadablePlaybook> {
        let found = read(path)?.map(|source| Self {
            path: path.to_owned(),
            source,
        });
        Ok(found)
    }

    fn is(&self, other: &Self) -> bool {
        let real = |found: &Self| found.path.canonicalize().ok();
        self.path == other.path || (real(self).is_some() && real(self) == real(other))
    }
}

impl Shelves {
    /// The files that have the name of a playbook, the nearest first.
    fn files_named(&self, name: &str) -> Result<Vec<Found>, UnreadablePlaybook> {
        let mut found = Vec::new();
        for folder in &self.folders {
            found.extend(Found::at(&folder.join(format!("{name}.yaml")))?);
        }
        Ok(found)
    }

    /// The playbook of this name without any overlay.
    fn whole(&self, name: &str) -> Result<Option<Source>, UnreadablePlaybook> {
        let files = self.files_named(name)?.into_iter();
        let own = files
            .map(|file| file.source)
            .find(|source| overlay_of(source).is_none());
        Ok(own.or_else(|| stock_playbook(name)))
    }

    /// The overlays of the site, in the order in which they are laid.
    fn site_overlays(&self) -> Result<Vec<Found>, UnreadablePlaybook> {
        let files = match &self.overlays {
            Overlays::None => Vec::new(),
            Overlays::Listed(files) => files.clone(),
            Overlays::Folder(folder) => yaml_files(folder)?,
        };
        let mut overlays = Vec::with_capacity(files.len());
        for file in files {
            overlays.push(Found::at(&file)?.ok_or_else(|| UnreadablePlaybook {
                file: file.display().to_string(),
                why: "there is no such file, and the site file names it as an overlay".to_owned(),
            })?);
        }
        Ok(overlays)
    }

    /// The playbook of this name with the overlays of the site, and with `own` on top.
    fn stack(&self, name: &str, own: Vec<Found>) -> Result<Option<Source>, UnreadablePlaybook> {
        let base = self.whole(name)?;
        let mut above = Vec::new();
        for overlay in self.site_overlays()? {
            let is_meant = match overlay_of(&overlay.source) {
                Some(other) if other == name => true,
                // Nobody's: whoever reads it says so, before a run goes without what the site has changed.
                Some(other) => self.whole(&other)?.is_none(),
                None => true,
            };
            if is_meant && !own.iter().any(|own| own.is(&overlay)) {
                above.push(overlay);
            }
        }
        above.extend(own);
        let Some(base) = base else {
            // An overlay of nothing is an error of its own; without one there is nothing of this name.
            return Ok(above.pop().map(|overlay| overlay.source));
        };
        let mut layers = vec![base];
        layers.extend(above.into_iter().map(|overlay| overlay.source));
        Ok(Some(Source::layered(&layers)))
    }

    /// The names of the playbooks that the site's overlays change.
    pub fn overlaid(&self) -> Result<Vec<String>, UnreadablePlaybook> {
        let overlays = self.site_overlays()?;
        let mut names: Vec<String> = overlays
            .iter()
            .filter_map(|overlay| overlay_of(&overlay.source))
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// The playbook of this name that is part of pgbaton, whatever the user has.
pub fn stock_playbook(name: &str) -> Option<Source> {
    let stock = stock_playbooks().iter().find(|stock| stock.name == name)?;
    Some(Source::new(format!("<stock>/{name}.yaml"), stock.text))
}

/// A folder that is not there has none.
fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>, UnreadablePlaybook> {
    let unreadable = |error: std::io::Error| UnreadablePlaybook {
        file: folder.display().to_string(),
        why: error.to_string(),
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        // What is hidden is an editor's.
        let is_hidden = path
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if !is_hidden && path.extension().is_some_and(|ending| ending == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

impl Library for Shelves {
    fn find(&self, name: &str) -> Result<Option<Source>, UnreadablePlaybook> {
        let named = if is_path(name) {
            Found::at(Path::new(name))?
        } else {
            self.files_named(name)?.into_iter().next()
        };
        match named {
            // A file that is an overlay lies above those that the site always has.
            Some(file) => match overlay_of(&file.source) {
                Some(of) => self.stack(&of, vec![file]),
                None if is_path(name) => Ok(Some(file.source)),
                None => self.stack(name, Vec::new()),
            },
            None if is_path(name) => Ok(None),
            None if stock_playbook(name).is_none() => Ok(None),
            None => self.stack(name, Vec::new()),
        }
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
                // `*.test.yaml` are tests of one; what is hidden is an editor's.
                && Path::new(stem).extension().is_none_or(|e| e != "test")
                && !stem.starts_with('.')
            {
                names.push(stem.to_owned());
            }
        }
        names.sort();
        names.dedup();
        names
    }
}
