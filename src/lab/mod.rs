//! Disposable real clusters on this machine: for learning, tests and game days.
//!
//! A [`Lab`] is a directory with everything in it: data directories, logs, a site file that every command can use, and
//! a record from which another process can find it again. `up` either leaves a cluster whose standbys stream, or
//! nothing; `down` leaves nothing, whatever was done to the servers before. [`Writer`] is the client that shows what an
//! outage cost: how long nothing was accepted, and whether an acknowledged row was lost. With hosts, every node has a network
//! of its own around it that can be cut, and is reached by ssh.

mod claims;
mod config;
mod destroy;
mod error;
mod faults;
mod hosts;
mod options;
mod place;
mod plan;
mod processes;
mod programs;
mod record;
mod shell;
mod site_file;
mod sql;
mod status;
mod up;
mod user;
mod verdict;
mod writer;

pub use error::LabError;
pub use hosts::{Cut, Peer};
pub use options::{DEFAULT_NAME, Fault, LabOptions, UnknownFault};
pub use record::{Disposable, Lab};
pub use status::{LabStatus, NodeStatus, ProcessState, Role};
pub use verdict::{Ack, Gap, Verdict, WriterReport};
pub use writer::{Endpoint, Writer, WriterError, WriterOptions};
