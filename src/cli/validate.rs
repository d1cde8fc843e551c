//! `pgbaton validate`: everything that is wrong, in all files, at once.

use super::app::Context;
use super::args::ValidateArgs;
use super::error::CommandError;
use super::exit_codes::Code;
use super::paint::Paint;
use super::{diagnostics, library, merged, screen};
use crate::document::{Diagnostic, Diagnostics, Severity, Source, Tree, read_file};
use crate::playbook::Library;
use crate::runs::{RunsError, Shelves, site_file};
use crate::site::{Site, SiteError};
use crate::trigger::hooks;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What a file turned out to be, and everything that is wrong with it.
struct Verdict {
    file: String,
    kind: Kind,
    diagnostics: Diagnostics,
    /// Why it could not be read at all.
    unreadable: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Playbook,
    Overlay,
    Site,
    Tests,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Playbook => "playbook",
            Self::Overlay => "overlay",
            Self::Site => "site file",
            Self::Tests => "tests",
        }
    }
}

impl Verdict {
    fn ok(&self) -> bool {
        self.unreadable.is_none() && !self.diagnostics.has_errors()
    }
}

pub(crate) fn validate(context: &Context, args: &ValidateArgs) -> Result<Code, CommandError> {
    if args.show {
        let name = |file: &PathBuf| file.display().to_string();
        let wanted: Vec<String> = args.files.iter().map(name).collect();
        return merged::show(context, &wanted);
    }
    let shelves = library::shelves(&context.global);
    let mut verdicts = Vec::new();
    if args.files.is_empty() {
        // Without a site file the stock playbooks alone are there to be looked at, unless one was asked for.
        match site_file(context.global.site.as_deref()) {
            Ok(file) => verdicts.push(check_site(&file)),
            Err(error) if context.global.site.is_some() => return Err(error.into()),
            Err(_) => {}
        }
        // All that a run could be asked for by name. What overlays change and is not there, every other one says.
        for name in shelves.names() {
            verdicts.extend(check_named(&name, &shelves));
        }
    } else {
        for file in &args.files {
            verdicts.push(check_file(file, &shelves));
        }
    }
    show(context, &verdicts);
    Ok(if verdicts.iter().all(Verdict::ok) {
        Code::Ok
    } else {
        Code::Invalid
    })
}

/// A playbook by its name, as it would be run: the site's own or the stock's, with the site's overlays.
fn check_named(name: &str, shelves: &Shelves) -> Option<Verdict> {
    match shelves.find(name) {
        Ok(source) => source.map(|source| check_playbook(&source, shelves)),
        Err(unreadable) => Some(Verdict {
            file: unreadable.file,
            kind: Kind::Playbook,
            diagnostics: Diagnostics::default(),
            unreadable: Some(unreadable.why),
        }),
    }
}

fn check_file(file: &Path, shelves: &Shelves) -> Verdict {
    // A name, where there is no file that is called so.
    let name = file.display().to_string();
    if !file.exists()
        && let Ok(Some(source)) = shelves.find(&name)
    {
        return check_playbook(&source, shelves);
    }
    let text = match read_file(file) {
        Ok(text) => text,
        Err(error) => {
            return Verdict {
                file: file.display().to_string(),
                kind: Kind::Playbook,
                diagnostics: Diagnostics::default(),
                unreadable: Some(error.to_string()),
            };
        }
    };
    let source = Source::new(file.display().to_string(), text);
    match kind_of(&source) {
        Kind::Site => check_site(file),
        Kind::Tests => check_tests(&source),
        Kind::Playbook => check_playbook(&source, shelves),
        Kind::Overlay => {
            // Laid over the playbook that it changes, on top of the site's others.
            let path = if file.extension().is_some() {
                name
            } else {
                format!("./{name}")
            };
            let whole = shelves.find(&path).ok().flatten();
            Verdict {
                file: source.name.to_string(),
                kind: Kind::Overlay,
                ..check_playbook(whole.as_ref().unwrap_or(&source), shelves)
            }
        }
    }
}

