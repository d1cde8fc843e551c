//! The HTTP API, where the site file has one; `serve` starts it and stops it.

use super::app::Context;
use super::error::{CommandError, Kind};
use super::log::say;
use super::report;
use crate::engine::Envelope;
use crate::notify::Notifier;
use crate::runs::{RunsError, World, site_file};
use crate::server::{Outside, Server, ServerError};
use crate::site::Site;
use crate::trigger::{Turns, Watches, hooks};

/// Begins to serve it; nothing where the site file has no `api`.
pub(crate) async fn start(
    context: &Context,
    watches: Watches,
    notifier: Notifier,
    turns: Turns,
) -> Result<Option<Server>, CommandError> {
    let file = site_file(context.global.site.as_deref())?;
    let site = Site::load(&file).map_err(RunsError::from)?;
    let Some(options) = &site.api else {
        return Ok(None);
    };
    let clusters = World::all(&site, &file, context.global.cluster.as_deref())?;
    let outside = Outside {
        watches,
        hooks: hooks(&site, &file)?,
        turns,
        notifier,
    };
    let server = Server::start(options, clusters, outside, show).await?;
    say(&format!("the API listens on {}", server.url()));
    Ok(Some(server))
}

/// As `runs show --json` prints it.
fn show(events: &[Envelope], journal: &str) -> serde_json::Value {
    report::document(&report::Record::of(events), journal)
}

impl From<ServerError> for CommandError {
    fn from(error: ServerError) -> Self {
        match &error {
            ServerError::File(_) => Self::new(Kind::Invalid, error.to_string())
                .hint("`api` in the site file names it; docs/api.md says what it has to be"),
            ServerError::Listen { source, .. } => Self::failed(error.to_string(), source)
                .hint("another process may have the port: give another one with `api.listen`"),
        }
    }
}
