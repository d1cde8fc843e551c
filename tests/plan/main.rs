//! Previews on real clusters: what `plan` foretells is what `run` then does, and a plan changes nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

#[path = "../live_support/mod.rs"]
mod live_support;
#[path = "../support/mod.rs"]
mod support;

mod failovers;
mod follows;
mod foretold;
mod holds;
mod own;
mod rejoins;
mod situation;
mod stands;
mod switchovers;
mod tells;
mod untouched;
mod wires;
