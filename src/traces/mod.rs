//! Traces: a run becomes a span, and each of its steps one below it, sent to where the variables of OpenTelemetry say. It
//! is made of the events that a run leaves anyway, on threads of its own: no run waits for it, and none knows of it.

mod client;
mod ids;
mod parent;
mod post;
mod span;
#[cfg(test)]
mod tests;
mod trace;

pub use parent::Parent;
pub use post::{observer, post_the_rest};
