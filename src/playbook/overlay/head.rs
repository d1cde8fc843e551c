//! Whose overlay it is, and of which of its versions.

use super::entries::{find, text};
use crate::document::{Diagnostics, Entry, Label, Lowering, Source, Spanned, Tree, parse};
use semver::{Version, VersionReq};
use std::path::Path;

/// The name of the playbook that this text is an overlay of. None where it is a playbook, or nothing that can be read.
pub fn overlay_of(source: &Source) -> Option<String> {
    let tree = parse(source, &mut Diagnostics::default())?;
    let Tree::Map(entries) = &tree.value else {
        return None;
    };
    text(&find(entries, "overlay")?.value.value).map(str::to_owned)
}

/// Whether a text says that it is an overlay.
pub(super) fn is_overlay(tree: &Tree) -> bool {
    matches!(tree, Tree::Map(entries) if find(entries, "overlay").is_some())
}

/// An overlay alone: what it changes is not there.
pub(super) fn without_base(to: &mut Lowering<'_>, tree: &Spanned<Tree>) {
    let Tree::Map(entries) = &tree.value else {
        return;
    };
    if let Some(of) = named(to, tree, entries) {
        unknown(to, &of);
    }
}

/// Judges what the overlay says of whose it is. False where it is of a playbook that there is not: nobody knows what the
/// rest of it would change.
pub(super) fn judge(
    to: &mut Lowering<'_>,
    base: &[Entry],
    overlay: &Spanned<Tree>,
    own: &[Entry],
) -> bool {
    let Some(of) = named(to, overlay, own) else {
        return true;
    };
    let layers = to.source.layers();
    let stem = layers.first().and_then(|first| {
        let stem = Path::new(&*first.name).file_stem()?;
        Some(stem.to_string_lossy().into_owned())
    });
    let name = find(base, "playbook").and_then(|entry| text(&entry.value.value));
    if name != Some(of.value.as_str()) && stem.as_deref() != Some(of.value.as_str()) {
        unknown(to, &of);
        return false;
    }
    if let Some(wanted) = find(own, "version") {
        version(to, base, wanted, &of.value);
    }
    true
}

fn named(
    to: &mut Lowering<'_>,
    tree: &Spanned<Tree>,
    entries: &[Entry],
) -> Option<Spanned<String>> {
    let Some(entry) = find(entries, "overlay") else {
        let d = to.error("missing-key", tree.span, "an overlay needs `overlay`");
        d.label = "`overlay` is missing".into();
        d.help = Some("begin with the name of the playbook that it changes".to_owned());
        return None;
    };
    to.string("`overlay`", &entry.value)
}

/// Which playbooks there are is known to those who found it: they add the advice.
fn unknown(to: &mut Lowering<'_>, of: &Spanned<String>) {
    let message = format!("there is no playbook `{}`", of.value);
    to.error("unknown-playbook", of.span, message);
}

fn version(to: &mut Lowering<'_>, base: &[Entry], wanted: &Entry, of: &str) {
    let Some(written) = to.string("`version`", &wanted.value) else {
        return;
    };
    let requirement = match VersionReq::parse(&written.value) {
        Ok(requirement) => requirement,
        Err(error) => {
            let message = format!("`{}` says of no version whether it will do", written.value);
            let d = to.error("bad-version", written.span, message);
            d.label = error.to_string();
            d.help = Some("write the versions that it is for: `\">=1.0, <2\"`".to_owned());
            return;
        }
    };
    let own = find(base, "version");
    let known = own.and_then(|entry| {
        let version = Version::parse(text(&entry.value.value)?).ok()?;
        Some((version, entry.value.span))
    });
    match known {
        Some((version, _)) if requirement.matches(&version) => {}
        Some((version, place)) => {
            let message = format!(
                "this overlay is for {of} {}, and this is {version}",
                written.value
            );
            let d = to.error("overlay-version", written.span, message);
            d.related.push(Label {
                span: place,
                text: "the version that there is".to_owned(),
            });
            d.help = Some(format!(
                "`pgbaton playbook diff {of} --against FILE` tells what another version means for it"
            ));
        }
        // A version that is none is reported where it stands.
        None if own.is_some() => {}
        None => {
            let message = format!("this overlay is for certain versions of {of}, which has none");
            to.error("overlay-version", written.span, message).help =
                Some("give the playbook a `version`, or leave this one out".to_owned());
        }
    }
}
