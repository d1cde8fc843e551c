//! What people see of a run: a reader of its events, and of nothing else.

mod live;
mod parts;
mod plain;
mod summary;
mod tree;
mod view;

#[cfg(test)]
mod script;

pub(crate) use live::{Console, Style, conclude};

pub(crate) use tree::why_not;
pub(crate) use view::View;
