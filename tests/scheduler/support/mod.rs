//! Playbooks in code, actions that do as told, and what must be true of every run.

mod build;
mod double;
mod ran;

pub use build::*;
pub use double::*;
pub use ran::*;
