//! Overlays: a site's changes to a playbook, laid over it before anything else looks at it.
//!
//! The playbook and its overlays are one [`Source`] of several texts; [`merged`] reads all of them and gives the tree of
//! one playbook, in which every key and value keeps the place where it was written. From there on it is a playbook like
//! any other: loading, static checks and safety rules need not know that there were overlays. [`plain`] writes it out as
//! the text of such a playbook, which is what a run keeps and a plan holds.

mod differences;
mod entries;
mod head;
mod merge;
mod params;
mod steps;
mod upgrade;

pub use differences::{Difference, differences};
pub use head::overlay_of;
pub use upgrade::{Finding, Touched, upgrade};

use crate::document::{Diagnostics, Lowering, Source, Spanned, Tree, parse_layers, write};

/// The longest line of a playbook that is written out, where it can be broken.
const WIDTH: usize = 110;

/// The tree of a playbook with its overlays. What is wrong with the overlays is reported, and what can be made of them
/// is in the tree.
pub(super) fn merged(source: &Source, diagnostics: &mut Diagnostics) -> Option<Spanned<Tree>> {
    let mut trees = parse_layers(source, diagnostics).into_iter();
    let mut base = trees.next()??;
    let to = &mut Lowering {
        source,
        diagnostics,
    };
    if head::is_overlay(&base.value) {
        head::without_base(to, &base);
        return None;
    }
    // What is not read has been reported; without it nobody knows what the rest would be.
    let overlays: Vec<Spanned<Tree>> = trees.collect::<Option<_>>()?;
    for overlay in overlays {
        merge::lay(to, &mut base, overlay);
    }
    Some(base)
}

/// The playbook as one text, without its overlays: what it says is the same.
pub(super) fn plain(source: &Source) -> Source {
    if !source.is_layered() {
        return source.clone();
    }
    // Only what was loaded without an error is written out.
    let Some(tree) = merged(source, &mut Diagnostics::default()) else {
        return source.clone();
    };
    let mut text = String::new();
    for line in write(source, &tree, WIDTH) {
        text.push_str(&line.text);
        text.push('\n');
    }
    Source::new(source.name.clone(), text)
}

/// What a playbook says when its overlays are laid over it, in lines, each with the place that it came from.
pub fn shown(source: &Source, width: usize) -> Option<Vec<crate::document::Line>> {
    let tree = merged(source, &mut Diagnostics::default())?;
    Some(write(source, &tree, width))
}
