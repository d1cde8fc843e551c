//! Whatever runs on a lab's hosts, told by its network namespace: ssh servers and their sessions, what was left behind
//! by those, and the servers.

use super::super::LabError;
use super::super::processes::Quiet;
use super::super::record::Lab;
use super::make::namespaces;
use super::network::path;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

/// How long killed processes may take to go.
const BOUND: Duration = Duration::from_secs(15);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Kills everything on the hosts but PostgreSQL's own processes, which are asked first, by others. Blocks.
pub(in crate::lab) fn end(lab: &Lab) -> Result<(), LabError> {
    let Some(network) = lab.record.network else {
        return Ok(());
    };
    let hosts: Vec<(u64, u64)> = namespaces(lab, network)
        .iter()
        .filter_map(|namespace| path(namespace).metadata().ok())
        .map(|meta| identity(&meta))
        .collect();
    let started = Instant::now();
    let mut quiet = Quiet::default();
    loop {
        let visitors = visitors(&hosts);
        if quiet.after(visitors.is_empty()) {
            return Ok(());
        }
        if started.elapsed() > BOUND {
            return Err(LabError::Left {
                name: lab.record.name.clone(),
                pids: visitors,
            });
        }
        for pid in visitors {
            kill(pid, &hosts);
        }
        std::thread::sleep(PAUSE);
    }
}

fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

fn visitors(hosts: &[(u64, u64)]) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| visits(*pid, hosts))
        .collect()
}

/// A process that has ended, collected or not, is in no namespace any more.
fn visits(pid: i32, hosts: &[(u64, u64)]) -> bool {
    let namespace = std::fs::metadata(format!("/proc/{pid}/ns/net"));
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    namespace.is_ok_and(|meta| hosts.contains(&identity(&meta))) && name.trim_end() != "postgres"
}

/// One that ends meanwhile is what is wanted; one that stays is seen in the next look.
fn kill(pid: i32, hosts: &[(u64, u64)]) {
    // The descriptor names the process and not the number, which may be another's by now.
    if let Some(id) = Pid::from_raw(pid)
        && let Ok(handle) = pidfd_open(id, PidfdFlags::empty())
        && visits(pid, hosts)
    {
        let _ = pidfd_send_signal(handle, Signal::KILL);
    }
}
