//! What starts runs by itself: the watch over each cluster, and the gate that everything goes through.
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
mod incident;
mod judge;
mod look;
mod pause;
mod readiness;
mod run_news;
mod sentry;
mod snapshot;
mod watches;

pub use acknowledge::acknowledge;
pub use analysis::{Analysis, Finding, Vote, analyse};
pub use code::Code;
pub use desk::LiveDesk;
pub use foretold::{Foretold, incident_plan};
pub use gap::Gap;
pub use gate::{Known, Passage, passage};
pub use incident::incidents;
pub use judge::{Judge, Verdict};
pub use look::could_fail_over;
pub use pause::{Pause, PauseError, pause, paused, unpause};
pub use readiness::{Obstacle, ObstacleCode, obstacles};
pub use run_news::RunNews;
pub use sentry::{Desk, Ended, HeldBack, Notice, Sentry, State, TRIGGER};
pub use snapshot::{Snapshot, Witness};
pub use watches::Watches;
