//! YAML with source positions, and diagnostics that show the place.
//!
//! Everything a user writes (playbooks, site files) enters through [`parse`], which keeps the byte span of
//! every key and value. Whatever is wrong is collected in [`Diagnostics`]: all problems of a file at once.

mod diagnostic;
mod file;
mod layers;
mod offsets;
mod parse;
mod reader;
mod render;
mod scalar;
mod suggest;
mod syntax;
#[cfg(test)]
mod tests;
mod tree;
mod units;
mod write;

pub use diagnostic::{Diagnostic, Diagnostics, Label, Severity};
pub use file::read_file;
pub use layers::parse_layers;
pub use parse::parse;
pub use reader::{Lowering, MapReader};
pub use suggest::suggest;
pub use tree::{Entry, Source, Span, Spanned, Tree};
pub use units::{format_bytes, format_duration, parse_bytes, parse_duration};
pub use write::{Line, write, write_flow};
