//! The processes of a lab, told from all others by where they work.
//!
//! Every process of a PostgreSQL server has the data directory as its working directory, also when its postmaster is
//! gone; tools that fill a data directory name it in their arguments. A shell that somebody left in the lab's directory
//! is neither, and is never touched.

use super::user::ServerUser;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The server, also where it runs under its other name.
const SERVERS: [&str; 2] = ["postgres", "kingbase"];

/// Programs that write into data directories without working in one.
const TOOLS: [&str; 6] = [
    "initdb",
    "cp",
    "pg_basebackup",
    "pg_rewind",
    "pg_ctl",
    "pg_receivewal",
];

/// One process of a server, or a tool at work on its data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    /// Its id.
    pub(super) pid: i32,
    /// Stopped by a signal.
    pub(super) stopped: bool,
}

/// What `/proc/PID/stat` says about a living process.
struct Stat {
    comm: String,
    state: char,
}

/// Whether looks at the processes have found none for long enough to believe it.
///
/// A process that hands on to a child and ends (`sshd` and `pg_ctl` do) may do so behind a look: the child was not yet
/// listed, and the parent is gone when its turn comes. A second look sees the child.
#[derive(Debug, Default)]
pub(super) struct Quiet(u8);

impl Quiet {
    /// Counts a look; whether this and the one before it found nothing.
    pub(super) fn after(&mut self, nothing: bool) -> bool {
        self.0 = if nothing { self.0 + 1 } else { 0 };
        self.0 >= 2
    }
}

/// The living processes whose work is in or below `dir`.
pub(super) fn under(dir: &Path, user: &ServerUser) -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    let mut hidden = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        // Whatever vanishes while it is looked at is no process of ours any more.
        if entry.metadata().is_ok_and(|m| m.uid() == user.uid) {
            match belongs(pid, dir) {
                Ok(Some(process)) => found.push(process),
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => hidden.push(pid),
                Ok(None) | Err(_) => {}
            }
        }
    }
    if !hidden.is_empty() {
        // Root without CAP_SYS_PTRACE (a plain container) may signal a process but not see where it works; the
        // process's own user may.
        let seen = working_under_as(dir, user)?;
        found.extend(
            hidden
                .into_iter()
                .filter(|pid| seen.contains(pid))
                .filter_map(|pid| {
                    stat(pid).map(|stat| Process {
                        pid,
                        stopped: stat.state == 'T',
                    })
                }),
        );
    }
    Ok(found)
}

/// The process, where it is one of a server or tool at work under `dir`.
fn belongs(pid: i32, dir: &Path) -> io::Result<Option<Process>> {
    let Some(stat) = stat(pid) else {
        return Ok(None);
    };
    let ours = if SERVERS.contains(&stat.comm.as_str()) {
        inside(&std::fs::read_link(format!("/proc/{pid}/cwd"))?, dir) || names(pid, dir)?
    } else {
        TOOLS.contains(&stat.comm.as_str()) && names(pid, dir)?
    };
    Ok(ours.then_some(Process {
        pid,
        stopped: stat.state == 'T',
    }))
}

/// Whether `path` is `dir` or below it; the kernel marks a removed directory at the end of its path only.
fn inside(path: &Path, dir: &Path) -> bool {
    path.starts_with(dir)
}

/// Whether an argument of the process is a path under `dir`.
fn names(pid: i32, dir: &Path) -> io::Result<bool> {
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline"))?;
    let dir = dir.as_os_str().as_encoded_bytes();
    Ok(arguments.split(|b| *b == 0).any(|argument| {
        // `--pgdata=/path` as well as `/path`.
        let start = argument.iter().position(|b| *b == b'/').unwrap_or(0);
        let path = &argument[start..];
        path.starts_with(dir) && matches!(path.get(dir.len()), None | Some(b'/'))
    }))
}

/// None for what is gone, or dead and only not yet reaped.
fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, rest) = text.rsplit_once(')')?;
    let comm = head.split_once('(')?.1.to_owned();
    let state = rest.trim_start().chars().next()?;
    (!matches!(state, 'Z' | 'X')).then_some(Stat { comm, state })
}

/// Process ids of servers under `dir`, as their own user sees them.
fn working_under_as(dir: &Path, user: &ServerUser) -> io::Result<Vec<i32>> {
    let mut find = Command::new("find");
    find.args(["/proc", "-mindepth", "2", "-maxdepth", "2", "-name", "cwd"])
        .args(["-printf", "%h %l\\n"])
        .current_dir("/");
    if user.differs() {
        find.uid(user.uid).gid(user.gid);
    }
    // Its exit status tells only that some process of another user could not be seen.
    let output = find.output()?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix("/proc/")?.split_once(' '))
        .filter(|(_, cwd)| inside(Path::new(cwd), dir))
        .filter_map(|(pid, _)| pid.parse().ok())
        .filter(|pid| stat(*pid).is_some_and(|s| SERVERS.contains(&s.comm.as_str())))
        .collect())
}

