//! The HTTP API of `pgbaton serve`: the real binary, over real TLS, on real servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

#[path = "../live_support/mod.rs"]
mod live_support;
#[path = "../serve_support/mod.rs"]
mod serve_support;
#[path = "../support/mod.rs"]
mod support;

mod access;
mod dashboards;
mod document;
mod journal;
mod numbers;
mod receivers;
mod runs;
mod served;
mod slow;
mod stops;
mod stream;
mod told;
mod watch;
