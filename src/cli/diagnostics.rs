//! Diagnostics of documents, for standard error or for standard output.

use super::paint::Paint;
use super::screen;
use crate::document::Diagnostics;

/// As text for people; nothing when there is nothing to say.
pub(crate) fn render(diagnostics: &Diagnostics, paint: Paint) -> String {
    let columns = screen::size().map_or(100, |(columns, _)| columns);
    diagnostics.render(paint.is_colored(), columns)
}
