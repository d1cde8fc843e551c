//! Parameters: what a site narrows, presets and seals.

use super::entries::{deep, find, find_mut, is_true, remove};
use super::merge::below;
use crate::document::{Entry, Label, Lowering, Span, Tree, suggest};

pub(super) fn lay(to: &mut Lowering<'_>, base: &mut Vec<Entry>, new: Entry) {
    if to.entries("`params`", &new.value).is_none() {
        return;
    }
    let Some(known) = below(base, &new) else {
        return;
    };
    let Tree::Map(changes) = new.value.value else {
        return;
    };
    for change in changes {
        let what = format!("parameter `{}`", change.key.value);
        let Some(keys) = to.entries(&what, &change.value) else {
            continue;
        };
        let declares = find(keys, "type").is_some();
        if find(known, &change.key.value).is_some() {
            param(to, known, change);
        } else if declares {
            known.push(change);
        } else {
            unknown(to, known, &change);
        }
    }
}

fn unknown(to: &mut Lowering<'_>, known: &[Entry], change: &Entry) {
    let name = &change.key.value;
    let near = suggest(name, known.iter().map(|entry| entry.key.value.as_str()));
    let d = to.error(
        "unknown-param",
        change.key.span,
        format!("there is no parameter `{name}` to change"),
    );
    d.help = Some(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "a parameter of the site's own needs a `type`".to_owned(),
    });
}

fn param(to: &mut Lowering<'_>, known: &mut [Entry], change: Entry) {
    let name = change.key.value.clone();
    let Some(old) = find_mut(known, &name) else {
        return;
    };
    let Tree::Map(old) = &mut old.value.value else {
        return;
    };
    if is_true(old, "sealed") {
        sealed(to, &format!("parameter `{name}`"), change.key.span, old);
        return;
    }
    let Tree::Map(keys) = change.value.value else {
        return;
    };
    // A parameter is required or has a default: whichever the overlay says takes the place of the other.
    if is_true(&keys, "required") && find(&keys, "default").is_none() {
        remove(old, "default");
    }
    if find(&keys, "default").is_some() && find(&keys, "required").is_none() {
        remove(old, "required");
    }
    for key in keys {
        match key.key.value.as_str() {
            "type" if !stays(old, &key) => {
                let message = format!("an overlay cannot change the type of `{name}`");
                fixed(to, &message, &key, old).help = Some(
                    "the playbook's own steps count on it; make a parameter of your own".to_owned(),
                );
            }
            "enum" if !narrows(old, &key) => {
                let message = format!("`{name}` allows more here than the playbook knows");
                fixed(to, &message, &key, old).help =
                    Some("an overlay takes values out, and adds none".to_owned());
            }
            "enum" => {
                remove(old, "enum");
                old.push(key);
            }
            _ => deep(old, key),
        }
    }
}

/// Says that something was sealed below.
pub(super) fn sealed(to: &mut Lowering<'_>, what: &str, at: Span, old: &[Entry]) {
    let place = find(old, "sealed").map(|entry| entry.key.span);
    let d = to.error("sealed", at, format!("{what} is sealed"));
    d.related.extend(place.map(|span| Label {
        span,
        text: "sealed here".to_owned(),
    }));
    d.help = Some("leave it out: what is sealed is not for overlays to change".to_owned());
}

/// Says that this cannot be changed.
pub(super) fn fixed<'d>(
    to: &'d mut Lowering<'_>,
    message: &str,
    new: &Entry,
    old: &[Entry],
) -> &'d mut crate::document::Diagnostic {
    let place = find(old, &new.key.value).map(|entry| entry.value.span);
    let d = to.error("overlay-fixed", new.value.span, message);
    d.related.extend(place.map(|span| Label {
        span,
        text: "as it is".to_owned(),
    }));
    d
}

/// Whether a key says what it says already.
pub(super) fn stays(old: &[Entry], new: &Entry) -> bool {
    find(old, &new.key.value).is_some_and(|entry| entry.value.value.means(&new.value.value))
}

fn narrows(old: &[Entry], new: &Entry) -> bool {
    let Some(Tree::List(allowed)) = find(old, "enum").map(|entry| &entry.value.value) else {
        return true;
    };
    let Tree::List(wanted) = &new.value.value else {
        return true;
    };
    let is_known = |value: &Tree| allowed.iter().any(|known| known.value.means(value));
    wanted.iter().all(|item| is_known(&item.value))
}
