//! Strings with references: Handlebars, strict, checked first.
//!
//! Handlebars parses; only references with at most one quoting helper pass ([`Template::parse`]), so rendering is a plain
//! walk and none of Handlebars' own leniency (null and missing names as nothing, lists as `[a, b]`) can happen.

mod parse;
mod quote;
mod render;

pub use parse::{Helper, Piece, Template};
pub use render::{RenderError, TemplateTree};

#[cfg(test)]
mod tests;
