//! `pgbaton import`: a site file from what another manager knows.

use super::app::Context;
use super::args::{ImportCommand, ImportRepmgrArgs};
use super::error::{CommandError, Kind};
use super::exit_codes::Code;
use super::keep::keep;
use super::signals::Hangup;
use super::{run, screen, text};
use crate::import::{Draft, ImportError, draft, gather};
use serde_json::json;
use std::fmt::Write as _;
use std::path::Path;

/// The name of a cluster for which none was given; repmgr has none.
const NAME: &str = "main";

pub(crate) async fn import(
    context: &Context,
    command: ImportCommand,
) -> Result<Code, CommandError> {
    match command {
        ImportCommand::Repmgr(args) => repmgr(context, args).await,
    }
}

async fn repmgr(context: &Context, args: ImportRepmgrArgs) -> Result<Code, CommandError> {
    let interrupts = run::listen(Hangup::Cancels)?;
    let found = tokio::select! {
        biased;
        () = interrupts.cancel.cancelled() => {
            return Err(CommandError::new(Kind::Interrupted, "interrupted; nothing was written"));
        }
        found = gather(args.conninfo.as_deref(), args.conf.as_deref()) => found,
    };
    let name = context.global.cluster.as_deref().unwrap_or(NAME);
    let draft = found
        .and_then(|found| draft(&found, name))
        .map_err(trouble)?;
    let file = args.out.filter(|file| file.as_os_str() != "-");
    if let Some(file) = &file {
        keep("the site file", &draft.text, file, args.force)?;
    }
    show(context, &draft, file.as_deref());
    Ok(if draft.open.is_empty() {
        Code::Ok
    } else {
        Code::Degraded
    })
}

fn show(context: &Context, draft: &Draft, file: Option<&Path>) {
    if context.global.json {
        let said = json!({
            "file": file.map(|file| file.to_string_lossy()),
            "site": file.is_none().then_some(&draft.text),
            "nodes": draft.nodes,
            "left_out": draft.left_out,
            "open": draft.open,
        });
        screen::data(&format!("{said}\n"));
        return;
    }
    let mut said = String::new();
    match file {
        Some(file) => {
            let _ = writeln!(said, "written to {}", file.display());
        }
        None => screen::data(&draft.text),
    }
    for line in draft.left_out.iter().chain(&draft.open) {
        let _ = writeln!(said, "note: {}", text::one_line(line));
    }
    screen::note(&said);
}

fn trouble(error: ImportError) -> CommandError {
    let hints = error.help();
    let told = match &error {
        ImportError::NoConninfo(_) | ImportError::Conninfo(_) => {
            CommandError::invalid(error.to_string())
        }
        ImportError::Read { source, .. } => {
            CommandError::invalid(error.to_string()).caused_by(source)
        }
        _ => CommandError::new(Kind::Failed, error.to_string()),
    };
    let mut told = hints.into_iter().fold(told, CommandError::hint);
    if let ImportError::Unusable(diagnostics) = error {
        told.diagnostics = diagnostics;
    }
    told
}
