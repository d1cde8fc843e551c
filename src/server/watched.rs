//! Files that are read again when they have changed, without a restart and without a watcher.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What tells one state of a file from another; none where it is not there.
type Print = Option<(u64, u64, u64, i64, i64, i64, i64)>;

/// What a reader makes of the files, or why it cannot.
type Reading<T> = Result<Arc<T>, String>;

/// What was last made of some files.
pub(super) struct Watched<T> {
    files: Vec<PathBuf>,
    read: Box<dyn Fn() -> Result<T, String> + Send + Sync>,
    last: Mutex<(Vec<Print>, Reading<T>)>,
}

impl<T> Watched<T> {
    /// Reads for the first time.
    pub(super) fn new(
        files: Vec<PathBuf>,
        read: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        let prints = prints(&files);
        let first = read().map(Arc::new);
        Self {
            files,
            read: Box::new(read),
            last: Mutex::new((prints, first)),
        }
    }

    /// What the files say now.
    pub(super) fn get(&self) -> Reading<T> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at before it is read: what changes meanwhile is read again the next time.
        let now = prints(&self.files);
        if now != last.0 {
            let read = (self.read)().map(Arc::new);
            if let Err(why) = &read {
                tracing::warn!("{why}");
            }
            *last = (now, read);
        }
        last.1.clone()
    }
}

fn prints(files: &[PathBuf]) -> Vec<Print> {
    files.iter().map(|file| print(file)).collect()
}

fn print(file: &Path) -> Print {
    let about = std::fs::metadata(file).ok()?;
    Some((
        about.dev(),
        about.ino(),
        about.size(),
        about.mtime(),
        about.mtime_nsec(),
        about.ctime(),
        about.ctime_nsec(),
    ))
}
