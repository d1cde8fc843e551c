//! The processes of a command on this machine, which end when nobody waits for it any more.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Ends a process, its group and its descendants when it is dropped, unless it was released.
#[derive(Debug)]
pub(super) struct FamilyGuard {
    head: Option<Pid>,
}

impl FamilyGuard {
    /// Guards the family of the child with this id, which leads a process group of its own.
    pub(super) fn new(head: Option<u32>) -> Self {
        Self {
            head: head
                .and_then(|id| i32::try_from(id).ok())
                .and_then(Pid::from_raw),
        }
    }

    /// The command exited by itself: what it left behind is left alone, for it may be a server that it started.
    pub(super) fn release(&mut self) {
        self.head = None;
    }
}

impl Drop for FamilyGuard {
    fn drop(&mut self) {
        let Some(head) = self.head else { return };
        // The descendants first: once their parent is gone, nobody knows whose they were. Two rounds, because a
        // process may fork between the look and the signal. Those that exited meanwhile are no loss.
        for _ in 0..2 {
            for pid in descendants(head) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = kill_process_group(head, Signal::KILL);
    }
}

/// All children, their children, and so on; without those that have left for a session of their own, as servers do.
fn descendants(head: Pid) -> Vec<Pid> {
    let head = head.as_raw_nonzero().get();
    let Some((_, session)) = parent_and_session(head) else {
        return Vec::new();
    };
    let processes: Vec<(i32, i32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let (parent, its) = parent_and_session(pid)?;
            (its == session).then_some((pid, parent))
        })
        .collect();
    let mut family = vec![head];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(
            processes
                .iter()
                .filter(|(_, p)| *p == parent)
                .map(|(child, _)| child),
        );
        next += 1;
    }
    family
        .into_iter()
        .skip(1)
        .filter_map(Pid::from_raw)
        .collect()
}

fn parent_and_session(pid: i32) -> Option<(i32, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name in parentheses, which may hold anything: state, parent, group, session.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some((parent, session))
}
