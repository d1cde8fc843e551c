//! One append-only file of JSON lines per run.

use super::read::whole_lines;
use crate::engine::{Durability, Envelope, Event, RecordError, Recorder, RunId};
use async_trait::async_trait;
use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The journal of a run in this directory.
pub fn journal_path(directory: &Path, run: &RunId) -> PathBuf {
    directory.join(format!("{run}.jsonl"))
}

/// Writes `<directory>/<run>.jsonl`, readable by its owner only. Synced events are on the disk when `record` returns,
/// others in the operating system's hands. After an error nothing more is accepted for that run: what follows a torn
/// line could not be read back.
#[derive(Debug)]
pub struct FileRecorder {
    directory: PathBuf,
    open: Arc<Mutex<HashMap<RunId, Journal>>>,
}

#[derive(Debug)]
pub(super) enum Journal {
    Open(File),
    Broken(String),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A writer that panicked leaves at most a torn line, which readers expect.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FileRecorder {
    /// Journals in this directory, which is made (mode 0700) when it is not there. Blocks for a moment.
    pub fn new(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        make_directory(&directory)?;
        Ok(Self {
            directory,
            open: Arc::default(),
        })
    }

    /// Where the journal of this run is.
    pub fn path(&self, run: &RunId) -> PathBuf {
        journal_path(&self.directory, run)
    }
}

#[async_trait]
impl Recorder for FileRecorder {
    async fn record(
        &self,
        run: &RunId,
        events: &[Envelope],
        durability: Durability,
    ) -> Result<(), RecordError> {
        let Some(first) = events.first() else {
            return Ok(());
        };
        let path = self.path(run);
        let lost = |why: String| RecordError {
            place: path.display().to_string(),
            why,
        };
        let batch = Batch {
            run: run.clone(),
            path: path.clone(),
            directory: self.directory.clone(),
            lines: lines(events).map_err(|error| lost(error.to_string()))?,
            first: first.seq == 0,
            last: events
                .iter()
                .any(|envelope| matches!(envelope.event, Event::RunEnded { .. })),
            durability,
        };
        let open = Arc::clone(&self.open);
        let written = tokio::task::spawn_blocking(move || batch.write(&open)).await;
        written
            .unwrap_or_else(|_| Err("the thread that wrote it ended".to_owned()))
            .map_err(lost)
    }
}

/// Events on their way to the file of their run.
struct Batch {
    run: RunId,
    path: PathBuf,
    directory: PathBuf,
    lines: Vec<u8>,
    first: bool,
    last: bool,
    durability: Durability,
}

impl Batch {
    fn write(&self, open: &Mutex<HashMap<RunId, Journal>>) -> Result<(), String> {
        // Taken out while it is written, so that runs do not wait for each other's disks.
        let journal = lock(open).remove(&self.run);
        let mut journal = match journal {
            Some(journal) => journal,
            None => Journal::Open(self.open().map_err(|error| error.to_string())?),
        };
        let written = append(&mut journal, &self.lines, self.durability);
        if !self.last || written.is_err() {
            lock(open).insert(self.run.clone(), journal);
        }
        written
    }

    fn open(&self) -> io::Result<File> {
        if self.first {
            create(&self.directory, &self.path)
        } else {
            reopen(&self.path)
        }
    }
}

fn lines(events: &[Envelope]) -> serde_json::Result<Vec<u8>> {
    let mut lines = Vec::with_capacity(events.len() * 256);
    for envelope in events {
        serde_json::to_writer(&mut lines, envelope)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

pub(super) fn append(
    journal: &mut Journal,
    lines: &[u8],
    durability: Durability,
) -> Result<(), String> {
    let file = match journal {
        Journal::Open(file) => file,
        Journal::Broken(why) => return Err(format!("an earlier write failed: {why}")),
    };
    let written = file.write_all(lines).and_then(|()| match durability {
        // A sync that failed once may succeed the next time without the data: it is never tried again.
        Durability::Synced => file.sync_data(),
        Durability::Ordered => Ok(()),
    });
    written.map_err(|error| {
        let why = error.to_string();
        *journal = Journal::Broken(why.clone());
        why
    })
}

/// Makes a directory that only its owner may look into, durably.
pub(super) fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory)?;
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    sync_directory(parent)
}

/// Names of new files are durable only once their directory is.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn create(directory: &Path, path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.sync_all()?;
    sync_directory(directory)?;
    Ok(file)
}

/// Goes on with a journal; a line that was torn by a crash is cut off first.
fn reopen(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    let whole = whole_lines(&content);
    if whole < content.len() {
        file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))?;
        file.sync_all()?;
    }
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}
