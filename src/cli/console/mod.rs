//! What people see of a run: a reader of its events, and of nothing else.

mod live;
mod parts;
mod plain;
mod summary;
mod tree;
mod view;

#[cfg(test)]
pub(crate) mod script;

pub(crate) use live::{Console, Style, conclude};

pub(crate) use parts::{Entry, Note};
pub(crate) use summary::{heading, is_waived, rest};
pub(crate) use tree::{look, outcome_look, why_not};
pub(crate) use view::View;
