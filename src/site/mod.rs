//! The site file: which clusters there are, how to reach them, and where the secrets are.
//!
//! [`Site::load`] reads it and reports everything that is wrong at once; [`to_yaml`] writes one, for the lab and for
//! imports; [`schema`] is what editors check it against.

mod api;
mod cluster;
mod detector;
mod error;
mod hooks;
mod model;
mod node;
mod redact;
mod replication;
mod repmgr;
mod schema;
mod service;
mod sql;
mod store;
#[cfg(test)]
mod tests;
mod transport;
mod words;
mod write;

pub use api::{Api, ApiTls};
pub use error::SiteError;
pub use hooks::{Hook, Hooks};
pub use model::Site;
pub(crate) use replication::is_connection_option;
pub use schema::schema;
pub use store::EtcdStore;
pub use write::{Remarks, to_yaml, to_yaml_with};
