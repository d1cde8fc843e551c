//! Steps: new ones are wired in, values of those that are there change.

use super::entries::{deep, find, find_mut, is_true, long, remove, set, text};
use super::merge::below;
use super::params::{fixed, sealed, stays};
use crate::document::{Entry, Lowering, Spanned, Tree, suggest};
use crate::playbook::load::is_long;

/// An edge that an overlay adds: `step` needs what stands in `need`.
struct Edge {
    /// Named, with its place, in `needed_by`.
    step: Spanned<String>,
    need: Spanned<String>,
}

/// The steps of the playbook.
pub(super) fn top(to: &mut Lowering<'_>, base: &mut Vec<Entry>, new: Entry) {
    if to.entries("`steps`", &new.value).is_none() {
        return;
    }
    let Some(steps) = below(base, &new) else {
        return;
    };
    if let Tree::Map(changes) = new.value.value {
        lay(to, steps, changes);
    }
}

/// A `rescue` or `finally`.
pub(super) fn block(to: &mut Lowering<'_>, base: &mut Vec<Entry>, new: Entry) {
    let what = format!("`{}`", new.key.value);
    if to.entries(&what, &new.value).is_none() {
        return;
    }
    let Some(old) = below(base, &new) else {
        return;
    };
    if !is_long(old) {
        let span = new.key.span;
        let steps = Spanned::new(Tree::Map(std::mem::take(old)), span);
        if let Tree::Map(entries) = long("steps", steps).value {
            *old = entries;
        }
    }
    let Tree::Map(keys) = new.value.value else {
        return;
    };
    if !is_long(&keys) {
        let steps = Spanned::new(Tree::Map(keys), new.value.span);
        let steps = Entry {
            key: Spanned::new("steps".to_owned(), new.key.span),
            value: steps,
        };
        top(to, old, steps);
        return;
    }
    for key in keys {
        match key.key.value.as_str() {
            "steps" => top(to, old, key),
            _ => deep(old, key),
        }
    }
}

fn lay(to: &mut Lowering<'_>, steps: &mut Vec<Entry>, changes: Vec<Entry>) {
    // Sealed is what was so before: an overlay may seal what it has changed itself.
    let is_sealed =
        |entry: &&Entry| matches!(&entry.value.value, Tree::Map(keys) if is_true(keys, "sealed"));
    let shut: Vec<String> = steps
        .iter()
        .filter(is_sealed)
        .map(|entry| entry.key.value.clone())
        .collect();
    let mut edges = Vec::new();
    for mut change in changes {
        let what = format!("step `{}`", change.key.value);
        if to.entries(&what, &change.value).is_none() {
            continue;
        }
        edges.extend(needed_by(to, &mut change));
        let Tree::Map(keys) = &change.value.value else {
            continue;
        };
        let acts = find(keys, "action").is_some() || find(keys, "playbook").is_some();
        if find(steps, &change.key.value).is_some() {
            step(to, steps, change);
        } else if acts {
            added(to, steps, change);
        } else {
            unknown(
                to,
                steps,
                &change.key,
                "a new step needs `action` or `playbook`",
            );
            edges.retain(|edge: &Edge| edge.need.value != change.key.value);
        }
    }
    for edge in edges {
        let name = &edge.step.value;
        let Some(entry) = find_mut(steps, name) else {
            unknown(
                to,
                steps,
                &edge.step,
                "`needed_by` names steps of the same block",
            );
            continue;
        };
        let Tree::Map(keys) = &mut entry.value.value else {
            continue;
        };
        if shut.contains(name) {
            sealed(to, &format!("step `{name}`"), edge.step.span, keys);
            continue;
        }
        let need = Tree::String {
            text: edge.need.value,
            plain: true,
        };
        add_needs(
            keys,
            Spanned::new("needs".to_owned(), edge.step.span),
            vec![Spanned::new(need, edge.step.span)],
        );
    }
}

