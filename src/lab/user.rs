//! The operating-system user that owns the servers: PostgreSQL refuses to run as root.

use super::LabError;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// The user that servers run as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerUser {
    /// Its name; none where it is the current user.
    pub(super) name: Option<String>,
    /// Its user id.
    pub(super) uid: u32,
    /// Its group id.
    pub(super) gid: u32,
}

impl ServerUser {
    /// The current user; for root `postgres`, else `nobody`.
    pub(super) fn pick() -> Result<Self, LabError> {
        let uid = rustix::process::geteuid().as_raw();
        if uid != 0 {
            return Ok(Self {
                name: None,
                uid,
                gid: rustix::process::getegid().as_raw(),
            });
        }
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| account(&accounts, name))
            .ok_or(LabError::NoUser)
    }

    /// Root, where this process is root: for what servers' users may not do.
    pub(super) fn root() -> Self {
        Self {
            name: None,
            uid: 0,
            gid: 0,
        }
    }

    /// Whether commands must change to this user.
    pub(super) fn differs(&self) -> bool {
        self.name.is_some()
    }

    /// Fails with the first directory on the way to `dir` that this user may not pass.
    pub(super) fn check_reach(&self, dir: &Path) -> Result<(), LabError> {
        if !self.differs() {
            return Ok(());
        }
        let ancestors: Vec<&Path> = dir.ancestors().collect();
        for at in ancestors.into_iter().rev() {
            let Ok(meta) = at.metadata() else { continue };
            let mode = meta.permissions().mode();
            let bit = if meta.uid() == self.uid {
                0o100
            } else if meta.gid() == self.gid {
                0o010
            } else {
                0o001
            };
            if mode & bit == 0 {
                return Err(LabError::Unreachable {
                    user: self.name.clone().unwrap_or_default(),
                    at: at.to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// An account in the format of `/etc/passwd`.
fn account(accounts: &str, wanted: &str) -> Option<ServerUser> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (name == wanted && uid != 0).then(|| ServerUser {
            name: Some(name.to_owned()),
            uid,
            gid,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name_and_is_never_root() {
        let accounts = "postgresql:x:9:9::/:/bin/sh\npostgres:x:101:104:admin,,,:/var/lib/postgresql:/bin/bash\ntoor:x:0:0::/:/bin/sh\n";
        let found = account(accounts, "postgres").unwrap();
        assert_eq!((found.uid, found.gid), (101, 104));
        assert_eq!(account(accounts, "toor"), None);
        assert_eq!(account(accounts, "nobody"), None);
    }

    #[test]
    fn a_directory_that_the_user_cannot_pass_is_named() {
        let base = tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in("/var/tmp")
            .unwrap();
        let shut = base.path().join("shut");
        std::fs::create_dir_all(shut.join("labs")).unwrap();
        std::fs::set_permissions(&shut, std::fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = ServerUser {
            name: Some("stranger".into()),
            uid: 4_000_001,
            gid: 4_000_001,
        };
        assert!(stranger.check_reach(base.path()).is_ok());
        let refused = stranger.check_reach(&shut.join("labs/x")).unwrap_err();
        assert!(matches!(refused, LabError::Unreachable { at, .. } if at == shut));
    }
}
