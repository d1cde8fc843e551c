//! Previews on real clusters: what `plan` foretells is what `run` then does, and a plan changes nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

#[path = "../support/mod.rs"]
mod support;

mod foretold;
mod holds;
mod own;
mod situations;
mod untouched;
