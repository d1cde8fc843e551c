//! Records on this machine, made without a shell for what is done without one. The same files as in [`super::scripts`].

use super::Recorded;
use super::call::ended;
use super::place::{Place, boot, born, open_directory, own_directory, read};
use crate::transport::{Finished, TransportError};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

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
    pub(super) record: OwnedFd,
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
