//! What steps can do: one file an action, with its probe, plan, apply, verify and undo.
//!
//! Actions read facts from the [`Cluster`](crate::cluster::Cluster) port and ask for operations through the guard
//! ([`Scene::perform`](scene)); they hold no SQL and no shell text.

mod approve;
mod assert;
mod catalog;
mod check_archiving;
mod check_candidate;
mod check_lsn;
mod checkpoint;
mod choose;
mod confirm_down;
mod create_slot;
mod drop_slot;
mod drop_stale_slots;
mod exec;
mod fast_forward;
mod fence;
mod former;
mod freeze;
mod guard;
mod http;
mod notify;
mod promote;
mod receives;
mod reload;
mod scene;
mod set_synchronous;
mod set_upstream;
mod settle_settings;
mod sql;
mod start;
mod stop;
mod unfreeze;
mod verify_attach;
mod verify_handover;
mod verify_primary;
mod wait;

pub use catalog::{LiveActions, catalog};
