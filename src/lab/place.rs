//! Where labs live.

use super::LabError;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The directory that holds the labs of this user.
pub(super) fn default_root() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    if let Some(dir) = set("PGBATON_LAB_DIR") {
        return std::path::absolute(&dir).unwrap_or_else(|_| PathBuf::from(dir));
    }
    let uid = rustix::process::geteuid().as_raw();
    let shared = || PathBuf::from(format!("/var/tmp/pgbaton-labs-{uid}"));
    if uid == 0 {
        // Root's own state directory is closed to the user that the servers run as.
        return shared();
    }
    let state = set("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".local/state")))
        .filter(|dir| dir.is_absolute());
    state.map_or_else(shared, |dir| dir.join("pgbaton/labs"))
}

/// Makes a directory (and those above it) unless it is there, and checks that it belongs to this user: in a directory
/// that all may write to, somebody else could have made it first.
pub(super) fn own_directory(dir: &Path) -> Result<(), LabError> {
    if let Some(parent) = dir.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent)
            .map_err(|source| LabError::File {
                what: "create",
                path: parent.to_owned(),
                source,
            })?;
    }
    let meta = made(dir)?;
    let ours = meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw();
    if ours {
        Ok(())
    } else {
        Err(LabError::Foreign {
            dir: dir.to_owned(),
        })
    }
}

/// Makes a directory, or finds it. Whoever removes the last thing in it removes it too, perhaps at this moment: then it
/// is made again.
fn made(dir: &Path) -> Result<std::fs::Metadata, LabError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let made = match std::fs::DirBuilder::new().mode(0o755).create(dir) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e),
            _ => dir.symlink_metadata(),
        };
        match made {
            Ok(meta) => return Ok(meta),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && attempts < 100 => {}
            Err(source) => {
                return Err(LabError::File {
                    what: "create",
                    path: dir.to_owned(),
                    source,
                });
            }
        }
    }
}

/// Checks the name of a lab.
pub(super) fn check_name(name: &str) -> Result<(), LabError> {
    let good = (1..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    if good {
        Ok(())
    } else {
        Err(LabError::Name {
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_directory_of_labs() {
        for good in ["lab", "a-1", "7_x"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "a/b", ".x", "-x", "Lab", "a b", &"x".repeat(33)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_symbolic_link_in_place_of_the_directory_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let link = base.path().join("labs");
        std::os::unix::fs::symlink("/", &link).unwrap();
        assert!(matches!(
            own_directory(&link),
            Err(LabError::Foreign { .. })
        ));
    }
}
