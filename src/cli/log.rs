//! The log, on standard error: for people, or a line of JSON each.

use super::args::Global;
use super::error::CommandError;
use super::paint::{ColorWish, Paint};
use super::screen;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing_subscriber::EnvFilter;

/// What `serve` says, which is not a matter of levels.
const SAID: &str = "said";

/// Whether programs read the log.
static JSON: AtomicBool = AtomicBool::new(false);

/// What the log looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// A line of JSON each, what `serve` says too
    Json,
}

/// With `audit` what is changed over the API is told, whatever else is.
pub(super) fn to_stderr(global: &Global, audit: bool) -> Result<(), CommandError> {
    let level = global.log_level.as_str();
    let json = global.log_format == LogFormat::Json;
    let mut wanted = level.to_owned();
    if audit && !level.contains("audit=") {
        wanted.push_str(",audit=info");
    }
    if json && !level.contains("said=") {
        wanted.push_str(",said=info");
    }
    // What was asked for is judged, not what it became.
    filter(level)?;
    let color = match global.color {
        ColorWish::Always => true,
        ColorWish::Never => false,
        ColorWish::Auto => {
            anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
        }
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter(&wanted)?)
        .with_writer(|| screen::Logs);
    if json {
        JSON.store(true, Ordering::Relaxed);
        log.json().with_ansi(false).init();
    } else {
        log.with_ansi(color).init();
    }
    Ok(())
}

/// Says it on standard error, as a line of the log where programs read that.
pub(super) fn say(text: &str) {
    if is_json() {
        tracing::info!(target: SAID, "{text}");
    } else {
        screen::note(&format!("{text}\n"));
    }
}

/// Says why the command failed, in the same way.
pub(super) fn failed(error: &CommandError, color: ColorWish) {
    let stderr = std::io::stderr();
    if is_json() {
        let text = error.render(Paint::of(ColorWish::Never, &stderr), None);
        tracing::error!(target: SAID, "{}", text.trim_end());
    } else {
        let columns = screen::size().map(|(columns, _)| columns);
        screen::note(&error.render(Paint::of(color, &stderr), columns));
    }
}

fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Levels and `target=level`, with commas between. A word alone must be a level: taken as a target, as the library would,
/// a mistyped one silently logs everything.
fn filter(text: &str) -> Result<EnvFilter, CommandError> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let wrong = || {
        CommandError::invalid(format!("`{text}` is not a log level")).hint(
            "error, warn, info, debug, trace, off, or a filter such as `pgbaton::engine=debug`",
        )
    };
    let words = text.split(',').map(str::trim);
    let alone = words.filter(|word| !word.contains('='));
    for word in alone {
        if !LEVELS.contains(&word.to_ascii_lowercase().as_str()) {
            return Err(wrong());
        }
    }
    EnvFilter::builder()
        .parse(text)
        .map_err(|error| wrong().because(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::exit_codes::Code;
    use super::*;

    #[test]
    fn a_mistyped_log_level_is_refused() {
        for good in ["warn", "Debug", "off", "info,pgbaton::engine=trace"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["", "nonsense", "warn,x", "pgbaton=loud"] {
            assert_eq!(filter(bad).unwrap_err().code(), Code::Invalid, "{bad}");
        }
    }
}