/// A site file says `site:` at the top and no `playbook:`, an overlay `overlay:`; everything else is held to be a playbook.
fn kind_of(source: &Source) -> Kind {
    let tree = crate::document::parse(source, &mut Diagnostics::default());
    let Some(Tree::Map(entries)) = tree.map(|t| t.value) else {
        return Kind::Playbook;
    };
    let has = |name: &str| entries.iter().any(|e| e.key.value == name);
    if has("tests") && has("cases") {
        return Kind::Tests;
    }
    if (has("site") || has("clusters")) && !has("playbook") && !has("steps") {
        Kind::Site
    } else if has("overlay") && !has("playbook") {
        Kind::Overlay
    } else {
        Kind::Playbook
    }
}

fn check_playbook(source: &Source, library: &dyn Library) -> Verdict {
    let mut diagnostics = Diagnostics::default();
    crate::playbook::check(
        source,
        &crate::actions::catalog(),
        library,
        &mut diagnostics,
    );
    Verdict {
        file: source.name.to_string(),
        kind: Kind::Playbook,
        diagnostics,
        unreadable: None,
    }
}

fn check_tests(source: &Source) -> Verdict {
    let mut diagnostics = Diagnostics::default();
    crate::rehearse::load_suite(source, &mut diagnostics);
    Verdict {
        file: source.name.to_string(),
        kind: Kind::Tests,
        diagnostics,
        unreadable: None,
    }
}

fn check_site(file: &Path) -> Verdict {
    let mut verdict = Verdict {
        file: file.display().to_string(),
        kind: Kind::Site,
        diagnostics: Diagnostics::default(),
        unreadable: None,
    };
    match Site::load(file) {
        Ok(site) => {
            if let Err(RunsError::Invalid { diagnostics, .. }) = hooks(&site, file) {
                verdict.diagnostics = diagnostics;
            }
        }
        Err(SiteError::Invalid { diagnostics, .. }) => verdict.diagnostics = diagnostics,
        Err(SiteError::Read { source, .. }) => verdict.unreadable = Some(source.to_string()),
    }
    verdict
}

fn show(context: &Context, verdicts: &[Verdict]) {
    if context.global.json {
        let files: Vec<_> = verdicts.iter().map(as_json).collect();
        screen::data(&format!("{}\n", json!({ "files": files })));
        return;
    }
    let errors = Paint::of(context.global.color, &std::io::stderr());
    let mut told = BTreeSet::new();
    for verdict in verdicts {
        let Verdict {
            file,
            kind,
            diagnostics,
            unreadable,
        } = verdict;
        // What is wrong with a file that several playbooks use is told once.
        let news = diagnostics.0.iter();
        let news = Diagnostics(news.filter(|d| told.insert(placed(d))).cloned().collect());
        if !news.0.is_empty() {
            screen::note(&(diagnostics::render(&news, errors) + "\n"));
        }
        let kind = kind.as_str();
        let (sign, word) = if let Some(why) = unreadable {
            let sign = context.paint.bad("cannot be read:");
            (sign, why.clone())
        } else {
            let mistakes = super::text::count(errors_in(diagnostics), "error", "errors");
            if verdict.ok() {
                (context.paint.good("ok"), String::new())
            } else {
                (context.paint.bad("invalid:"), mistakes)
            }
        };
        let line = format!("{file}: {kind} {sign} {word}");
        screen::data(&format!("{}\n", line.trim_end()));
    }
}

/// Where a problem is, and what it is.
fn placed(diagnostic: &Diagnostic) -> (String, usize, String) {
    let (source, span) = diagnostic.source.placed(diagnostic.span);
    let file = source.name.to_string();
    (file, span.start, diagnostic.message.clone())
}

fn errors_in(diagnostics: &Diagnostics) -> usize {
    let errors = diagnostics.0.iter();
    errors.filter(|d| d.severity == Severity::Error).count()
}

fn as_json(verdict: &Verdict) -> serde_json::Value {
    json!({
        "file": verdict.file,
        "kind": verdict.kind.as_str(),
        "ok": verdict.ok(),
        "unreadable": verdict.unreadable,
        "diagnostics": verdict.diagnostics.to_json(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_first_keys_say() {
        for (text, expected) in [
            ("site: east\nclusters: {}", Kind::Site),
            ("clusters: {}", Kind::Site),
            ("playbook: x\nsteps: {}", Kind::Playbook),
            ("playbook: x\nsite: y", Kind::Playbook),
            ("overlay: x", Kind::Overlay),
            ("- a list", Kind::Playbook),
            ("{ broken", Kind::Playbook),
        ] {
            assert!(kind_of(&Source::new("x.yaml", text)) == expected, "{text}");
        }
    }
}
