//! What one playbook says otherwise than another, key by key.

use super::entries::{find, find_mut, long};
use super::merged;
use crate::document::{Diagnostics, Entry, Source, Span, Spanned, Tree};
use crate::playbook::load::is_long;

/// A key that says something else, or is in one of the two only.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The keys that lead there: `steps`, `follow`, `timeout`.
    pub path: Vec<String>,
    /// What the first says, and where in its source.
    pub old: Option<Spanned<Tree>>,
    /// What the second says, and where in its source: the key, or the value that was added to a list.
    pub new: Option<Spanned<Tree>>,
}

impl Difference {
    /// The path as people write it.
    pub fn shown_path(&self) -> String {
        self.path.join(".")
    }

    /// The reason, where it is that a step was switched off.
    pub fn switched_off(&self) -> Option<&str> {
        let is_disable = self.path.last().is_some_and(|key| key == "disable");
        match &self.new.as_ref().filter(|_| is_disable)?.value {
            Tree::String { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// What `new` says otherwise than `old`, in the order of `old`, then of what is new. Comments, the order of keys, and
/// whether a short form was used do not count; nor do the names and versions of overlays. None where one of them cannot be
/// read.
pub fn differences(old: &Source, new: &Source) -> Option<Vec<Difference>> {
    let old = normal(merged(old, &mut Diagnostics::default())?);
    let new = normal(merged(new, &mut Diagnostics::default())?);
    let mut found = Vec::new();
    compare(&mut Vec::new(), &old, &new, &mut found);
    Some(found)
}

/// The same with every short form written out.
pub(super) fn normal(mut tree: Spanned<Tree>) -> Spanned<Tree> {
    if let Tree::Map(entries) = &mut tree.value {
        for key in ["rescue", "finally"] {
            if let Some(entry) = find_mut(entries, key) {
                block(&mut entry.value);
            }
        }
        if let Some(steps) = find_mut(entries, "steps") {
            steps_of(&mut steps.value);
        }
    }
    tree
}

fn block(value: &mut Spanned<Tree>) {
    let Tree::Map(entries) = &value.value else {
        return;
    };
    if !is_long(entries) {
        *value = long("steps", value.clone());
    }
    if let Tree::Map(entries) = &mut value.value
        && let Some(steps) = find_mut(entries, "steps")
    {
        steps_of(&mut steps.value);
    }
}

fn steps_of(value: &mut Spanned<Tree>) {
    let Tree::Map(steps) = &mut value.value else {
        return;
    };
    for step in steps {
        let Tree::Map(keys) = &mut step.value.value else {
            continue;
        };
        if let Some(each) = find_mut(keys, "for_each")
            && !matches!(each.value.value, Tree::Map(_))
        {
            each.value = long("items", each.value.clone());
        }
        if let Some(needs) = find_mut(keys, "needs")
            && matches!(needs.value.value, Tree::String { .. })
        {
            let only = needs.value.clone();
            needs.value.value = Tree::List(vec![only]);
        }
        if let Some(rescue) = find_mut(keys, "rescue") {
            block(&mut rescue.value);
        }
    }
}

pub(super) fn compare(
    path: &mut Vec<String>,
    old: &Spanned<Tree>,
    new: &Spanned<Tree>,
    found: &mut Vec<Difference>,
) {
    let (Tree::Map(before), Tree::Map(after)) = (&old.value, &new.value) else {
        return;
    };
    for entry in before {
        path.push(entry.key.value.clone());
        match find(after, &entry.key.value) {
            None => found.push(Difference {
                path: path.clone(),
                old: Some(at_key(entry)),
                new: None,
            }),
            Some(other) if entry.value.value.means(&other.value.value) => {}
            Some(other) => changed(path, entry, other, found),
        }
        path.pop();
    }
    for entry in after {
        if find(before, &entry.key.value).is_none() {
            path.push(entry.key.value.clone());
            found.push(Difference {
                path: path.clone(),
                old: None,
                new: Some(at_key(entry)),
            });
            path.pop();
        }
    }
}

fn changed(path: &mut Vec<String>, old: &Entry, new: &Entry, found: &mut Vec<Difference>) {
    match (&old.value.value, &new.value.value) {
        (Tree::Map(_), Tree::Map(_)) => compare(path, &old.value, &new.value, found),
        // Edges come and go one by one; their order says nothing.
        (Tree::List(before), Tree::List(after)) if old.key.value == "needs" => {
            let lacks = |list: &[Spanned<Tree>], item: &Spanned<Tree>| {
                !list.iter().any(|other| other.value.means(&item.value))
            };
            let mut edge = |old: Option<&Spanned<Tree>>, new: Option<&Spanned<Tree>>| {
                found.push(Difference {
                    path: path.clone(),
                    old: old.cloned(),
                    new: new.cloned(),
                });
            };
            for item in before.iter().filter(|item| lacks(after, item)) {
                edge(Some(item), None);
            }
            for item in after.iter().filter(|item| lacks(before, item)) {
                edge(None, Some(item));
            }
        }
        _ => found.push(Difference {
            path: path.clone(),
            old: Some(at_key(old)),
            new: Some(at_key(new)),
        }),
    }
}

/// A value at the place of its key, where a reader looks for it.
fn at_key(entry: &Entry) -> Spanned<Tree> {
    let span: Span = entry.key.span;
    Spanned::new(entry.value.value.clone(), span)
}
