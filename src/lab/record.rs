//! A lab as another process finds it again: its record, its lock, its directory.

use super::hosts::Network;
use super::user::ServerUser;
use super::writer::Endpoint;
use super::{LabError, destroy, place};
use crate::cluster::NodeName;
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The record's file; what has it is a lab.
const RECORD: &str = "lab.json";
/// The form of the record that this version writes and reads.
const VERSION: u32 = 1;
/// How long `down` waits for another process that is at work on the same lab.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The superuser of every lab.
pub(super) const SUPERUSER: &str = "postgres";

/// What is written down before anything else is made, so that everything can be found and removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) version: u32,
    pub(super) name: String,
    pub(super) user: ServerUser,
    pub(super) bin: PathBuf,
    pub(super) nodes: Vec<Member>,
    /// Where every node has a host of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) network: Option<Network>,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    pub(super) name: NodeName,
    pub(super) port: u16,
}

/// A disposable cluster. Dropping it leaves it as it is; see [`Lab::disposable`].
#[derive(Debug, Clone)]
pub struct Lab {
    pub(super) record: Record,
    pub(super) dir: PathBuf,
    site: PathBuf,
}

impl Lab {
    pub(super) fn new(dir: PathBuf, record: Record) -> Self {
        let site = dir.join("site.yaml");
        Self { record, dir, site }
    }

    /// The lab of this name in the default directory; see [`super::LabOptions::root`]. Looks at no server.
    pub fn open(name: &str) -> Result<Self, LabError> {
        Self::open_in(&place::default_root(), name)
    }

    /// The lab of this name in a directory of labs. Looks at no server.
    pub fn open_in(root: &Path, name: &str) -> Result<Self, LabError> {
        place::check_name(name)?;
        let dir = root.join(name);
        let path = dir.join(RECORD);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let record = serde_json::from_slice(&bytes)
                    .map_err(|source| LabError::Record { path, source })?;
                Ok(Self::new(dir, record))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                // Killed between making the directory and writing the record: empty, and still to be removed.
                if dir.is_dir() && unrecorded(&dir) {
                    return Ok(Self::new(
                        dir,
                        Record {
                            version: VERSION,
                            name: name.to_owned(),
                            user: ServerUser::pick()?,
                            bin: PathBuf::new(),
                            nodes: Vec::new(),
                            network: None,
                        },
                    ));
                }
                Err(LabError::Missing {
                    name: name.to_owned(),
                    labs: Self::list_in(root)?,
                })
            }
            Err(source) => Err(LabError::File {
                what: "read",
                path,
                source,
            }),
        }
    }

    /// The names of all labs in the default directory, sorted; partly made ones too.
    pub fn list() -> Result<Vec<String>, LabError> {
        Self::list_in(&place::default_root())
    }

    /// The names of all labs in a directory of labs, sorted; partly made ones too.
    pub fn list_in(root: &Path) -> Result<Vec<String>, LabError> {
        let entries = match std::fs::read_dir(root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => {
                return Err(LabError::File {
                    what: "list",
                    path: root.to_owned(),
                    source,
                });
            }
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|e| e.path().join(RECORD).exists() || unrecorded(&e.path()))
            .filter_map(|e| e.file_name().into_string().ok())
            .filter(|name| place::check_name(name).is_ok())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Its directory; everything that belongs to it is inside.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The site file for every command: `--site` takes it. Its one cluster has the lab's name.
    pub fn site_file(&self) -> &Path {
        &self.site
    }

    /// Its nodes, `n1` (the first primary) first.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.record.nodes.iter().map(|n| &n.name)
    }

    /// Where a node's superuser logs in; none for a name that is no node.
    pub fn endpoint(&self, node: &str) -> Option<Endpoint> {
        self.record
            .nodes
            .iter()
            .find(|n| n.name.as_str() == node)
            .map(|member| self.endpoint_of(member))
    }

    /// [`Lab::endpoint`] of every node, in the order of [`Lab::nodes`].
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let nodes = self.record.nodes.iter();
        nodes.map(|member| self.endpoint_of(member)).collect()
    }

    /// Whether every node has a host of its own; see [`super::LabOptions::hosts`].
    pub fn has_hosts(&self) -> bool {
        self.record.network.is_some()
    }

    /// The address that a node's server listens on.
    pub(super) fn address(&self, node: &NodeName) -> String {
        let place = self.nodes().position(|n| n == node);
        match (self.record.network, place) {
            (Some(network), Some(place)) => network.address(place),
            _ => "127.0.0.1".to_owned(),
        }
    }

    pub(super) fn endpoint_of(&self, member: &Member) -> Endpoint {
        Endpoint {
            host: self.address(&member.name),
            port: member.port,
            user: SUPERUSER.to_owned(),
            dbname: "postgres".to_owned(),
        }
    }

    /// The data directory of a node, which may be any of [`Lab::nodes`].
    pub fn data(&self, node: &NodeName) -> PathBuf {
        self.home(node).join("data")
    }

    /// The log of a node's server.
    pub fn log(&self, node: &NodeName) -> PathBuf {
        self.home(node).join("server.log")
    }

    /// What a node has besides its data directory: what a rebuild must not overwrite.
    pub(super) fn home(&self, node: &NodeName) -> PathBuf {
        self.dir.join(node.as_str())
    }

    pub(super) fn member(&self, node: &NodeName) -> Result<&Member, LabError> {
        self.record
            .nodes
            .iter()
            .find(|n| n.name == *node)
            .ok_or_else(|| LabError::UnknownNode {
                lab: self.record.name.clone(),
                node: node.to_string(),
                nodes: self.nodes().map(ToString::to_string).collect(),
            })
    }

    /// Ends every process of the lab, frozen and orphaned ones too, and removes everything. Done twice, it is as if done
    /// once. Bounded by about half a minute; what it cannot end it names.
    pub async fn down(&self) -> Result<(), LabError> {
        let lab = self.clone();
        tokio::task::spawn_blocking(move || destroy::locked(&lab))
            .await
            .map_err(LabError::Runtime)?
    }

    /// The lab, to be removed when it is dropped.
    pub fn disposable(self) -> Disposable {
        Disposable(self)
    }

    /// Writes the record in one step: it is whole or not there.
    pub(super) fn write_record(&self) -> Result<(), LabError> {
        let path = self.dir.join(RECORD);
        let draft = self.dir.join(format!("{RECORD}.new"));
        let write = || {
            let bytes = serde_json::to_vec_pretty(&self.record)?;
            std::fs::write(&draft, bytes)?;
            std::fs::rename(&draft, &path)
        };
        write().map_err(|source| LabError::File {
            what: "write",
            path: path.clone(),
            source,
        })
    }

    /// The right to make or remove this lab, held until dropped. Waits for another process up to `patience`.
    pub(super) fn lock(&self, patience: Duration) -> Result<Option<File>, LabError> {
        let fail = |what, source| LabError::File {
            what,
            path: self.dir.clone(),
            source,
        };
        let file = match File::open(&self.dir) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fail("open", e)),
        };
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if started.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(LabError::Busy {
                        name: self.record.name.clone(),
                    });
                }
                Err(TryLockError::Error(e)) => return Err(fail("lock", e)),
            }
        }
    }
}

