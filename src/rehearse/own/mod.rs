//! A site's own tests of a playbook (`*.test.yaml`): a situation, faults at steps, and what must come of it.
//!
//! `file` reads them, `drill` plays one of them (`answers` are what people say in it), `verdict` holds what happened against what was expected. Whatever a test
//! expects, the invariants of a rehearsal hold, too.

mod answers;
mod drill;
mod file;
mod verdict;

pub(super) use answers::Answers;
pub use drill::{Account, Drilled, Walked, drill};
pub(super) use drill::{Aimed, Meant};
pub use file::{Aim, Answer, Case, Expect, Meets, Suite, load_suite};
pub use verdict::{Miss, verdict};
