//! One run per cluster on this machine: a lock on a file.

use super::file::{make_directory, sync_directory};
use crate::engine::{Held, Lease, LeaseError, RunId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Takes a lock on `<directory>/<cluster>.lock`, which names who holds it. The operating system gives it back when the
/// process dies, however it dies.
#[derive(Debug, Clone)]
pub struct FileLease {
    directory: PathBuf,
}

/// What stands in a lock file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Holder {
    v: u32,
    run: String,
    pid: u32,
    token: u64,
}

impl FileLease {
    /// Locks in this directory, which is made (mode 0700) when it is not there.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// The name of this store. Tokens of two stores cannot be compared; a folder that is made anew is another store.
    /// There is one as soon as a lease has been taken.
    pub fn store(&self) -> io::Result<String> {
        let path = self.directory.join(STORE);
        let name = std::fs::read_to_string(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        Ok(name.trim().to_owned())
    }
}

/// The file that names the store.
const STORE: &str = "store";

/// Names the store, once. Durable before a token of it is used.
fn name_store(directory: &Path) -> io::Result<()> {
    let path = directory.join(STORE);
    if path.exists() {
        return Ok(());
    }
    let name = RandomState::new().build_hasher().finish();
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    writeln!(file, "{name:016x}")?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(&path) {
        Ok(_) => sync_directory(directory),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

#[async_trait]
impl Lease for FileLease {
    async fn acquire(&self, cluster: &str, run: &RunId) -> Result<Box<dyn Held>, LeaseError> {
        let unavailable = |why: String| LeaseError::Unavailable {
            cluster: cluster.to_owned(),
            why,
        };
        if cluster.is_empty() || cluster.starts_with('.') || cluster.contains(['/', '\0']) {
            return Err(unavailable("its name cannot be the name of a file".into()));
        }
        let place = self.directory.join(format!("{cluster}.lock"));
        let (directory, path, run) = (self.directory.clone(), place.clone(), run.to_string());
        let taken = tokio::task::spawn_blocking(move || take(&directory, &path, &run)).await;
        match taken {
            Ok(Ok(Taken::Held(held))) => Ok(Box::new(held)),
            Ok(Ok(Taken::Busy(holder))) => Err(LeaseError::Busy {
                cluster: cluster.to_owned(),
                holder,
            }),
            Ok(Err(error)) => Err(unavailable(format!("{}: {error}", place.display()))),
            Err(_) => Err(unavailable("the thread that took it ended".into())),
        }
    }
}

enum Taken {
    Held(HeldFile),
    Busy(String),
}

fn take(directory: &Path, path: &Path, run: &str) -> io::Result<Taken> {
    /// Whoever removes lock files by hand can do it between our open and our lock.
    const TRIES: usize = 10;
    make_directory(directory)?;
    name_store(directory)?;
    for _ in 0..TRIES {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Taken::Busy(holder(&mut file))),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if !is_same(&file, path) {
            continue;
        }
        let token = next_token(directory, &path.with_extension("token"))?;
        let holder = Holder {
            v: 1,
            run: run.to_owned(),
            pid: std::process::id(),
            token,
        };
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        serde_json::to_writer(&mut file, &holder)?;
        file.write_all(b"\n")?;
        return Ok(Taken::Held(HeldFile {
            file,
            path: path.to_owned(),
            token,
        }));
    }
    Err(io::Error::other(
        "the lock file is being removed all the time",
    ))
}

/// Who holds a lock, by the content of its file; the file may be just being written.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) => match serde_json::from_str::<Holder>(&text) {
            Ok(holder) => holder.run,
            Err(_) => "(starting)".to_owned(),
        },
        Err(_) => "(unknown)".to_owned(),
    }
}

/// The token after the last one. It is durable before it is used, so that it never comes twice.
fn next_token(directory: &Path, path: &Path) -> io::Result<u64> {
    let last = match std::fs::read_to_string(path) {
        Ok(text) => text.trim().parse::<u64>().map_err(|_| {
            let message = format!("{} does not hold a number", path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let token = last + 1;
    let fresh = path.with_extension("token.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    sync_directory(directory)?;
    Ok(token)
}

/// Whether the path still leads to this file.
fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(there)) => ours.dev() == there.dev() && ours.ino() == there.ino(),
        _ => false,
    }
}

/// A lock that is held; the file's end of life gives it back.
struct HeldFile {
    file: File,
    path: PathBuf,
    token: u64,
}

impl Held for HeldFile {
    fn token(&self) -> u64 {
        self.token
    }

    /// A lock file that was removed or replaced protects nobody: another run could take the new one.
    fn is_valid(&self) -> bool {
        is_same(&self.file, &self.path)
    }
}
