//! The simulated side of the port: a model of PostgreSQL replication, of hosts, of the network between them, and of what
//! goes wrong there.
//!
//! A [`World`] is built by hand ([`WorldBuilder`]) or from what a live cluster said ([`Snapshot`]); [`SimCluster`] puts
//! it behind the port. All time is tokio's, which must be paused; everything random comes from the world's seed; nothing
//! here does any I/O. So a run on a simulated cluster is a function of (playbook, site, facts, seed).

mod answers;
mod builder;
mod client;
mod cluster;
mod command;
mod conf;
mod configure;
mod disrupt;
mod effects;
mod event;
mod fault;
mod ids;
mod inject;
mod life;
mod memory;
mod network;
mod node;
mod observe;
mod outside;
mod perform;
mod power;
mod probe;
mod queue;
mod rebuild;
mod recall;
mod receive;
mod retention;
mod seed;
mod snapshot;
mod stream;
mod sync;
mod wal;
mod watch;
mod world;

#[cfg(test)]
mod tests;

pub use builder::{WorldBuilder, rehearsal_inventory};
pub use client::Habit;
pub use cluster::SimCluster;
pub use disrupt::{Disruption, Place};
pub use ids::At;
pub use inject::{Call, Fault, Injections, What};
pub use network::Shell;
pub use node::Door;
pub use outside::{Outside, Unknowable};
pub use probe::{Acknowledged, NodeState, OrphanedSlot};
pub use seed::Assumption;
pub use snapshot::{Fact, NodeFacts, Snapshot, snapshot};
pub use world::World;
