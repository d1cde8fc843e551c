//! Records on this machine, made without a shell for what is done without one. The same files as in [`super::scripts`].
//!
//! Directories are opened one by one and never through a link: root works in directories that belong to others.

use super::Recorded;
use super::call::ended;
use crate::transport::{Finished, TransportError};
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

/// What came of claiming an operation.
#[derive(Debug)]
pub enum Claim {
    /// It is ours to do.
    Ours(Held),
    /// It has been done.
    Ended(Result<Finished, TransportError>),
    /// Somebody is at it.
    Running(Watch),
}

/// A claimed operation. Dropped without a result, its record is removed: it may be done again.
#[derive(Debug)]
pub struct Held {
    place: Place,
    record: OwnedFd,
    open: bool,
}

/// An operation that somebody else does.
#[derive(Debug)]
pub struct Watch {
    record: OwnedFd,
}

/// The records of one cluster.
#[derive(Debug)]
struct Place {
    directory: OwnedFd,
    id: String,
    owner: (u32, u32),
}

impl Recorded {
    /// Claims the operation for this process, among the records of this user and group. Blocks for milliseconds; where
    /// somebody holds the lock, for seconds.
    pub fn claim(&self, owner: (u32, u32)) -> Result<Claim, TransportError> {
        self.doubted(self.claimed(owner))
    }

    fn claimed(&self, owner: (u32, u32)) -> Result<Claim, TransportError> {
        let refuse = |error: io::Error| TransportError::NotStarted {
            why: format!(
                "nothing was run: its record under {} cannot be made: {error}",
                self.base.display()
            ),
        };
        let place = self.place_of(owner).map_err(refuse)?;
        let lock = place.lock().map_err(refuse)?;
        self.check_token(&place)?;
        if let Some(found) = self.found(&place).map_err(refuse)? {
            return Ok(found);
        }
        let record = place.begin(self).map_err(|error| {
            let _ = place.remove(&place.id);
            refuse(error)
        })?;
        drop(lock);
        place.tidy();
        Ok(Claim::Ours(Held {
            place,
            record,
            open: true,
        }))
    }

    fn place_of(&self, owner: (u32, u32)) -> io::Result<Place> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let base = rustix::fs::open(&self.base, flags, Mode::empty())?;
        let root = own_directory(&base, &format!("pgbaton-{}", owner.0), owner)?;
        Ok(Place {
            directory: own_directory(&root, &self.cluster_file(), owner)?,
            id: self.id_file(),
            owner,
        })
    }

    fn check_token(&self, place: &Place) -> Result<(), TransportError> {
        let Some((store, token)) = &self.fence else {
            return Ok(());
        };
        let file = format!("token.{}", super::file_name(store));
        let broken = |why: String| TransportError::NotStarted {
            why: format!("nothing was run: {file} among its records {why}"),
        };
        let text = read(&place.directory, &file).map_err(|e| broken(e.to_string()))?;
        let text = text.unwrap_or_default();
        let seen: u64 = match text.trim() {
            "" => 0,
            number => number
                .parse()
                .map_err(|_| broken("holds no number".into()))?,
        };
        if seen > *token {
            return Err(TransportError::Refused {
                why: format!(
                    "a run with the lease's token {seen} has been here since, this one has {token}"
                ),
            });
        }
        if seen < *token {
            let text = format!("{token}\n");
            place
                .write(&place.directory, &file, text.as_bytes())
                .map_err(|e| broken(format!("cannot be written: {e}")))?;
        }
        Ok(())
    }

    /// What there is already under this id.
    fn found(&self, place: &Place) -> io::Result<Option<Claim>> {
        let record = match open_directory(&place.directory, &place.id) {
            Ok(record) => record,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let watch = Watch { record };
        if let Some(result) = watch.result()? {
            return Ok(Some(Claim::Ended(result)));
        }
        if watch.lives()? {
            return Ok(Some(Claim::Running(watch)));
        }
        let begun = read(&watch.record, "leader")?.is_some_and(|text| !text.is_empty());
        if begun && !self.repeatable {
            return Ok(Some(Claim::Ended(Err(gone()))));
        }
        place.remove(&place.id)?;
        Ok(None)
    }
}

