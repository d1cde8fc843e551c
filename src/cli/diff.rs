//! `pgbaton playbook diff`: what a site has changed about a playbook, and what another version of it means for that.

use super::app::Context;
use super::args::PlaybookDiffArgs;
use super::error::CommandError;
use super::exit_codes::Code;
use super::paint::Paint;
use super::{diagnostics, library, screen, text};
use crate::document::{Diagnostics, Source, Spanned, Tree, parse, read_file, write, write_flow};
use crate::playbook::{
    Difference, Finding, Touched, differences, load, overlay_of, shown, upgrade,
};
use crate::runs::{Shelves, stock_playbook};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;

pub(crate) fn diff(context: &Context, args: &PlaybookDiffArgs) -> Result<Code, CommandError> {
    let shelves = library::shelves(&context.global);
    let site = Sides::of(&shelves, &args.playbook)?;
    match &args.against {
        // What is wrong with the whole is told as well.
        None => changes(context, &site).and_then(|code| {
            library::check(&site.own, &shelves)?;
            Ok(code)
        }),
        Some(file) => against(context, &shelves, &site, file),
    }
}

/// A playbook as it comes, and as the site has it.
struct Sides {
    stock: Source,
    /// The site's, with its overlays.
    own: Source,
    overlays: Vec<Source>,
    /// A whole file of the site's stands in the place of the stock playbook.
    is_copy: bool,
}

impl Sides {
    fn of(shelves: &Shelves, wanted: &str) -> Result<Self, CommandError> {
        let own = library::open(shelves, wanted)?;
        let mut layers = own.layers();
        let base = layers.remove(0);
        if overlay_of(&base).is_some() {
            // An overlay of nothing: the check says which playbook there is not.
            library::check(&own, shelves)?;
        }
        refuse_secrets(&own, shelves)?;
        let stem = Path::new(&*base.name).file_stem();
        let name = stem.map(|stem| stem.to_string_lossy().into_owned());
        let named = load(&base, &mut Diagnostics::default()).map(|p| p.name.value.clone());
        let stock = [name, named]
            .into_iter()
            .flatten()
            .find_map(|name| stock_playbook(&name));
        let is_copy = stock.as_ref().is_some_and(|stock| *stock != base);
        Ok(Self {
            stock: stock.unwrap_or(base),
            own,
            overlays: layers,
            is_copy,
        })
    }
}

/// What was written in place of a reference to a secret may be the secret: nothing of such a file is shown.
fn refuse_secrets(source: &Source, shelves: &Shelves) -> Result<(), CommandError> {
    let mut found = Diagnostics::default();
    load(source, &mut found);
    if found.0.iter().any(|d| d.code == "secret-value") {
        library::check(source, shelves)?;
    }
    Ok(())
}

/// Whether it says that it is a playbook; what else is wrong with it is told with what it means.
fn is_playbook(source: &Source) -> bool {
    let tree = parse(source, &mut Diagnostics::default());
    let Some(Tree::Map(entries)) = tree.map(|tree| tree.value) else {
        return false;
    };
    entries.iter().any(|entry| entry.key.value == "playbook")
}

fn unreadable(source: &Source) -> CommandError {
    CommandError::invalid(format!("{} cannot be compared", source.name))
        .hint("`pgbaton validate` says what is wrong with it")
}

fn changes(context: &Context, site: &Sides) -> Result<Code, CommandError> {
    let found = differences(&site.stock, &site.own).ok_or_else(|| unreadable(&site.own))?;
    if context.global.json {
        let all: Vec<_> = found
            .iter()
            .map(|difference| difference_json(difference, site))
            .collect();
        let overlays: Vec<_> = site.overlays.iter().map(|source| &*source.name).collect();
        let data = json!({
            "stock": *site.stock.name,
            "own": *site.own.layers()[0].name,
            "is_copy": site.is_copy,
            "overlays": overlays,
            "changes": all,
        });
        screen::data(&format!("{data}\n"));
        return Ok(Code::Ok);
    }
    let mut out = String::new();
    let _ = writeln!(out, "{}", head(site));
    if found.is_empty() {
        out.push_str("nothing is changed\n");
    }
    for difference in &found {
        out.push_str(&told(difference, site, context.paint));
    }
    screen::data(&out);
    Ok(Code::Ok)
}

fn head(site: &Sides) -> String {
    let mut line = format!("{}{}", site.stock.name, versioned(&site.stock));
    if site.is_copy {
        let base = &site.own.layers()[0];
        let _ = write!(line, " → {}{}", base.name, versioned(base));
    }
    for overlay in &site.overlays {
        let _ = write!(line, " + {}", overlay.name);
    }
    line
}

