//! Whether a machine can be made here at all: a test that cannot be made is left out with the reason, and not failed.

use std::path::Path;
use std::process::Command;

/// What is missing for [`super::Machine`], in plain words; none where everything is there.
pub(crate) fn lacking() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can make a machine to install on".to_owned());
    }
    lacking_programs(Path::new("/")).or_else(lacking_namespaces)
}

/// The part that is files, below `root`.
pub(crate) fn lacking_programs(root: &Path) -> Option<String> {
    for (file, package) in [
        ("lib/systemd/systemd", "systemd"),
        ("usr/bin/dpkg", "dpkg"),
        ("usr/bin/unshare", "util-linux"),
        ("usr/bin/nsenter", "util-linux"),
    ] {
        if !root.join(file).exists() {
            return Some(format!(
                "there is no /{file} (Debian: {package}; scripts/test installs it)"
            ));
        }
    }
    None
}

/// Whether namespaces can be made, which containers often do not let their root do.
fn lacking_namespaces() -> Option<String> {
    let tried = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--uts", "--ipc", "--net"])
        .args([
            "--cgroup", "mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/mnt",
        ])
        .output();
    match tried {
        Ok(done) if done.status.success() => None,
        Ok(done) => {
            let why = String::from_utf8_lossy(&done.stderr);
            Some(format!("no namespaces can be made here: {}", why.trim()))
        }
        Err(error) => Some(format!("no namespaces can be made here: {error}")),
    }
}
