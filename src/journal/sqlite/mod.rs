//! The journal of an installation: one SQLite file for all runs, their events and the leases on clusters.
//!
//! One thread owns the connection that writes (`worker`); `append` puts events into the tables and `lease` keeps
//! the leases. `reader` looks on, over connections of its own. The tables stand in `1.sql`; what a later version
//! changes comes as a file of its own, and `open` takes every step from the version it finds.
//!
//! Write-ahead logging: a commit is an append to one log, synced or not, and a sync covers all that stands before it.
//! So what need not survive the loss of power costs no sync and is still never out of order.

mod append;
mod error;
mod held;
mod job;
mod lease;
mod messages;
mod notes;
mod open;
mod owner;
mod process;
mod reader;
mod store;
mod worker;
mod writable;

pub use error::JournalError;
pub use reader::SqliteHistory;
pub use store::{ImportError, Imported, SqliteJournal};
pub use writable::writable;

#[cfg(test)]
mod tests;
