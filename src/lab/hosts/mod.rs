//! Hosts of a lab's nodes: for each a network namespace with an address, an ssh server and its PostgreSQL server.
//!
//! The hosts are joined by a bridge in a namespace of its own; all that the machine's own namespace gets is one
//! interface with one address, over which pgbaton comes. Files, processes and users are the machine's. So a lab with
//! hosts changes no packet filter, no route and no bridge of the machine, and goes away with its namespaces.

mod cuts;
mod make;
mod needs;
mod network;
mod ssh;
mod visitors;

pub use cuts::{Cut, Peer};
pub(super) use make::remove;
pub(super) use needs::check as check_needs;
pub(super) use network::Network;
pub(super) use visitors::end as end_visitors;

/// The port of every server: no two are on the same host.
pub(super) const PORT: u16 = 5432;
