//! The directory of one cluster's records on this machine, and the files in it.
//!
//! Directories are opened one by one and never through a link: root works in directories that belong to others.

use super::Recorded;
use super::native::Watch;
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

/// The longest that the lock is waited for.
const LOCK: Duration = Duration::from_secs(10);
/// Older records are removed.
const WEEK: Duration = Duration::from_hours(7 * 24);

/// The records of one cluster.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: OwnedFd,
    pub(super) id: String,
    pub(super) owner: (u32, u32),
}

impl Place {
    pub(super) fn lock(&self) -> io::Result<OwnedFd> {
        let file = self.create(&self.directory, "lock", OFlags::empty())?;
        let end = Instant::now() + LOCK;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file.into()),
                Err(Errno::WOULDBLOCK) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(Errno::WOULDBLOCK) => {
                    let seconds = LOCK.as_secs();
                    let held = format!("its lock is held by somebody for more than {seconds} s");
                    return Err(io::Error::other(held));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The record of an operation that this process does.
    pub(super) fn begin(&self, recorded: &Recorded) -> io::Result<OwnedFd> {
        let record = own_directory(&self.directory, &self.id, self.owner)?;
        self.write(&record, "status", format!("{:64}\n", "").as_bytes())?;
        let token = recorded
            .fence
            .as_ref()
            .map_or("none".to_owned(), |f| f.1.to_string());
        self.write(
            &record,
            "about",
            format!("token {token}\nby pgbaton itself\n").as_bytes(),
        )?;
        let me = std::process::id();
        let born = born(&me.to_string()).ok_or_else(|| io::Error::other("/proc cannot be read"))?;
        self.write(
            &record,
            "leader",
            format!("{me} {born} {}\n", boot()?).as_bytes(),
        )?;
        Ok(record)
    }

    fn create(&self, at: &OwnedFd, name: &str, more: OFlags) -> io::Result<File> {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
        let file = rustix::fs::openat(at, name, flags, Mode::RUSR | Mode::WUSR)?;
        give(&file, self.owner)?;
        Ok(file.into())
    }

    /// Whole or not at all.
    pub(super) fn write(&self, at: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = format!("{name}.tmp");
        self.create(at, &new, OFlags::TRUNC)?.write_all(bytes)?;
        Ok(rustix::fs::renameat(at, &new, at, name)?)
    }

    /// Removes a record.
    pub(super) fn remove(&self, id: &str) -> io::Result<()> {
        let record = match open_directory(&self.directory, id) {
            Ok(record) => record,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for entry in Dir::read_from(&record)?.flatten() {
            let name = entry.file_name();
            if name != c"." && name != c".." {
                let _ = rustix::fs::unlinkat(&record, name, AtFlags::empty());
            }
        }
        Ok(rustix::fs::unlinkat(
            &self.directory,
            id,
            AtFlags::REMOVEDIR,
        )?)
    }

    /// Removes records that are older than a week, unless they belong to what runs. Best effort.
    pub(super) fn tidy(&self) {
        let now = SystemTime::now();
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        let Ok(entries) = Dir::read_from(&self.directory) else {
            return;
        };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            let Ok(stat) = rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW)
            else {
                continue;
            };
            let age = now.saturating_sub(u64::try_from(stat.st_mtime).unwrap_or(0));
            if name.starts_with('.') || age < WEEK.as_secs() {
                continue;
            }
            if let Ok(record) = open_directory(&self.directory, name)
                && (Watch { record }).look().is_some()
            {
                let _ = self.remove(name);
            }
        }
    }
}

pub(super) fn open_directory(at: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// A directory of this user alone; made where there is none.
pub(super) fn own_directory(at: &OwnedFd, name: &str, owner: (u32, u32)) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(at, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let refuse = |why: &str| io::Error::other(format!("{name} {why}"));
    let directory = open_directory(at, name).map_err(|error| match error {
        Errno::NOTDIR | Errno::LOOP => refuse("is a link, or no directory"),
        error => error.into(),
    })?;
    // Just made, here or by another of us who has yet to give it away, or died before that: only root makes what is root's.
    let found = rustix::fs::fstat(&directory)?;
    let me = rustix::process::geteuid().as_raw();
    if found.st_uid == me && found.st_mode & 0o777 == 0o700 {
        give(&directory, owner)?;
    }
    let stat = rustix::fs::fstat(&directory)?;
    if stat.st_uid != owner.0 || stat.st_mode & 0o777 != 0o700 {
        let wanted = format!(
            "belongs to somebody else or is open to others (wanted: user {}, mode 0700)",
            owner.0
        );
        return Err(refuse(&wanted));
    }
    Ok(directory)
}

/// What root makes for another user is that user's.
fn give(file: impl AsFd, owner: (u32, u32)) -> io::Result<()> {
    if rustix::process::geteuid().as_raw() == owner.0 {
        return Ok(());
    }
    let (uid, gid) = (
        rustix::fs::Uid::from_raw(owner.0),
        rustix::fs::Gid::from_raw(owner.1),
    );
    Ok(rustix::fs::fchown(file, Some(uid), Some(gid))?)
}

/// A file as text; none where there is none.
pub(super) fn read(at: &OwnedFd, name: &str) -> io::Result<Option<String>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(at, name, flags, Mode::empty()) {
        Ok(file) => {
            let mut bytes = Vec::new();
            File::from(file).read_to_end(&mut bytes)?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// When a process was born, in ticks since the boot; none for one that has ended.
pub(super) fn born(pid: &str) -> Option<String> {
    let pid: u32 = pid.parse().ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split_whitespace();
    (!rest.starts_with(['Z', 'X'])).then(|| words.nth(19).map(str::to_owned))?
}

pub(super) fn boot() -> io::Result<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(id.trim().to_owned())
}