/// Sends a signal to a process after looking once more that it is still the one that was found. A process that has
/// ended meanwhile is no error.
pub(super) fn signal(
    process: Process,
    signal: Signal,
    dir: &Path,
    user: &ServerUser,
) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(process.pid) else {
        return Ok(());
    };
    let gone = |e: rustix::io::Errno| e == rustix::io::Errno::SRCH;
    // The descriptor names the process and not the number, which may be another's by now.
    let handle = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(e) if gone(e) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    let still = match belongs(process.pid, dir) {
        Ok(found) => found.is_some(),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            working_under_as(dir, user)?.contains(&process.pid)
        }
        Err(_) => false,
    };
    if !still {
        return Ok(());
    }
    match pidfd_send_signal(handle, signal) {
        Err(e) if !gone(e) => Err(e.into()),
        _ => Ok(()),
    }
}

/// The postmaster of a data directory: the process that its `postmaster.pid` names, if it is one of `processes`.
pub(super) fn postmaster(data: &Path, processes: &[Process]) -> Option<Process> {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid: i32 = text.lines().next()?.trim().parse().ok()?;
    processes.iter().copied().find(|p| p.pid == pid)
}

/// Waits until the process that a `postmaster.pid` of a killed server names is gone from the process table, as long as
/// it is a zombie; at most `limit`. PostgreSQL refuses to start beside it.
pub(super) async fn reaped(data: &Path, limit: Duration) {
    let zombie = || {
        let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let pid: u32 = text.lines().next()?.trim().parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, state) = stat.rsplit_once(") ")?;
        state.starts_with('Z').then_some(())
    };
    let end = tokio::time::Instant::now() + limit;
    while zombie().is_some() && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A System V shared memory segment, as `postmaster.pid` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    key: i32,
    id: i32,
}

/// The segment of a server that did not end cleanly.
pub(super) fn segment(data: &Path) -> Option<Segment> {
    segment_in(&std::fs::read_to_string(data.join("postmaster.pid")).ok()?)
}

fn segment_in(pid_file: &str) -> Option<Segment> {
    let mut words = pid_file.lines().nth(6)?.split_whitespace();
    Some(Segment {
        // PostgreSQL prints the key as an unsigned long, sign-extended; the kernel prints a signed 32-bit number.
        key: {
            let printed: u64 = words.next()?.parse().ok()?;
            i32::from_ne_bytes(u32::try_from(printed & 0xffff_ffff).ok()?.to_ne_bytes())
        },
        id: words.next()?.parse().ok()?,
    })
}

/// Removes a segment that nobody is attached to any more; anything else is left alone.
pub(super) fn remove_segment(segment: Segment, user: &ServerUser) -> io::Result<()> {
    let table = std::fs::read_to_string(PathBuf::from("/proc/sysvipc/shm"))?;
    if orphaned(&table, segment, user.uid) {
        let mut ipcrm = Command::new("ipcrm");
        ipcrm.arg("-m").arg(segment.id.to_string());
        ipcrm.output()?;
    }
    Ok(())
}

/// Whether the kernel's table shows this segment, of this user, without an attached process.
fn orphaned(table: &str, segment: Segment, uid: u32) -> bool {
    table.lines().skip(1).any(|line| {
        // key shmid perms size cpid lpid nattch uid …
        let fields: Vec<&str> = line.split_whitespace().collect();
        let field = |index: usize| fields.get(index).and_then(|f| f.parse::<i64>().ok());
        field(0) == Some(segment.key.into())
            && field(1) == Some(segment.id.into())
            && field(6) == Some(0)
            && field(7) == Some(uid.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_in_the_directory_and_a_neighbour_with_the_same_beginning_are_not_ours() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("lab");
        std::fs::create_dir(&dir).unwrap();
        let me = ServerUser {
            name: None,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        };
        let mut shell = Command::new("sleep")
            .arg("60")
            .current_dir(&dir)
            .spawn()
            .unwrap();
        let found = under(&dir, &me).unwrap();
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert_eq!(found, vec![]);
        assert!(inside(
            Path::new("/l/lab/n1 (deleted)"),
            Path::new("/l/lab")
        ));
        assert!(!inside(Path::new("/l/lab2/n1"), Path::new("/l/lab")));
    }

    #[test]
    fn a_segment_is_removed_only_when_key_owner_and_count_agree() {
        let file = "12\n/d\n1700000000\n5432\n\n127.0.0.1\n  3000000001         7\nready   \n";
        let segment = segment_in(file).unwrap();
        assert_eq!(segment.id, 7);
        let line = |key: i32, attached: u32, uid: u32| {
            format!("head\n{key} 7 600 56 1 2 {attached} {uid} 104 101 104 1 2 3 4 5\n")
        };
        assert!(orphaned(&line(segment.key, 0, 101), segment, 101));
        assert!(!orphaned(&line(segment.key, 1, 101), segment, 101));
        assert!(!orphaned(&line(segment.key, 0, 102), segment, 101));
        assert!(!orphaned(&line(5, 0, 101), segment, 101));
        assert_eq!(segment_in("12\n/d\n"), None);
    }
}
