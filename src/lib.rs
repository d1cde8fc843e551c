//! pgbaton: failover, switchover and follow of PostgreSQL and KingbaseES clusters, as playbooks.
//!
//! The rooms are listed ground floor first; each may import only the rooms below it
//! (`tests/arrows.rs` proves it, `docs/design/architecture.md` tells why).

pub mod document;

pub mod cluster;

pub mod site;

pub mod playbook;

pub mod engine;

pub mod journal;

pub mod actions;

pub mod transport;

pub mod notify;

pub mod postgres;

pub mod simulate;

pub mod lab;

pub mod import;

pub mod traces;

pub mod runs;

pub mod rehearse;

pub mod trigger;

pub mod server;

pub mod cli;
