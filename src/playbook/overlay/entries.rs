//! Maps that are being changed.

use crate::document::{Entry, Lowering, Spanned, Tree};

pub(super) fn find<'e>(entries: &'e [Entry], key: &str) -> Option<&'e Entry> {
    entries.iter().find(|entry| entry.key.value == key)
}

pub(super) fn find_mut<'e>(entries: &'e mut [Entry], key: &str) -> Option<&'e mut Entry> {
    entries.iter_mut().find(|entry| entry.key.value == key)
}

/// The text of a string.
pub(super) fn text(tree: &Tree) -> Option<&str> {
    match tree {
        Tree::String { text, .. } => Some(text),
        _ => None,
    }
}

/// Whether a key is there and says `true`.
pub(super) fn is_true(entries: &[Entry], key: &str) -> bool {
    find(entries, key).is_some_and(|entry| entry.value.value == Tree::Boolean(true))
}

/// Puts an entry in the place of the one that has its key, or behind all.
pub(super) fn set(entries: &mut Vec<Entry>, new: Entry) {
    match find_mut(entries, &new.key.value) {
        Some(old) => *old = new,
        None => entries.push(new),
    }
}

pub(super) fn remove(entries: &mut Vec<Entry>, key: &str) -> Option<Entry> {
    let at = entries.iter().position(|entry| entry.key.value == key)?;
    Some(entries.remove(at))
}

/// Merges maps by key; whatever else there is gets replaced.
pub(super) fn deep(entries: &mut Vec<Entry>, new: Entry) {
    if let Some(old) = find_mut(entries, &new.key.value)
        && let (Tree::Map(below), Tree::Map(_)) = (&mut old.value.value, &new.value.value)
    {
        let Tree::Map(new) = new.value.value else {
            return;
        };
        for entry in new {
            deep(below, entry);
        }
        return;
    }
    set(entries, new);
}

/// A short form as the map that it stands for: `key` with the value.
pub(super) fn long(key: &str, value: Spanned<Tree>) -> Spanned<Tree> {
    let span = value.span;
    let entry = Entry {
        key: Spanned::new(key.to_owned(), span),
        value,
    };
    Spanned::new(Tree::Map(vec![entry]), span)
}

/// Reports what has no value, and takes it out: an overlay adds and changes.
pub(super) fn prune(to: &mut Lowering<'_>, tree: &mut Tree) {
    const HELP: &str =
        "an overlay takes nothing away: give it another value, or `disable` a step with the reason";
    match tree {
        Tree::Map(entries) => entries.retain_mut(|entry| {
            if entry.value.value == Tree::Null {
                let message = format!("`{}` has no value", entry.key.value);
                to.error("empty-value", entry.key.span, message).help = Some(HELP.to_owned());
                return false;
            }
            prune(to, &mut entry.value.value);
            true
        }),
        Tree::List(items) => items.retain_mut(|item| {
            if item.value == Tree::Null {
                to.error("empty-value", item.span, "there is no value here")
                    .help = Some(HELP.to_owned());
                return false;
            }
            prune(to, &mut item.value);
            true
        }),
        _ => {}
    }
}
