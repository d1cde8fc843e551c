//! What the engine promises, capability by capability, on playbooks built in code and actions that do as told.
//! Time is tokio's paused clock: nothing here waits.

#![allow(unreachable_pub, reason = "a test has no outside")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

mod attempts;
mod cancel;
mod conditions;
mod effects;
mod for_each;
mod order;
mod properties;
mod rescue;
mod support;
mod undo;
mod unknown;
