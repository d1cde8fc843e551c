//! The dry run: the engine itself on a simulated cluster that begins where the live one stands, and what it would do.
//!
//! Nothing has an effect: the live cluster is asked (`snapshot`), a simulated one is run (`preview`), with the site's own
//! programs, statements and requests shown in place of executed (`own`, `outside`). What came of it is folded from the
//! run's events (`fold`) into a [`Plan`] (`model`), together with the facts that its decisions rest on (`asked`,
//! `grounds`), so that a run of this very plan can refuse when one of them has changed (`moved`).

mod ancestors;
mod asked;
mod branches;
mod details;
mod fold;
mod grounds;
mod model;
mod moved;
mod outside;
mod own;
mod preview;

pub(crate) use details::changes;
pub use details::{Details, NodeDetail, SlotDetail};
pub use model::{
    Change, Decision, Foreseen, Plan, PlannedEffect, PlannedStep, PlaybookText, Supposed,
};
