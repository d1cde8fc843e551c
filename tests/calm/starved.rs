//! Processes that get next to no processor: a control group with a quota.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Of each period of 200 ms, this share.
const PER_MILLE: u64 = 15;
const PERIOD: u64 = 200_000;

/// The group; who is in it is set free when it goes.
#[derive(Debug)]
pub(crate) struct Starved {
    group: PathBuf,
    back: PathBuf,
}

impl Starved {
    /// Whether this machine lets us make a group with a quota: a container may not.
    pub(crate) fn is_possible() -> bool {
        std::panic::catch_unwind(|| drop(Self::new("possible", &[]))).is_ok()
    }

    /// Takes these processes in, and whoever they beget.
    pub(crate) fn new(name: &str, processes: &[u32]) -> Self {
        let quota = PERIOD * PER_MILLE / 1000;
        let first = Path::new("/sys/fs/cgroup/cpu");
        let (root, limits) = if first.exists() {
            let limits = [
                ("cpu.cfs_period_us", PERIOD.to_string()),
                ("cpu.cfs_quota_us", quota.to_string()),
            ];
            (first.to_owned(), limits.to_vec())
        } else {
            let limits = [("cpu.max", format!("{quota} {PERIOD}"))];
            let root = Path::new("/sys/fs/cgroup");
            let _ = std::fs::write(root.join("cgroup.subtree_control"), "+cpu");
            (root.to_owned(), limits.to_vec())
        };
        let group = root.join(format!("pgbaton-{}-{name}", std::process::id()));
        std::fs::create_dir(&group).unwrap();
        let starved = Self { group, back: root };
        for (file, value) in limits {
            std::fs::write(starved.group.join(file), value).unwrap();
        }
        for process in processes {
            // One may have ended meanwhile.
            let _ = std::fs::write(starved.group.join("cgroup.procs"), process.to_string());
        }
        starved
    }

    /// How often somebody in it had to wait for the next period.
    pub(crate) fn throttled(&self) -> u64 {
        let text = std::fs::read_to_string(self.group.join("cpu.stat")).unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix("nr_throttled "));
        line.unwrap().parse().unwrap()
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        for _ in 0..50 {
            let inside = std::fs::read_to_string(self.group.join("cgroup.procs"));
            let inside = inside.unwrap_or_default();
            for process in inside.lines() {
                let _ = std::fs::write(self.back.join("cgroup.procs"), process);
            }
            if inside.is_empty() && std::fs::remove_dir(&self.group).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// All processes of a network namespace: those of a host of a lab.
pub(crate) fn of_host(namespace: &Path) -> Vec<u32> {
    let name = namespace.file_name().unwrap();
    let said = Command::new("ip")
        .args(["netns", "pids"])
        .arg(name)
        .output()
        .unwrap();
    assert!(said.status.success(), "{said:?}");
    let text = String::from_utf8(said.stdout).unwrap();
    text.split_whitespace()
        .map(|p| p.parse().unwrap())
        .collect()
}
