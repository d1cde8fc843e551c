//! The stock playbooks, with the real engine and the real actions, over simulated clusters.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod failover;
mod follow;
mod injected;
mod managers;
mod seeded;
mod support;
mod switchover;
mod told;
