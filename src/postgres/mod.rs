//! The live side of the `Cluster` port: sessions, questions, the replication protocol, the dialects of the products.
//! The only place where SQL and server commands are written.

mod alone_here;
mod archiving;
mod autoconf;
mod conninfo;
mod control;
mod dialect;
mod fault;
mod footing;
mod here;
mod host;
mod joining;
mod kingbase;
mod live;
mod login;
mod maker;
mod managers;
mod memory;
mod native;
mod observe;
mod passfile;
mod perform;
mod pool;
mod postgresql;
mod questions;
mod quoting;
mod rebuild;
mod rebuild_scripts;
mod recorded;
mod registry;
mod repmgr;
mod reveal;
mod rights;
mod scripts;
mod secret;
mod session;
mod settings;
mod terminate;
mod tls;
mod values;
mod vocabulary;
mod wal_files;
mod wal_walk;
mod waldump;
mod watch;
mod wire;

pub use live::{LiveCluster, renderer};
pub(crate) use registry::{Door, Registered, Registry, Seen, registry, seen};

use quoting::literal;