impl Record {
    pub(super) fn new(name: &str, user: ServerUser, bin: PathBuf) -> Self {
        Self {
            version: VERSION,
            name: name.to_owned(),
            user,
            bin,
            nodes: Vec::new(),
            network: None,
        }
    }
}

/// A directory in which nothing was made yet but the draft of a record.
fn unrecorded(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|entries| {
        entries
            .flatten()
            .all(|e| e.file_name().to_string_lossy().starts_with(RECORD))
    })
}

/// A lab that is removed when dropped; for tests and the demo. The removal blocks the thread, for a second or so.
#[derive(Debug)]
pub struct Disposable(Lab);

impl std::ops::Deref for Disposable {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.0
    }
}

impl Drop for Disposable {
    fn drop(&mut self) {
        if let Err(error) = destroy::locked(&self.0) {
            tracing::error!(lab = self.0.name(), %error, "the lab could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_no_lab_is_neither_listed_nor_opened() {
        let root = tempfile::tempdir().unwrap();
        for (name, file) in [
            ("photos", "cat.jpg"),
            ("ours", RECORD),
            ("begun", "lab.json.new"),
        ] {
            std::fs::create_dir(root.path().join(name)).unwrap();
            std::fs::write(root.path().join(name).join(file), "{}").unwrap();
        }
        assert_eq!(Lab::list_in(root.path()).unwrap(), ["begun", "ours"]);
        assert!(Lab::open_in(root.path(), "begun").is_ok());
        assert!(matches!(
            Lab::open_in(root.path(), "photos"),
            Err(LabError::Missing { labs, .. }) if labs == ["begun", "ours"]
        ));
        assert!(matches!(
            Lab::open_in(root.path(), "ours"),
            Err(LabError::Record { .. })
        ));
    }

    #[test]
    fn what_waits_can_be_spawned() {
        fn sendable<T: Send>(_: T) {}
        sendable(Lab::up(super::super::LabOptions::default()));
        let lab = |root: &Path| Lab::open_in(root, "x");
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("x")).unwrap();
        let lab = lab(root.path()).unwrap();
        let node = NodeName::parse("n1").unwrap();
        sendable(lab.fault(&node, super::super::Fault::Freeze));
        sendable(lab.status());
        sendable(lab.down());
    }
}