fn gone() -> TransportError {
    TransportError::Lost {
        why: "whoever did it has gone without leaving a result in its record".to_owned(),
    }
}

impl Watch {
    /// How it ended; none while somebody is at it.
    pub fn look(&self) -> Option<Result<Finished, TransportError>> {
        let seen = || -> io::Result<_> {
            if let Some(result) = self.result()? {
                return Ok(Some(result));
            }
            if self.lives()? {
                return Ok(None);
            }
            // It may have ended between the two looks.
            Ok(Some(self.result()?.unwrap_or_else(|| Err(gone()))))
        };
        seen().unwrap_or_else(|error| {
            Some(Err(TransportError::Lost {
                why: format!("its record cannot be read: {error}"),
            }))
        })
    }

    fn result(&self) -> io::Result<Option<Result<Finished, TransportError>>> {
        let Some(status) = read(&self.record, "status")? else {
            return Ok(None);
        };
        let output =
            |name| Ok::<_, io::Error>(read(&self.record, name)?.unwrap_or_default().into());
        let line = status.lines().next().unwrap_or_default();
        if line.trim().is_empty() {
            return Ok(None);
        }
        let (out, err) = (output("out")?, output("err")?);
        Ok(Some(ended(line, out, err, false, Duration::ZERO)))
    }

    /// Whether the process that claimed it is still that process.
    fn lives(&self) -> io::Result<bool> {
        let Some(text) = read(&self.record, "leader")? else {
            return Ok(false);
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let [pid, then, there] = words[..] else {
            return Ok(false);
        };
        Ok(boot()? == there && born(pid).is_some_and(|born| born == then))
    }
}

impl Held {
    /// Keeps the result. What could not be told is not kept: the record goes.
    pub fn finish(mut self, result: &Result<Finished, TransportError>) {
        if let Ok(finished) = result {
            let line = format!("exit {}\n", finished.status);
            let kept = || -> io::Result<()> {
                for (name, bytes) in [("out", &finished.stdout), ("err", &finished.stderr)] {
                    if !bytes.is_empty() {
                        self.place.write(&self.record, name, bytes)?;
                    }
                }
                // Over the blanks that were written first: this needs no room.
                let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let status = rustix::fs::openat(&self.record, "status", flags, Mode::empty())?;
                File::from(status).write_all(line.as_bytes())
            };
            match kept() {
                Ok(()) => self.open = false,
                Err(error) => tracing::warn!(%error, "the result of an operation is not kept"),
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.open {
            let _ = self.place.remove(&self.place.id);
        }
    }
}

impl Place {
    fn lock(&self) -> io::Result<OwnedFd> {
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
    fn begin(&self, recorded: &Recorded) -> io::Result<OwnedFd> {
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
    fn write(&self, at: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = format!("{name}.tmp");
        self.create(at, &new, OFlags::TRUNC)?.write_all(bytes)?;
        Ok(rustix::fs::renameat(at, &new, at, name)?)
    }

    /// Removes a record.
    fn remove(&self, id: &str) -> io::Result<()> {
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
    fn tidy(&self) {
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

fn open_directory(at: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// A directory of this user alone; made where there is none.
fn own_directory(at: &OwnedFd, name: &str, owner: (u32, u32)) -> io::Result<OwnedFd> {
    let made = match rustix::fs::mkdirat(at, name, Mode::RWXU) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(error.into()),
    };
    let refuse = |why: &str| io::Error::other(format!("{name} {why}"));
    let directory = open_directory(at, name).map_err(|error| match error {
        Errno::NOTDIR | Errno::LOOP => refuse("is a link, or no directory"),
        error => error.into(),
    })?;
    if made {
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
fn read(at: &OwnedFd, name: &str) -> io::Result<Option<String>> {
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
fn born(pid: &str) -> Option<String> {
    let pid: u32 = pid.parse().ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split_whitespace();
    (!rest.starts_with(['Z', 'X'])).then(|| words.nth(19).map(str::to_owned))?
}

fn boot() -> io::Result<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(id.trim().to_owned())
}
