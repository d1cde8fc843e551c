//! The file of a store, seen without SQLite.
//!
//! A lock of POSIX ends when its process closes any descriptor of the file, whichever it was taken by (fcntl(2), and
//! section 2.2 of sqlite.org/howtocorrupt.html). A file of which SQLite may have a connection in this process is
//! therefore never closed here: one descriptor of each stays open until the process ends.

use super::super::file::sync_directory;
use super::owner::hand_over;
use rustix::fs::{Access, CWD, Mode, OFlags, access};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// All that were opened.
static HELD: Mutex<Vec<&'static File>> = Mutex::new(Vec::new());

/// Makes an empty file that only its owner can read, unless one is there that this process can write.
pub(super) fn make(path: &Path, directory: &Path) -> io::Result<()> {
    // For reading, as it stays open: a disk with a file that is open to be written cannot be made read-only.
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, path, flags, Mode::RUSR | Mode::WUSR) {
        Ok(made) => {
            let file = hold(made.into());
            hand_over(file, directory);
            file.sync_all()?;
            sync_directory(directory)
        }
        Err(rustix::io::Errno::EXIST) => Ok(access(path, Access::WRITE_OK)?),
        Err(error) => Err(error.into()),
    }
}

/// The first bytes of a file, as many as there are of so many.
pub(super) fn head(path: &Path, length: usize) -> io::Result<Vec<u8>> {
    let file = match held(path)? {
        Some(file) => file,
        None => hold(File::open(path)?),
    };
    let mut head = vec![0; length];
    let mut read = 0;
    while let Some(rest) = head.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(read);
    Ok(head)
}

/// The one that is open already.
fn held(path: &Path) -> io::Result<Option<&'static File>> {
    let wanted = path.metadata()?;
    let all = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let is_wanted = |file: &&&'static File| {
        file.metadata()
            .is_ok_and(|file| (file.dev(), file.ino()) == (wanted.dev(), wanted.ino()))
    };
    Ok(all.iter().find(is_wanted).copied())
}

/// Keeps it from being closed.
fn hold(file: File) -> &'static File {
    let file: &'static File = Box::leak(Box::new(file));
    HELD.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(file);
    file
}
