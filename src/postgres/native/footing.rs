//! What the server stands on, read without a shell.

use super::Native;
use crate::cluster::Footing;
use rustix::fs::{IFlags, OFlags, StatVfs, StatVfsMountFlags};
use std::os::unix::fs::MetadataExt as _;

impl Native {
    /// Free space, and whether the file of the settings can be replaced; none where this cannot be told from here.
    pub(in crate::postgres) fn footing(&self) -> Option<Footing> {
        let data = rustix::fs::fstatvfs(&self.dir).ok()?;
        let wal = rustix::fs::statvfs(self.data.join(self.names.wal_dir)).ok()?;
        let file = self.names.auto_conf;
        let settings_file = if data.f_flag.contains(StatVfsMountFlags::RDONLY) {
            Some("lies in a directory that is mounted read-only".to_owned())
        } else {
            self.unsettled(file)
        };
        Some(Footing {
            data_free: free(&data),
            wal_free: free(&wal),
            settings_file: settings_file.map(|why| format!("{file} {why}")),
            start: None,
        })
    }

    /// Why the server could not read this file of its data directory, or replace it.
    fn unsettled(&self, file: &str) -> Option<String> {
        let path = self.data.join(file);
        let about = std::fs::symlink_metadata(&path).ok()?;
        if about.file_type().is_symlink() {
            let target = std::fs::read_link(&path).unwrap_or_default();
            let gone = std::fs::metadata(&path).is_err();
            return gone.then(|| format!("is a link to {}, which is not there", target.display()));
        }
        if !about.is_file() {
            return Some("is no file".to_owned());
        }
        let (user, group) = self.owner;
        let shift = if about.uid() == user {
            6
        } else if about.gid() == group {
            3
        } else {
            0
        };
        if user != 0 && about.mode() >> shift & 0o4 == 0 {
            return Some(format!(
                "belongs to user {} and may not be read by the server",
                about.uid()
            ));
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        if mounts.contains(&format!(" {} ", path.display())) {
            return Some("is mounted there and cannot be replaced".to_owned());
        }
        let open = self.file(file, OFlags::RDONLY).ok()?;
        let flags = rustix::fs::ioctl_getflags(&open).unwrap_or(IFlags::empty());
        flags
            .intersects(IFlags::IMMUTABLE | IFlags::APPEND)
            .then(|| "may not be changed by anybody (chattr)".to_owned())
    }
}

/// What an ordinary user may still write.
fn free(space: &StatVfs) -> u64 {
    space.f_bavail.saturating_mul(space.f_frsize)
}
