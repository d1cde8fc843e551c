//! A process session on this machine that ends when nobody waits for it any more.

use rustix::process::{Pid, Signal, kill_process};

/// Ends every process of a session when it is dropped, unless it was released.
#[derive(Debug)]
pub(super) struct SessionGuard {
    leader: Option<Pid>,
}

impl SessionGuard {
    /// Guards the session whose leader is the child with this id.
    pub(super) fn new(leader: Option<u32>) -> Self {
        Self {
            leader: leader
                .and_then(|id| i32::try_from(id).ok())
                .and_then(Pid::from_raw),
        }
    }

    /// The leader exited by itself: what it left behind is left alone, for it may be a server that it started.
    pub(super) fn release(&mut self) {
        self.leader = None;
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        let Some(leader) = self.leader else { return };
        // A process may fork between the scan and the signal; the second scan sees the child.
        for _ in 0..2 {
            for pid in members(leader) {
                // It may have exited by itself; nothing is lost then.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// The processes of the session, its leader first.
fn members(leader: Pid) -> Vec<Pid> {
    let mut pids = vec![leader];
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return pids;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // After the name in parentheses, which may hold anything: state, parent, group, session.
        let session = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(3))
            .and_then(|field| field.parse::<i32>().ok());
        if session == Some(leader.as_raw_nonzero().get())
            && let Some(pid) = Pid::from_raw(pid)
            && pid != leader
        {
            pids.push(pid);
        }
    }
    pids
}