fn versioned(source: &Source) -> String {
    version(source).map_or_else(String::new, |version| format!(" {version}"))
}

fn version(source: &Source) -> Option<String> {
    let playbook = load(source, &mut Diagnostics::default())?;
    playbook.version.map(|version| version.value)
}

/// One change, on one line where there is room.
fn told(difference: &Difference, site: &Sides, paint: Paint) -> String {
    let path = difference.shown_path();
    let value = |value: &Option<Spanned<Tree>>| value.as_ref().map(|v| write_flow(&v.value));
    let place = difference.new.as_ref().map_or_else(String::new, |new| {
        let (line, _) = site.own.line_column(new.span.start);
        let file = site.own.name_at(new.span.start);
        format!("{}:{line}", text::one_line(file))
    });
    let (sign, lines) = if let Some(reason) = difference.switched_off() {
        let step = path.trim_end_matches(".disable");
        let sign = paint.warn("×");
        (sign, vec![format!("{step} is switched off: {reason}")])
    } else {
        match (value(&difference.old), value(&difference.new)) {
            (None, Some(_)) if added_map(difference).is_some() => (paint.good("+"), vec![path]),
            (None, Some(new)) => (paint.good("+"), vec![format!("{path}: {new}")]),
            (Some(old), None) => (paint.bad("-"), vec![format!("{path}: {old}")]),
            (Some(old), Some(new)) => {
                let short = format!("{path}: {old} → {new}");
                let lines = if text::width(&short) <= 76 {
                    vec![short]
                } else {
                    vec![
                        format!("{path}:"),
                        format!("  was {old}"),
                        format!("  is  {new}"),
                    ]
                };
                (paint.warn("~"), lines)
            }
            (None, None) => return String::new(),
        }
    };
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        for (part, words) in text::wrap(line, 76).iter().enumerate() {
            let lead = if index + part == 0 {
                format!("{sign} ")
            } else {
                " ".repeat(if part == 0 { 2 } else { 6 + indent })
            };
            let _ = writeln!(out, "{lead}{words}");
        }
    }
    for line in added_map(difference)
        .into_iter()
        .flat_map(|map| write(&site.own, map, 74))
    {
        let _ = writeln!(out, "      {}", line.text);
    }
    if !place.is_empty() {
        let _ = writeln!(out, "    {}", paint.faint(&place));
    }
    out
}

/// A whole thing that is new, a step for example: it is shown as it would be written.
fn added_map(difference: &Difference) -> Option<&Spanned<Tree>> {
    let new = difference
        .new
        .as_ref()
        .filter(|_| difference.old.is_none())?;
    matches!(new.value, Tree::Map(_)).then_some(new)
}

fn difference_json(difference: &Difference, site: &Sides) -> Value {
    let kind = match (&difference.old, &difference.new) {
        _ if difference.switched_off().is_some() => "switched_off",
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    };
    let value = |value: &Option<Spanned<Tree>>| value.as_ref().map(|v| v.value.to_json());
    let at = difference.new.as_ref().map(|new| {
        let (line, _) = site.own.line_column(new.span.start);
        json!({ "file": **site.own.name_at(new.span.start), "line": line })
    });
    json!({
        "path": difference.path,
        "kind": kind,
        "old": value(&difference.old),
        "new": value(&difference.new),
        "at": at,
    })
}

fn against(
    context: &Context,
    shelves: &Shelves,
    site: &Sides,
    file: &Path,
) -> Result<Code, CommandError> {
    let name = file.display().to_string();
    let other = read_file(file)
        .map_err(|error| CommandError::invalid(format!("{name} cannot be read: {error}")))?;
    let other = Source::new(name, other);
    refuse_secrets(&other, shelves)?;
    if !is_playbook(&other) || shown(&other, 80).is_none() {
        return Err(unreadable(&other).hint("it is to be a whole playbook: another version of it"));
    }
    if site.is_copy || site.overlays.is_empty() {
        return Err(
            CommandError::invalid(format!("{} has no overlays", site.own.name)).hint(
                "what another version means is told of overlays; a copy is compared with `diff FILE`",
            ),
        );
    }
    let (older, newer) = if is_older(&other, &site.stock) {
        (&other, &site.stock)
    } else {
        (&site.stock, &other)
    };
    let findings = upgrade(older, newer, &site.overlays).ok_or_else(|| unreadable(&site.own))?;
    // What would be wrong with the overlays over the newer one.
    let layers: Vec<Source> = std::iter::once(newer.clone())
        .chain(site.overlays.iter().cloned())
        .collect();
    let mut wrong = Diagnostics::default();
    let catalog = crate::actions::catalog();
    crate::playbook::check(&Source::layered(&layers), &catalog, shelves, &mut wrong);
    let clean = findings.is_empty() && !wrong.has_errors();
    if context.global.json {
        let all: Vec<_> = findings.iter().map(finding_json).collect();
        let data = json!({
            "from": { "file": *older.name, "version": version(older) },
            "to": { "file": *newer.name, "version": version(newer) },
            "findings": all,
            "diagnostics": wrong.to_json(),
        });
        screen::data(&format!("{data}\n"));
    } else {
        if !wrong.0.is_empty() {
            let paint = Paint::of(context.global.color, &std::io::stderr());
            screen::note(&(diagnostics::render(&wrong, paint) + "\n"));
        }
        screen::data(&report(older, newer, &findings, clean, context.paint));
    }
    Ok(if clean { Code::Ok } else { Code::Failed })
}

