//! What starts runs by itself: the watch over each cluster, the hooks for programs outside, and the gate that both go through.
//!
//! [`Sentry`] looks, [`analyse`] draws conclusions, [`Judge`] says when they count, [`passage`] whether anything may be
//! started. None of them changes anything on a server: that is what the run does which comes of it.

mod acknowledge;
mod analysis;
mod code;
mod desk;
mod foretold;
mod gap;
mod gate;
mod give_way;
mod hook;
mod incident;
mod judge;
mod look;
mod pause;
mod readiness;
mod returns;
mod run_news;
mod sentry;
mod snapshot;
mod turns;
mod watches;

pub use acknowledge::acknowledge;
pub use analysis::{Analysis, Finding, Vote, analyse};
pub use code::Code;
pub use desk::LiveDesk;
pub use foretold::{Foretold, incident_plan};
pub use gap::Gap;
pub use gate::{Known, Passage, passage};
pub use hook::{Hook, Misfit, Reading, hooks};
pub use incident::incidents;
pub use judge::{Judge, Verdict};
pub use look::could_fail_over;
pub use pause::{Pause, PauseError, pause, paused, unpause};
pub use readiness::{Obstacle, ObstacleCode, obstacles};
pub use run_news::{RunNews, ended_so};
pub use sentry::{Desk, Ended, HeldBack, Notice, RETURN, Sentry, State, TRIGGER};
pub use snapshot::{Snapshot, Witness};
pub use turns::{Turn, Turns};
pub use watches::Watches;
