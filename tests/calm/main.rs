//! What is not a dead primary starts nothing (rule 9), on real servers and with the values that are shipped.
//!
//! Ten rounds of each kind by default; `scripts/calm 100` runs a hundred of each. Needs root: hosts of their own, a disk
//! that can be held, a clock that can be set.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends at what it did not expect; a long one says how far it is"
)]

#[path = "../hosts_support/mod.rs"]
mod hosts_support;
#[path = "../serve_support/mod.rs"]
mod serve_support;
#[path = "../support/mod.rs"]
mod support;

mod clock;
mod disk;
mod ground;
mod kinds;
mod rounds;
mod starved;
