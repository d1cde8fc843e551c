//! A program on this machine: what happened on its standard input, and in its environment.

use super::News;
use crate::transport::{Command, Local, Transport as _};
use std::collections::BTreeMap;
use std::time::Duration;

/// So much of what it says is shown where it fails.
const SAID: usize = 400;

/// Runs it. Only an exit with 0 says that it has taken it.
pub(super) async fn send(argv: &[String], news: &News, limit: Duration) -> Result<(), String> {
    let mut command = Command::new(argv.iter().cloned(), limit);
    command.stdin = (news.to_json() + "\n").into_bytes();
    command.env = environment(news);
    command.keep = SAID;
    let ended = Local::runner().run(command).await;
    let ended = ended.map_err(|error| error.to_string())?;
    if ended.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let said = said.trim();
    let colon = if said.is_empty() { "" } else { ": " };
    Err(format!("it exited with {}{colon}{said}", ended.status))
}

fn environment(news: &News) -> BTreeMap<String, String> {
    let or_nothing = |text: &Option<String>| text.clone().unwrap_or_default();
    let pairs = [
        ("PGBATON_ID", news.id.clone()),
        ("PGBATON_AT", news.at.clone()),
        ("PGBATON_EVENT", news.event.as_str().to_owned()),
        ("PGBATON_CLUSTER", news.cluster.clone()),
        ("PGBATON_TEXT", news.text.clone()),
        ("PGBATON_INCIDENT", or_nothing(&news.incident)),
        ("PGBATON_RUN", or_nothing(&news.run)),
    ];
    let pairs = pairs.into_iter();
    // No environment can hold a zero byte, and a text may come from a server.
    pairs
        .map(|(name, value)| (name.to_owned(), value.replace('\0', " ")))
        .collect()
}
