//! What another version of a playbook means for what a site has changed about it.

use super::differences::{Difference, compare, normal};
use super::entries::{find, text};
use super::merged;
use crate::document::{Diagnostics, Entry, Source, Spanned, Tree, parse_layers};
use semver::{Version, VersionReq};

/// Something of the playbook's that the site has changed or hangs its own steps on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// The keys that lead there.
    pub path: Vec<String>,
    /// What the site says there; nothing where it only names it.
    pub says: Option<String>,
    /// The file.
    pub file: String,
    /// The line in it.
    pub line: usize,
}

/// What a site has to look at before it goes from one version to the next.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// An overlay says that it is not for the newer version.
    Version {
        /// What it wants.
        wanted: String,
        /// What there will be.
        version: String,
        /// Where it says so.
        at: Touched,
    },
    /// What it touches is not there any more.
    Gone(Touched),
    /// What it touches says something else.
    Changed {
        /// What it touches.
        at: Touched,
        /// What has changed.
        difference: Difference,
    },
    /// What it adds is there by itself now.
    Taken(Touched),
    /// A step that it touches has another edge than before.
    Edge {
        /// What it touches.
        at: Touched,
        /// The step, and the edge.
        difference: Difference,
    },
}

impl Finding {
    fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Gone(one), Self::Gone(two)) | (Self::Taken(one), Self::Taken(two)) => {
                one.path == two.path && one.file == two.file
            }
            (
                Self::Edge {
                    difference: one, ..
                },
                Self::Edge {
                    difference: two, ..
                },
            ) => one == two,
            _ => self == other,
        }
    }
}

/// What the step from `older` to `newer` means for the overlays. None where one of the texts cannot be read.
pub fn upgrade(older: &Source, newer: &Source, overlays: &[Source]) -> Option<Vec<Finding>> {
    let read = |source: &Source| Some(normal(merged(source, &mut Diagnostics::default())?));
    let (before, after) = (read(older)?, read(newer)?);
    let mut moved = Vec::new();
    compare(&mut Vec::new(), &before, &after, &mut moved);
    let mut findings = Vec::new();
    for overlay in overlays {
        let tree = parse_layers(overlay, &mut Diagnostics::default()).pop()??;
        let tree = normal(tree);
        version(overlay, &tree, &after, &mut findings);
        let mut touched = Vec::new();
        let Tree::Map(entries) = &tree.value else {
            continue;
        };
        let own = entries
            .iter()
            .filter(|entry| !matches!(entry.key.value.as_str(), "overlay" | "version"));
        for entry in own {
            collect(overlay, &mut Vec::new(), entry, &mut touched);
        }
        for at in touched {
            judge(&at, &before, &after, &moved, &mut findings);
        }
    }
    // Many keys of a step lead to the same: it is said once, at the first.
    let mut unique: Vec<Finding> = Vec::with_capacity(findings.len());
    for finding in findings {
        if !unique.iter().any(|known| known.says_the_same(&finding)) {
            unique.push(finding);
        }
    }
    Some(unique)
}

fn version(
    overlay: &Source,
    tree: &Spanned<Tree>,
    newer: &Spanned<Tree>,
    findings: &mut Vec<Finding>,
) {
    let of = |tree: &Spanned<Tree>| match &tree.value {
        Tree::Map(entries) => find(entries, "version").cloned(),
        _ => None,
    };
    let (Some(wanted), Some(version)) = (of(tree), of(newer)) else {
        return;
    };
    let (Some(requirement), Some(there)) = (text(&wanted.value.value), text(&version.value.value))
    else {
        return;
    };
    let fits = match (VersionReq::parse(requirement), Version::parse(there)) {
        (Ok(requirement), Ok(version)) => requirement.matches(&version),
        // What is no version is told where the playbook is checked.
        _ => true,
    };
    if !fits {
        findings.push(Finding::Version {
            wanted: requirement.to_owned(),
            version: there.to_owned(),
            at: touch(overlay, &["version".to_owned()], &wanted),
        });
    }
}

