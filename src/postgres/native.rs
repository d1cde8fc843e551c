//! A host that is this machine: its files and processes, without a shell. What a script answers in tens of
//! milliseconds is read here in one; a failover waits for it.
//!
//! Only where this process may look and act as the server's user: as that user, or as root. Files are reached through
//! the opened data directory and never through a symbolic link, so that root cannot be led elsewhere. Whatever cannot
//! be told here is left to the scripts of [`super::scripts`], which run as the server's user.

mod footing;
mod wal;

use super::dialect::Names;
use crate::cluster::{Node, Transport};
use crate::transport::user_id;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

/// How often a process that cannot be told yet is looked at again, and how long in between.
const TRIES: u32 = 200;
const NAP: Duration = Duration::from_millis(5);

/// A data directory of this machine.
pub(super) struct Native {
    data: PathBuf,
    dir: OwnedFd,
    place: (u64, u64),
    owner: (u32, u32),
    names: &'static Names,
}

/// It cannot be told from here: ask by a script, as the server's user.
#[derive(Debug)]
pub(super) struct Blind;

impl Native {
    /// The node's data directory, where all of it can be reached from here.
    pub(super) fn open(node: &Node, names: &'static Names) -> Option<Self> {
        let Transport::Local { user } = &node.transport else {
            return None;
        };
        let me = rustix::process::geteuid().as_raw();
        let wanted = match user {
            Some(user) => user_id(user)?,
            None => me,
        };
        if me != 0 && me != wanted {
            return None;
        }
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&node.data, flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&dir).ok()?;
        if wanted != 0 && stat.st_uid != wanted {
            return None;
        }
        Some(Self {
            data: node.data.clone(),
            dir,
            place: (stat.st_dev, stat.st_ino),
            owner: (stat.st_uid, stat.st_gid),
            names,
        })
    }

    /// The user and group that the data directory belongs to.
    pub(super) fn owner(&self) -> (u32, u32) {
        self.owner
    }

    /// The postmaster that the pid file names, where it lives.
    pub(super) fn alive(&self) -> Result<Option<u32>, Blind> {
        match self.noted()?.first().and_then(|line| line.parse().ok()) {
            Some(pid) if self.is_ours(pid)? => Ok(Some(pid)),
            _ => Ok(None),
        }
    }

    /// The process id in the pid file, whoever that is by now.
    pub(super) fn noted_pid(&self) -> Option<u32> {
        self.noted().ok()?.first()?.parse().ok()
    }

    /// The postmaster's own word for its state: `starting`, `ready`, `standby`, `stopping`.
    pub(super) fn status(&self) -> String {
        let lines = self.noted().unwrap_or_default();
        lines.get(7).cloned().unwrap_or_default()
    }

    fn noted(&self) -> Result<Vec<String>, Blind> {
        let text = self.read(self.names.pid_file).map_err(|_| Blind)?;
        let text = String::from_utf8_lossy(text.as_deref().unwrap_or_default()).into_owned();
        Ok(text.lines().map(|line| line.trim().to_owned()).collect())
    }

    /// Whether a process belongs to the data directory: a server program that works in it.
    fn is_ours(&self, pid: u32) -> Result<bool, Blind> {
        let mut comm = [0; 32];
        let read = File::open(format!("/proc/{pid}/comm")).and_then(|mut f| f.read(&mut comm));
        let comm = comm.get(..read.unwrap_or(0)).unwrap_or_default();
        let mut known = self.names.processes.split(' ');
        if !known.any(|name| name.as_bytes() == comm.trim_ascii_end()) {
            return Ok(false);
        }
        for tried in 0..TRIES {
            if let Ok(cwd) = std::fs::metadata(format!("/proc/{pid}/cwd")) {
                return Ok((cwd.dev(), cwd.ino()) == self.place);
            }
            // Not ours to inspect, of another owner, or at its end: a process that is exiting has no directory.
            if !runs(pid) {
                return Ok(false);
            }
            if tried == 0 {
                match std::fs::metadata(format!("/proc/{pid}")) {
                    Ok(about) if about.uid() == self.owner.0 => {}
                    _ => return Ok(false),
                }
            }
            std::thread::sleep(NAP);
        }
        Err(Blind)
    }

    /// All processes of the data directory.
    pub(super) fn processes(&self) -> Result<Vec<u32>, Blind> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").map_err(|_| Blind)?.flatten() {
            let pid = entry.file_name().to_str().and_then(|n| n.parse().ok());
            if let Some(pid) = pid
                && self.is_ours(pid)?
            {
                found.push(pid);
            }
        }
        Ok(found)
    }

    /// What the script [`super::scripts::LOOK`] prints, up to the control data.
    pub(super) fn look(&self) -> Result<String, Blind> {
        let mut lines = Vec::new();
        let noted = self.noted()?;
        let postmaster = self.alive()?;
        if let Some(pid) = postmaster {
            lines.push(format!("postmaster {pid}"));
            if is_halted(pid) {
                lines.push("frozen".to_owned());
            }
        }
        if let Some(status) = noted.get(7).filter(|s| !s.is_empty()) {
            lines.push(format!("status {status}"));
        }
        if let (Some(creator), Some(key)) = (noted.first(), noted.get(6)) {
            let id = key.rsplit(' ').next().unwrap_or_default();
            let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
            for line in table.lines() {
                let fields: Vec<&str> = line.split_whitespace().collect();
                if let [_, shm, _, _, by, _, attached, ..] = fields[..]
                    && shm == id
                    && by == creator
                {
                    lines.push(format!("shared {attached}"));
                }
            }
        }
        if self.exists("standby.signal") {
            lines.push("signal".to_owned());
        }
        if self.exists(super::rebuild::MARK) {
            lines.push("rewinding".to_owned());
        }
        lines.extend(self.newest_timeline().map(|t| format!("timeline {t}")));
        lines.extend(self.slots().map(|slot| format!("slot {slot}")));
        for pid in self.processes()? {
            // One that ends meanwhile is not there.
            let Some(parent) = parent(pid) else { continue };
            let title = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let title = String::from_utf8_lossy(&title).replace(['\0', '\n'], " ");
            lines.push(format!("process {pid} {parent} {}", title.trim_end()));
        }
        lines.push("control\n".to_owned());
        Ok(lines.join("\n"))
    }

    /// As the names of segments and history files tell it: eight hexadecimal digits.
    fn newest_timeline(&self) -> Option<String> {
        let names = std::fs::read_dir(self.data.join(self.names.wal_dir)).ok()?;
        names
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let digits = name.strip_suffix(".history").unwrap_or(&name);
                let length = if digits.len() == name.len() { 24 } else { 8 };
                let hexadecimal = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
                (digits.len() == length && digits.bytes().all(hexadecimal))
                    .then(|| digits[..8].to_owned())
            })
            .max()
    }

    /// The names of the slots: each has a directory of its own.
    fn slots(&self) -> impl Iterator<Item = String> {
        let entries = std::fs::read_dir(self.data.join(self.names.slot_dir));
        entries.into_iter().flatten().flatten().filter_map(|entry| {
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            entry.file_name().into_string().ok().filter(|_| is_dir)
        })
    }

    /// Sends SIGKILL to all processes of the data directory, the postmaster first; one that still was there, if any.
    pub(super) fn kill_all(&self) -> Result<Option<u32>, Blind> {
        if let Some(pid) = self.alive()? {
            signal(pid, Signal::KILL);
        }
        let found = self.processes()?;
        for pid in &found {
            signal(*pid, Signal::KILL);
        }
        Ok(found.first().copied())
    }

    pub(super) fn exists(&self, name: &str) -> bool {
        rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    fn file(&self, name: &str, flags: OFlags) -> Result<File, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::openat(&self.dir, name, flags, mode).map(File::from)
    }

    /// A file's contents; none where there is no such file.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self.file(name, OFlags::RDONLY) {
            Ok(mut file) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                Ok(Some(bytes))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces a file: whole or not at all, durable; owner and mode as before, else the directory's and 0600.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = format!("{name}.pgbaton.tmp");
        match rustix::fs::unlinkat(&self.dir, &new, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let before = rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let written = self.written(&new, before.as_ref(), bytes).and_then(|()| {
            rustix::fs::renameat(&self.dir, &new, &self.dir, name)?;
            self.settle()
        });
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&self.dir, &new, AtFlags::empty());
        }
        written
    }

    fn written(
        &self,
        new: &str,
        before: Option<&rustix::fs::Stat>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let mut file = self.file(new, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
        let (uid, gid) = before.map_or(self.owner, |s| (s.st_uid, s.st_gid));
        if rustix::process::geteuid().is_root() {
            let (uid, gid) = (
                rustix::fs::Uid::from_raw(uid),
                rustix::fs::Gid::from_raw(gid),
            );
            rustix::fs::fchown(&file, Some(uid), Some(gid))?;
        }
        if let Some(before) = before {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(before.st_mode & 0o777))?;
        }
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Creates an empty file, unless it exists.
    pub(super) fn touch(&self, name: &str) -> io::Result<()> {
        if self.exists(name) {
            return Ok(());
        }
        self.write(name, b"")
    }

    /// Removes a file; no error where there is none.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) => self.settle(),
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The directory's own contents are durable.
    fn settle(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.dir)?)
    }

    /// For error texts.
    pub(super) fn path(&self, name: &str) -> String {
        self.data.join(name).display().to_string()
    }
}

/// It exists and is not a dead process that its parent has yet to collect.
pub(super) fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|rest| !rest.starts_with(['Z', 'X']))
}

/// A signal has stopped it.
pub(super) fn is_halted(pid: u32) -> bool {
    stat(pid).is_some_and(|rest| rest.starts_with(['T', 't']))
}

/// Sends a signal. To one that has gone meanwhile there is nothing to say.
pub(super) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Ends a process and those that it leads, as a postmaster ends a session: a program that it runs holds its client's
/// connection open.
pub(super) fn kill_group(pid: u32) {
    signal(pid, Signal::KILL);
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
}

/// It is dead, and its parent has yet to collect it.
pub(super) fn is_uncollected(pid: u32) -> bool {
    stat(pid).is_some_and(|rest| rest.starts_with(['Z', 'X']))
}

/// What tells a process from a later one of the same id: when it started, in ticks since the boot.
pub(super) fn born(pid: u32) -> Option<u64> {
    stat(pid)?.split_whitespace().nth(19)?.parse().ok()
}

pub(super) fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.split_whitespace().nth(1)?.parse().ok()
}

/// The fields after the name in parentheses, which may hold anything.
fn stat(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned())
}
