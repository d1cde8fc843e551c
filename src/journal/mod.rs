//! Where events are kept, and what keeps two runs off one cluster.
//!
//! [`FileRecorder`] writes one file of JSON lines per run, [`read`] reads it back. [`FileLease`] is a lock on this
//! machine. [`MemoryRecorder`] and [`MemoryLease`] are for runs that change nothing that lasts.

mod file;
mod lock;
mod memory;
mod read;

pub use file::{FileRecorder, journal_path};
pub use lock::FileLease;
pub use memory::{MemoryLease, MemoryRecorder};
pub use read::{ReadError, read};

#[cfg(test)]
mod tests;
