//! What starts runs without a person at the keyboard, and what holds it back.

mod pause;

pub use pause::{Pause, PauseError, pause, paused, unpause};
