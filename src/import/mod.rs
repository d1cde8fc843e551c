//! Site files from what another manager keeps about a cluster.
//!
//! [`gather`] asks repmgr's table of nodes and each of the nodes; [`draft`] makes a site of the answers, which is pure,
//! and says beside it what nobody could tell.

mod conf;
mod draft;
mod error;
mod gather;
mod place;
mod ssh;
#[cfg(test)]
mod tests;

pub use draft::{Draft, draft};
pub use error::ImportError;
pub use gather::{Found, gather};