/// By version; where both have none or the same, the file is the newer one.
fn is_older(one: &Source, other: &Source) -> bool {
    let numbers = |source: &Source| {
        let version = version(source)?;
        let parts: Vec<u64> = version
            .split('.')
            .filter_map(|part| part.parse().ok())
            .collect();
        Some(parts)
    };
    match (numbers(one), numbers(other)) {
        (Some(one), Some(other)) => one < other,
        _ => false,
    }
}

fn report(
    older: &Source,
    newer: &Source,
    findings: &[Finding],
    clean: bool,
    paint: Paint,
) -> String {
    let mut out = format!(
        "from {}{} to {}{}\n",
        older.name,
        versioned(older),
        newer.name,
        versioned(newer)
    );
    for finding in findings {
        let (at, what) = said(finding);
        let sign = match finding {
            Finding::Version { .. } | Finding::Gone(_) => paint.bad("!"),
            _ => paint.warn("~"),
        };
        for (part, words) in text::wrap(&what, 76).iter().enumerate() {
            let lead = if part == 0 {
                format!("{sign} ")
            } else {
                "    ".to_owned()
            };
            let _ = writeln!(out, "{lead}{words}");
        }
        let place = format!("{}:{}", text::one_line(&at.file), at.line);
        let _ = writeln!(out, "    {}", paint.faint(&place));
    }
    if clean {
        out.push_str("nothing that the overlays touch has changed\n");
    } else if findings.is_empty() {
        out.push_str("laid over the newer one, the overlays have errors\n");
    }
    out
}

fn said(finding: &Finding) -> (&Touched, String) {
    let value = |value: &Option<Spanned<Tree>>| {
        value
            .as_ref()
            .map_or_else(|| "nothing".to_owned(), |v| write_flow(&v.value))
    };
    match finding {
        Finding::Version {
            wanted,
            version,
            at,
        } => (
            at,
            format!("the overlay is for {wanted}, and there will be {version}"),
        ),
        Finding::Gone(at) => (at, format!("{} is gone", at.path.join("."))),
        Finding::Taken(at) => (
            at,
            format!(
                "{} is there by itself now, and the overlay adds one",
                at.path.join(".")
            ),
        ),
        Finding::Changed { at, difference } => {
            let own = at.says.as_deref().unwrap_or("nothing");
            let what = format!(
                "{}: {} → {}; the overlay says {own}",
                difference.shown_path(),
                value(&difference.old),
                value(&difference.new)
            );
            (at, what)
        }
        Finding::Edge { at, difference } => {
            let step = difference
                .path
                .iter()
                .rev()
                .nth(1)
                .cloned()
                .unwrap_or_default();
            let what = match (&difference.old, &difference.new) {
                (_, Some(new)) => format!("{step} needs {} now", text_of(new)),
                (Some(old), _) => format!("{step} does not need {} any more", text_of(old)),
                _ => String::new(),
            };
            (at, what)
        }
    }
}

fn text_of(value: &Spanned<Tree>) -> String {
    write_flow(&value.value)
}

fn finding_json(finding: &Finding) -> Value {
    let (at, what) = said(finding);
    let kind = match finding {
        Finding::Version { .. } => "version",
        Finding::Gone(_) => "gone",
        Finding::Taken(_) => "taken",
        Finding::Changed { .. } => "changed",
        Finding::Edge { .. } => "edge",
    };
    json!({
        "kind": kind,
        "path": at.path,
        "says": at.says,
        "at": { "file": at.file, "line": at.line },
        "text": what,
    })
}
