//! `pgbaton validate --show`: a playbook as the site runs it, with the place that each line came from.

use super::app::Context;
use super::error::CommandError;
use super::exit_codes::Code;
use super::{library, screen, text};
use crate::document::{Line, Source};
use crate::playbook::shown;
use crate::runs::Shelves;
use serde_json::json;
use std::fmt::Write as _;
use std::path::Path;

/// As wide as a terminal is that nobody has made wider.
const COLUMNS: usize = 80;
/// The longest name that stands behind a line; longer ones are numbered.
const LABEL: usize = 12;

pub(crate) fn show(context: &Context, wanted: &[String]) -> Result<Code, CommandError> {
    let shelves = library::shelves(&context.global);
    let names = if wanted.is_empty() {
        overlaid(&shelves)?
    } else {
        wanted.to_vec()
    };
    let mut shown = Vec::with_capacity(names.len());
    for name in &names {
        shown.push(Merged::of(name, &shelves)?);
    }
    if context.global.json {
        let all: Vec<_> = shown.iter().map(Merged::json).collect();
        screen::data(&format!("{}\n", json!({ "playbooks": all })));
        return Ok(Code::Ok);
    }
    let texts: Vec<String> = shown.iter().map(Merged::text).collect();
    screen::data(&texts.join("---\n"));
    Ok(Code::Ok)
}

/// All that the site's overlays change.
fn overlaid(shelves: &Shelves) -> Result<Vec<String>, CommandError> {
    let names = shelves
        .overlaid()
        .map_err(|unreadable| CommandError::invalid(unreadable.to_string()))?;
    if names.is_empty() {
        return Err(CommandError::invalid("this site has no overlays")
            .hint("name the playbook that is to be shown: `pgbaton validate --show failover`"));
    }
    Ok(names)
}

/// A playbook without errors, in lines.
struct Merged {
    name: String,
    source: Source,
    lines: Vec<Line>,
    /// The files, each with the name that stands behind its lines.
    files: Vec<(String, String)>,
}

impl Merged {
    fn of(wanted: &str, shelves: &Shelves) -> Result<Self, CommandError> {
        let source = library::open(shelves, wanted)?;
        let checked = library::check(&source, shelves)?;
        let files = labels(&source);
        let longest = files.iter().map(|(label, _)| text::width(label)).max();
        // Two spaces, the sign, a space, the name, a colon and a number.
        let room = COLUMNS.saturating_sub(longest.unwrap_or(0) + 9).max(40);
        Ok(Self {
            name: checked.playbook.name.value.clone(),
            lines: shown(&source, room).unwrap_or_default(),
            source,
            files,
        })
    }

    /// The file and line that a line of the whole came from.
    fn origin(&self, line: &Line) -> (&str, &str, usize) {
        let file = self.source.name_at(line.span.start);
        let (number, _) = self.source.line_column(line.span.start);
        let known = self.files.iter().find(|(_, name)| **name == **file);
        let (label, name) = known.map_or(("", ""), |(label, name)| (label, name));
        (label, name, number)
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "# {} as it is run here; behind each line, where it came from:",
            self.name
        );
        let widest = self.files.iter().map(|(label, _)| text::width(label)).max();
        let widest = widest.unwrap_or(0);
        for (label, file) in &self.files {
            let _ = writeln!(out, "#   {}  {file}", text::pad(label, widest));
        }
        let room = COLUMNS.saturating_sub(widest + 9).max(40);
        let fitting = self
            .lines
            .iter()
            .filter(|line| !line.is_inside_text)
            .map(|line| text::width(&line.text))
            .filter(|width| *width <= room);
        let column = fitting.max().unwrap_or(0);
        for line in &self.lines {
            if line.is_inside_text {
                let _ = writeln!(out, "{}", line.text);
                continue;
            }
            let (label, _, number) = self.origin(line);
            let gap = column.saturating_sub(text::width(&line.text)) + 2;
            let _ = writeln!(out, "{}{}# {label}:{number}", line.text, " ".repeat(gap));
        }
        out
    }

    fn json(&self) -> serde_json::Value {
        let lines: Vec<_> = self
            .lines
            .iter()
            .map(|line| {
                let (_, file, number) = self.origin(line);
                json!({ "text": line.text, "file": file, "line": number })
            })
            .collect();
        let files: Vec<_> = self.files.iter().map(|(_, file)| file).collect();
        json!({ "playbook": self.name, "files": files, "lines": lines })
    }
}

/// A short name for each file: `stock`, or the file's own without its ending.
fn labels(source: &Source) -> Vec<(String, String)> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for (index, layer) in source.layers().iter().enumerate() {
        let stem = if layer.name.starts_with("<stock>/") {
            Some("stock".to_owned())
        } else {
            let stem = Path::new(&*layer.name).file_stem();
            stem.map(|stem| stem.to_string_lossy().into_owned())
        };
        let is_good = |stem: &String| {
            text::width(stem) <= LABEL && !labels.iter().any(|(known, _)| known == stem)
        };
        let label = stem.filter(is_good).unwrap_or_else(|| match index {
            0 => "playbook".to_owned(),
            _ => format!("overlay{index}"),
        });
        labels.push((label, layer.name.to_string()));
    }
    labels
}