fn unknown(to: &mut Lowering<'_>, steps: &[Entry], name: &Spanned<String>, otherwise: &str) {
    let near = suggest(
        &name.value,
        steps.iter().map(|entry| entry.key.value.as_str()),
    );
    let message = format!("there is no step `{}`", name.value);
    to.error("unknown-step", name.span, message).help = Some(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => otherwise.to_owned(),
    });
}

/// Takes `needed_by` out of a step: the other steps will say `needs`.
fn needed_by(to: &mut Lowering<'_>, change: &mut Entry) -> Vec<Edge> {
    let need = change.key.clone();
    let Tree::Map(keys) = &mut change.value.value else {
        return Vec::new();
    };
    let Some(entry) = remove(keys, "needed_by") else {
        return Vec::new();
    };
    let names = match entry.value.value {
        Tree::List(items) => items,
        Tree::String { .. } => vec![entry.value],
        _ => {
            to.wrong_kind("`needed_by`", "a list of step ids", &entry.value);
            return Vec::new();
        }
    };
    let id = |item: &Spanned<Tree>| to.string("a step id in `needed_by`", item);
    let steps: Vec<_> = names.iter().filter_map(id).collect();
    steps
        .into_iter()
        .map(|step| Edge {
            step,
            need: need.clone(),
        })
        .collect()
}

/// A new step; steps in a rescue of its own are new too.
fn added(to: &mut Lowering<'_>, steps: &mut Vec<Entry>, mut new: Entry) {
    if let Tree::Map(keys) = &mut new.value.value
        && let Some(rescue) = remove(keys, "rescue")
    {
        block(to, keys, rescue);
    }
    steps.push(new);
}

/// A step that is there.
fn step(to: &mut Lowering<'_>, steps: &mut [Entry], change: Entry) {
    let id = change.key.value.clone();
    let Some(old) = find_mut(steps, &id) else {
        return;
    };
    let Tree::Map(old) = &mut old.value.value else {
        return;
    };
    if is_true(old, "sealed") {
        sealed(to, &format!("step `{id}`"), change.key.span, old);
        return;
    }
    let Tree::Map(keys) = change.value.value else {
        return;
    };
    for key in keys {
        match key.key.value.as_str() {
            "needs" => needs(old, key),
            "rescue" => block(to, old, key),
            "for_each" => for_each(old, key),
            "action" | "playbook" if stays(old, &key) => {}
            "action" | "playbook" => {
                let message = format!("an overlay cannot change what step `{id}` does");
                fixed(to, &message, &key, old).help = Some(
                    "`disable` it with the reason, and add a step of your own beside it".to_owned(),
                );
            }
            _ => deep(old, key),
        }
    }
}

/// `needs` only adds.
fn needs(old: &mut Vec<Entry>, new: Entry) {
    let items = match new.value.value {
        Tree::List(items) => items,
        Tree::String { .. } => vec![new.value],
        // Something that names no steps: the loader says so.
        _ => return set(old, new),
    };
    add_needs(old, new.key, items);
}

fn add_needs(keys: &mut Vec<Entry>, key: Spanned<String>, items: Vec<Spanned<Tree>>) {
    if find(keys, "needs").is_none() {
        // Behind what the step is, and before what it does: where `needs` stands in any playbook.
        let span = key.span;
        let value = Spanned::new(Tree::List(Vec::new()), span);
        keys.insert(0, Entry { key, value });
    }
    let Some(entry) = find_mut(keys, "needs") else {
        return;
    };
    if matches!(entry.value.value, Tree::String { .. }) {
        let only = entry.value.clone();
        entry.value.value = Tree::List(vec![only]);
    }
    if let Tree::List(known) = &mut entry.value.value {
        for item in items {
            let is_there = |known: &Spanned<Tree>| text(&known.value) == text(&item.value);
            if !known.iter().any(is_there) {
                known.push(item);
            }
        }
    }
}

/// What it goes over alone is short for a map.
fn for_each(old: &mut Vec<Entry>, mut new: Entry) {
    if let Some(there) = find_mut(old, "for_each") {
        for value in [&mut there.value, &mut new.value] {
            if !matches!(value.value, Tree::Map(_)) {
                *value = long("items", value.clone());
            }
        }
    }
    deep(old, new);
}
