//! Operations on hosts outlive whoever asked for them, and a second call with the same id finds what became of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

#[path = "../live_support/mod.rs"]
mod live_support;

mod ends;
mod keeps;
mod outlive;
mod support;
