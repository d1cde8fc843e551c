//! Conditions and computed values: CEL, wrapped.
//!
//! CEL parses and evaluates; this room limits what may be written ([`Expression::parse`]), brings the types that CEL lacks
//! (LSNs, durations with our units), hands an evaluation only the values that the expression names, and says in our words
//! what went wrong. Evaluation needs no I/O and ends soon whatever is written: see `parse::MAX_TEXT` and
//! `evaluate::MAX_ITERATIONS`.

mod evaluate;
mod functions;
mod parse;
mod references;
mod screen;
mod values;

pub use evaluate::EvaluationError;
pub use parse::{Expression, SyntaxError};
pub use references::Reference;

pub(super) use parse::place_in;
#[cfg(test)]
mod tests;
