//! Static checks that need more than one place of the text: references, types, cycles, the catalog of actions, nested
//! playbooks, and the safety rules.
//!
//! Everything is reported at once; a mistake is reported where it was made and not again where it is felt (what refers to
//! an unknown action's outputs is not an error of its own).

mod body;
mod facts;
mod free;
mod graph;
mod infer;
mod kind;
mod names;
mod operators;
mod outputs;
mod outside;
mod parts;
mod place;
mod playbooks;
mod proof;
mod resolve;
mod resolve_step;
mod safety;
mod seals;
mod steps;
mod templates;
mod values;
mod waivers;

pub use free::{Wanted, free_expression};
pub use playbooks::{Checked, Library, UnreadablePlaybook, check};
pub use values::fit;

#[cfg(test)]
mod tests;
