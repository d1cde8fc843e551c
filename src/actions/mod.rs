//! What steps can do: one file an action, with its probe, plan, apply, verify and undo.
//!
//! Actions read facts from the [`Cluster`](crate::cluster::Cluster) port and ask for operations through the guard
//! ([`Scene::perform`](scene)); they hold no SQL and no shell text.

mod approve;
mod assert;
mod catalog;
mod check_archiving;
mod check_candidate;
mod check_login;
mod check_lsn;
mod check_rebuild;
mod check_rights;
mod check_standby;
mod check_subscribers;
mod checkpoint;
mod choose;
mod clone;
mod confirm_down;
mod create_slot;
mod drop_failover_slots;
mod drop_slot;
mod drop_stale_slots;
mod exec;
mod fast_forward;
mod fence;
mod former;
mod freeze;
mod guard;
mod http;
mod in_force;
mod managers;
mod notify;
mod pause_managers;
mod promote;
mod receives;
mod reload;
mod resume_managers;
mod retire;
mod rewind;
mod scene;
mod set_synchronized_slots;
mod set_synchronous;
mod set_upstream;
mod settle_settings;
mod sql;
mod start;
mod stop;
mod subscribers;
mod unfreeze;
mod update_repmgr;
mod verify_attach;
mod verify_handover;
mod verify_primary;
mod wait;

pub use catalog::{LiveActions, catalog, signature};
