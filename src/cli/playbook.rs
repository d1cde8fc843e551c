//! `pgbaton playbook`: what can be run by name, and what it says.

use super::app::Context;
use super::args::PlaybookCommand;
use super::error::CommandError;
use super::exit_codes::Code;
use super::{diff, library, screen, text};
use crate::document::{Diagnostics, Source};
use crate::playbook::{Library, Param, Playbook, shown};
use serde_json::json;
use std::fmt::Write as _;

pub(crate) fn playbook(context: &Context, command: &PlaybookCommand) -> Result<Code, CommandError> {
    match command {
        PlaybookCommand::List => list(context),
        PlaybookCommand::Show(args) => show(context, &args.playbook),
        PlaybookCommand::Diff(args) => diff::diff(context, args),
    }
}

fn list(context: &Context) -> Result<Code, CommandError> {
    let shelves = library::shelves(&context.global);
    let mut found = Vec::new();
    for name in shelves.names() {
        let source = library::open(&shelves, &name)?;
        // One with errors is listed all the same: `validate` says what is wrong with it.
        let loaded = crate::playbook::load(&source, &mut Diagnostics::default());
        found.push((name, source, loaded));
    }
    if context.global.json {
        let all: Vec<_> = found
            .iter()
            .map(|(name, source, loaded)| {
                json!({
                    "name": name,
                    "source": *source.name,
                    "version": loaded.as_ref().and_then(version),
                    "summary": loaded.as_ref().and_then(|p| p.summary.clone()),
                })
            })
            .collect();
        screen::data(&format!("{}\n", json!(all)));
        return Ok(Code::Ok);
    }
    let widest = found.iter().map(|f| text::width(&f.0)).max().unwrap_or(0);
    let columns = screen::size().map_or(100, |(columns, _)| columns);
    let mut out = String::new();
    for (name, source, loaded) in &found {
        let summary = loaded
            .as_ref()
            .and_then(|p| p.summary.clone())
            .unwrap_or_else(|| "(has errors, see `pgbaton validate`)".to_owned());
        let head = format!("{}  ", context.paint.strong(&text::pad(name, widest)));
        let room = columns.saturating_sub(widest + 2).max(20);
        for (index, line) in text::wrap(&text::one_line(&summary), room)
            .iter()
            .enumerate()
        {
            let lead = if index == 0 {
                head.clone()
            } else {
                " ".repeat(widest + 2)
            };
            let _ = writeln!(out, "{lead}{line}");
        }
        let place = context.paint.faint(&source.name).into_owned();
        let _ = writeln!(out, "{}{place}", " ".repeat(widest + 2));
    }
    screen::data(&out);
    Ok(Code::Ok)
}

fn show(context: &Context, wanted: &str) -> Result<Code, CommandError> {
    let shelves = library::shelves(&context.global);
    let source = library::open(&shelves, wanted)?;
    let loaded = crate::playbook::load(&source, &mut Diagnostics::default());
    if context.global.json {
        screen::data(&format!("{}\n", as_json(&source, loaded.as_ref())));
        return Ok(Code::Ok);
    }
    // The text is what there is to show; what people need beside it goes to standard error, so that
    // `playbook show failover > failover.yaml` makes a copy.
    screen::data(&whole(&source));
    if let Some(playbook) = &loaded {
        screen::note(&parameters(playbook));
    }
    Ok(Code::Ok)
}

fn as_json(source: &Source, loaded: Option<&Playbook>) -> serde_json::Value {
    let params: Vec<_> = loaded
        .iter()
        .flat_map(|p| &p.params)
        .map(|param| {
            json!({
                "name": param.name.value,
                "type": param.ty.as_str(),
                "required": param.required,
                "allowed": allowed(param),
                "help": param.help,
                "sealed": param.sealed,
            })
        })
        .collect();
    json!({
        "name": loaded.map(|p| p.name.value.clone()),
        "source": *source.name,
        "version": loaded.and_then(version),
        "summary": loaded.and_then(|p| p.summary.clone()),
        "params": params,
        "text": whole(source),
    })
}

/// The text of the playbook; with its overlays in it where it has some.
fn whole(source: &Source) -> String {
    let Some(lines) = source.is_layered().then(|| shown(source, 110)).flatten() else {
        return source.text.to_string();
    };
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.text);
        text.push('\n');
    }
    text
}

fn parameters(playbook: &Playbook) -> String {
    let mut out = String::new();
    if playbook.params.is_empty() {
        return out;
    }
    let _ = writeln!(out, "\nParameters (-p NAME=VALUE):");
    for param in &playbook.params {
        let need = if param.required { ", required" } else { "" };
        let _ = write!(out, "  {} ({}{need})", param.name.value, param.ty.as_str());
        if let Some(help) = &param.help {
            let _ = write!(out, ": {}", text::one_line(help));
        }
        let allowed = allowed(param);
        if !allowed.is_empty() {
            let _ = write!(out, " [{}]", allowed.join(" | "));
        }
        out.push('\n');
    }
    out
}

fn allowed(param: &Param) -> Vec<String> {
    param
        .allowed
        .iter()
        .flatten()
        .map(|value| match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.to_json().to_string(),
        })
        .collect()
}

fn version(playbook: &Playbook) -> Option<String> {
    playbook.version.as_ref().map(|v| v.value.clone())
}
