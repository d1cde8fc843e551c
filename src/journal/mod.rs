//! Where events are kept, and what keeps two runs off one cluster.
//!
//! [`SqliteJournal`] keeps all runs of an installation, and the leases, in one file, [`EtcdStore`] between several
//! machines; [`History`] is what can be asked about runs, [`Note`] what is kept about clusters beside them.
//! [`FileRecorder`] writes one file of JSON lines per run, as earlier versions did; [`read`] reads it back, for the import.
//! [`MemoryRecorder`] and [`MemoryLease`] are for runs that change nothing that lasts.

mod belief;
mod etcd;
mod file;
mod history;
mod ledger;
mod memory;
mod note;
mod outline;
mod read;
mod sqlite;
mod store;

pub use etcd::EtcdStore;
pub use file::{FileRecorder, journal_path};
pub use history::{Filter, History, HistoryError, RunSummary, Standing, Which};
pub use ledger::{Entry, open_debts};
pub use memory::{MemoryLease, MemoryRecorder};
pub use note::Note;
pub use read::{ReadError, read};
pub use sqlite::{ImportError, Imported, JournalError, SqliteHistory, SqliteJournal, writable};
pub use store::{Announced, Store};

#[cfg(test)]
mod tests;
