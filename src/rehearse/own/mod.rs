//! A site's own tests of a playbook (`*.test.yaml`): a situation, faults at steps, and what must come of it.
//!
//! `file` reads them, `drill` plays one of them, `verdict` holds what happened against what was expected. Whatever a test
//! expects, the invariants of a rehearsal hold, too.

mod drill;
mod file;
mod verdict;

pub(super) use drill::Aimed;
pub use drill::{Account, Drilled, Walked, drill};
pub use file::{Aim, Case, Expect, Meets, Suite, load_suite};
pub use verdict::{Miss, verdict};
