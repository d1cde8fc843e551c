//! One overlay over a playbook.

use super::entries::{deep, find_mut, prune, set};
use super::{head, params, steps};
use crate::document::{Entry, Lowering, Spanned, Tree, suggest};

/// What an overlay may say.
const KEYS: [&str; 11] = [
    "overlay", "version", "summary", "params", "waive", "timeout", "defaults", "steps", "rescue",
    "finally", "outputs",
];

/// Changes `base` as the overlay says.
pub(super) fn lay(to: &mut Lowering<'_>, base: &mut Spanned<Tree>, mut overlay: Spanned<Tree>) {
    if to.entries("an overlay", &overlay).is_none() {
        return;
    }
    prune(to, &mut overlay.value);
    let (Tree::Map(base), Tree::Map(own)) = (&mut base.value, &overlay.value) else {
        // A playbook that is none is reported by whoever loads it.
        return;
    };
    if !head::judge(to, base, &overlay, own) {
        return;
    }
    let Tree::Map(own) = overlay.value else {
        return;
    };
    for entry in own {
        match entry.key.value.as_str() {
            "overlay" | "version" => {}
            "summary" | "timeout" => set(base, entry),
            "defaults" | "outputs" | "waive" => named(to, base, entry),
            "params" => params::lay(to, base, entry),
            "steps" => steps::top(to, base, entry),
            "rescue" | "finally" => steps::block(to, base, entry),
            other => unknown(to, other, &entry),
        }
    }
}

/// A map that is merged by key.
fn named(to: &mut Lowering<'_>, base: &mut Vec<Entry>, new: Entry) {
    let what = format!("`{}`", new.key.value);
    if to.entries(&what, &new.value).is_some() {
        deep(base, new);
    }
}

fn unknown(to: &mut Lowering<'_>, key: &str, entry: &Entry) {
    let d = to.error(
        "unknown-key",
        entry.key.span,
        format!("an overlay has no key `{key}`"),
    );
    d.help = Some(match (key, suggest(key, KEYS)) {
        ("playbook", _) => {
            "the playbook that it changes is the value of `overlay`; a playbook of its own is another file"
                .to_owned()
        }
        (_, Some(meant)) => format!("did you mean `{meant}`?"),
        (_, None) => format!("it has: {}", KEYS.join(", ")),
    });
}

/// The map of this key, which is made where it is not there. None where something else is, which is reported elsewhere.
pub(super) fn below<'b>(base: &'b mut Vec<Entry>, like: &Entry) -> Option<&'b mut Vec<Entry>> {
    let key = like.key.value.as_str();
    if find_mut(base, key).is_none() {
        base.push(Entry {
            key: like.key.clone(),
            value: Spanned::new(Tree::Map(Vec::new()), like.value.span),
        });
    }
    match &mut find_mut(base, key)?.value.value {
        Tree::Map(entries) => Some(entries),
        _ => None,
    }
}
