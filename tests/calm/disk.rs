//! A disk of its own for one node, which can be held: whoever writes to it waits.

use super::support::Cluster;
use std::path::{Path, PathBuf};
use std::process::Command;

const MIB: u64 = 1 << 20;

#[track_caller]
pub(crate) fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {arguments:?}: {said}");
}

/// The disk. It goes before the cluster does, which then finds its directory as it made it, but empty.
#[derive(Debug)]
pub(crate) struct Disk {
    at: PathBuf,
    image: PathBuf,
}

impl Disk {
    /// Whether this machine can have one: a container may have no loop device.
    pub(crate) fn is_possible() -> bool {
        let found = Command::new("losetup").arg("--find").output();
        found.is_ok_and(|found| found.status.success())
    }

    /// Moves all that a node that is down has to a disk of its own.
    pub(crate) fn under(cluster: &Cluster, node: &str) -> Self {
        let data = cluster.data(node);
        let at = data.parent().unwrap().to_owned();
        let image = cluster.lab.dir().join(format!("{node}.image"));
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(1024 * MIB).unwrap();
        let aside = at.with_extension("aside");
        run("mkfs.ext4", &["-q", "-F", text(&image)]);
        std::fs::rename(&at, &aside).unwrap();
        std::fs::create_dir(&at).unwrap();
        run("mount", &["-o", "loop", text(&image), text(&at)]);
        let disk = Self { at, image };
        run(
            "cp",
            &["-a", &format!("{}/.", text(&aside)), text(&disk.at)],
        );
        std::fs::remove_dir_all(&aside).unwrap();
        disk
    }

    pub(crate) fn hold(&self) {
        run("fsfreeze", &["--freeze", text(&self.at)]);
    }

    pub(crate) fn release(&self) {
        run("fsfreeze", &["--unfreeze", text(&self.at)]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It is not held when all went well.
        let _ = Command::new("fsfreeze")
            .args(["--unfreeze", text(&self.at)])
            .output();
        let _ = Command::new("umount").arg(&self.at).output();
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
        let _ = std::fs::remove_file(&self.image);
    }
}
