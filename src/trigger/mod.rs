//! What starts runs by itself: the watch over each cluster, and the gate that everything goes through.
//!
//! [`Sentry`] looks, [`analyse`] draws conclusions, [`Judge`] says when they count, [`Gate`] whether anything may be
//! started. None of them changes anything on a server: that is what the run does which comes of it.

mod analysis;
mod code;
mod desk;
mod gate;
mod judge;
mod look;
mod pause;
mod sentry;
mod snapshot;

pub use analysis::{Analysis, Finding, Vote, analyse};
pub use code::Code;
pub use desk::LiveDesk;
pub use gate::{Gate, Passage};
pub use judge::{Judge, Verdict};
pub use pause::Pause;
pub use sentry::{Desk, HeldBack, Notice, Sentry, State, TRIGGER};
pub use snapshot::{Snapshot, Witness};
