//! The watch over a cluster: what it makes of what it sees, and what it starts. On simulated clusters, whose clock is
//! paused; `tests/serve_detects.rs` has the real ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod acts;
mod disturbances;
mod names;
mod returns;
mod support;
mod told;
