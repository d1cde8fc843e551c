//! From a document to the model: shape, units, names and the syntax of expressions; all that one file tells by itself.
//!
//! Every function here reports what is wrong and goes on; `None` means that it reported, or that an optional thing is
//! absent. References, types of inputs, cycles and nested playbooks are `check`'s.

mod attempts;
mod block;
mod for_each;
mod param;
mod playbook;
mod step;
mod text;

#[cfg(test)]
pub(in crate::playbook) mod examples;
#[cfg(test)]
mod tests;

pub use playbook::load;
pub(in crate::playbook) use text::expression;
