//! From YAML text to a [`Tree`] with places.
//!
//! Built on the event stream of the parser beneath `serde-saphyr` (which re-exports it): events carry byte offsets,
//! tags, anchors and the style of scalars, and they come in source order, so that what is wrong with one entry can be
//! reported and the rest read on. Deserializing through serde would stop at the first problem, and loses duplicate keys
//! and tags on the way.

mod builder;
mod refuse;

use super::{Diagnostics, Source, Span, Spanned, Tree, syntax};
use builder::Builder;
use serde_saphyr::granit_parser::{Options, Parser};

/// The longest document that is read. A playbook of a thousand steps has a tenth of it.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// How deep lists and maps may be nested.
pub(super) const MAX_DEPTH: usize = 64;
/// How many values all aliases of a document may repeat together.
const MAX_REPEATED: usize = 10_000;

/// Reads one YAML document. Everything that is wrong with it is added to `diagnostics`.
///
/// Tags, merge keys, duplicate keys, keys that are not text and further documents are errors that do not keep the rest
/// from being read. Simple aliases are allowed, and the places in their values are those of the anchor; aliases that
/// repeat themselves or more than 10,000 values are errors. `None` when there is no tree to go on with: a syntax
/// error (with all problems found before it), an empty file, or one that exceeds 1 MiB or 64 levels.
pub fn parse(source: &Source, diagnostics: &mut Diagnostics) -> Option<Spanned<Tree>> {
    if source.text.len() > MAX_BYTES {
        diagnostics
            .error(
                "document-too-large",
                source,
                Span::default(),
                format!(
                    "the file has {} bytes, and at most {MAX_BYTES} are read",
                    source.text.len()
                ),
            )
            .help = Some("is this the file that was meant?".to_owned());
        return None;
    }
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.emit_unresolved_aliases = true;
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut builder = Builder::new(source, diagnostics);
    for event in Parser::new_from_str_with_options(&source.text, options) {
        match event {
            Ok((event, place)) => {
                if builder.take(event, &place).is_err() {
                    return None;
                }
                if builder.documents > 1 {
                    break;
                }
            }
            Err(error) => {
                let inside = builder.open_bracket();
                syntax::report(&error, source, inside, builder.diagnostics);
                return None;
            }
        }
    }
    let root = builder.root.take().filter(|root| root.value != Tree::Null);
    if root.is_none() {
        diagnostics.error(
            "empty-document",
            source,
            Span::default(),
            "there is nothing in this file",
        );
    }
    root
}