fn touch(source: &Source, path: &[String], entry: &Entry) -> Touched {
    let says = match &entry.value.value {
        Tree::Map(_) => None,
        other => Some(crate::document::write_flow(other)),
    };
    Touched {
        path: path.to_vec(),
        says,
        file: source.name.to_string(),
        line: source.line_column(entry.key.span.start).0,
    }
}

/// Everything that an overlay says, leaf by leaf, and the steps that it names.
fn collect(source: &Source, path: &mut Vec<String>, entry: &Entry, touched: &mut Vec<Touched>) {
    path.push(entry.key.value.clone());
    match (&entry.value.value, entry.key.value.as_str()) {
        (Tree::Map(entries), _) if !entries.is_empty() => {
            for entry in entries {
                collect(source, path, entry, touched);
            }
        }
        (value, "needs" | "needed_by") => {
            let block = path[..path.len().saturating_sub(2)].to_vec();
            let names: Vec<&Tree> = match value {
                Tree::List(items) => items.iter().map(|item| &item.value).collect(),
                other => vec![other],
            };
            for name in names.into_iter().filter_map(text) {
                let step: Vec<String> = block.iter().cloned().chain([name.to_owned()]).collect();
                touched.push(Touched {
                    says: None,
                    ..touch(source, &step, entry)
                });
            }
        }
        _ => touched.push(touch(source, path, entry)),
    }
    path.pop();
}

fn at<'t>(tree: &'t Spanned<Tree>, path: &[String]) -> Option<&'t Tree> {
    let mut here = &tree.value;
    for key in path {
        let Tree::Map(entries) = here else {
            return None;
        };
        here = &find(entries, key)?.value.value;
    }
    Some(here)
}

/// The step or parameter that a path leads into.
fn unit(path: &[String]) -> Option<&[String]> {
    let depth = match path.first().map(String::as_str) {
        Some("steps" | "params" | "outputs") => 2,
        Some("rescue" | "finally") => 3,
        _ => return None,
    };
    path.get(..depth)
}

fn judge(
    touched: &Touched,
    before: &Spanned<Tree>,
    after: &Spanned<Tree>,
    moved: &[Difference],
    findings: &mut Vec<Finding>,
) {
    let path = &touched.path;
    if let Some(unit) = unit(path) {
        match (at(before, unit), at(after, unit)) {
            (Some(_), None) => {
                let path = unit.to_vec();
                let says = None;
                let at = Touched {
                    path,
                    says,
                    ..touched.clone()
                };
                return findings.push(Finding::Gone(at));
            }
            // Only where it brings a thing of its own: otherwise it was meant for a version that has one.
            (None, Some(_)) if touched.says.is_some() => {
                let path = unit.to_vec();
                let at = Touched {
                    path,
                    says: None,
                    ..touched.clone()
                };
                return findings.push(Finding::Taken(at));
            }
            _ => {}
        }
        let is_edge =
            |difference: &&Difference| difference.path.last().is_some_and(|key| key == "needs");
        for difference in moved.iter().filter(is_edge) {
            let of = &difference.path[..difference.path.len() - 1];
            let named = [&difference.old, &difference.new]
                .into_iter()
                .flatten()
                .any(|value| text(&value.value) == unit.last().map(String::as_str));
            if of == unit || (named && of.len() == unit.len()) {
                findings.push(Finding::Edge {
                    at: Touched {
                        path: unit.to_vec(),
                        says: None,
                        ..touched.clone()
                    },
                    difference: difference.clone(),
                });
            }
        }
    }
    if touched.says.is_none() {
        return;
    }
    for difference in moved {
        let is_edge = difference.path.last().is_some_and(|key| key == "needs");
        let meets = path.starts_with(&difference.path) || difference.path.starts_with(path);
        if meets && !is_edge {
            findings.push(Finding::Changed {
                at: touched.clone(),
                difference: difference.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_into_steps_and_parameters() {
        let path = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let steps = path(&["steps", "a", "with", "x"]);
        assert_eq!(unit(&steps), Some(&steps[..2]));
        let last = path(&["finally", "steps", "b", "timeout"]);
        assert_eq!(unit(&last), Some(&last[..3]));
        assert_eq!(unit(&path(&["timeout"])), None);
    }
}
