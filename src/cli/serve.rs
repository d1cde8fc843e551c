//! `pgbaton serve`: watches the clusters, serves the HTTP API, and goes on with every run whose runner died.

mod journal;
mod posts;
mod succession;

use super::api;
use super::app::Context;
use super::error::CommandError;
use super::exit_codes::Code;
use super::log::say;
use super::run::listen;
use super::signals::Hangup;
use crate::notify::Notifier;
use crate::runs::Records;
use crate::trigger::{RunNews, Turns, Watches};
use journal::Journal;
use posts::Posts;
use rustix::process::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use succession::Succession;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

/// How often is looked for runs that nobody runs any more, and a service manager told that all is well.
const LOOK: Duration = Duration::from_secs(1);

/// How long a stop waits for notifications that are under way.
const LAST_WORDS: Duration = Duration::from_secs(3);

pub(crate) async fn serve(context: &Context) -> Result<Code, CommandError> {
    // The loss of its terminal ends it. Who has none is told by the same signal to read its site file again.
    let terminal = std::io::stdin().is_terminal();
    let interrupts = listen(if terminal {
        Hangup::Cancels
    } else {
        Hangup::Ignored
    })?;
    let hangup = signal(SignalKind::hangup());
    let mut hangup = hangup.map_err(|e| CommandError::failed("signals cannot be caught", &e))?;
    raise_descriptors();
    let records = Arc::new(Records::open(context.global.site.as_deref())?);
    let mut succession = Succession::of(context);
    let watches = Watches::default();
    let notifier = Notifier::default();
    let turns = Turns::default();
    let mut posts = Posts::new(watches.clone(), turns.clone(), notifier.clone());
    let api = api::start(context, watches, notifier.clone(), turns).await?;
    say(&format!("serving the runs of {}", records.place()));
    posts.read(context)?;
    let cluster = context.global.cluster.clone();
    let run_news = RunNews::new(Arc::clone(&records), cluster, notifier.clone());
    let _telling = AbortOnDropHandle::new(tokio::spawn(run_news.keep_telling()));
    let mut journal = Journal::default();
    tell(&[NotifyState::Ready]);
    loop {
        let usable = records.usable().await;
        if let Some(text) = journal.told(&usable, Instant::now()) {
            say(&text);
            // What `systemctl status` shows.
            let status = if usable.is_ok() { "" } else { text.as_str() };
            tell(&[NotifyState::Status(status)]);
        }
        if usable.is_ok() {
            succession.look(&records).await;
        }
        tell(&[NotifyState::Watchdog]);
        tokio::select! {
            biased;
            // Runs are left as they are, to be resumed: a stop must not wait for a failover, nor break one off.
            () = interrupts.cancel.cancelled() => {
                tell(&[NotifyState::Stopping]);
                let stop_api = async {
                    match api {
                        Some(api) => api.stop().await,
                        None => 0,
                    }
                };
                let (started, unsaid) = tokio::join!(stop_api, notifier.close(LAST_WORDS));
                if unsaid > 0 {
                    say(&format!("{unsaid} notifications were not delivered"));
                }
                succession.leave(started + posts.under_way());
                return Ok(Code::Ok);
            }
            Some(()) = hangup.recv(), if !terminal => {
                if let Ok(reloading) = NotifyState::monotonic_usec_now() {
                    tell(&[NotifyState::Reloading, reloading]);
                }
                match posts.read(context) {
                    Ok(()) => say("the site file was read again"),
                    Err(error) => say(&format!("the site file cannot be used, and all stays as it was: {error}")),
                }
                tell(&[NotifyState::Ready]);
            }
            () = succession.goes_on() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// A session to every node of every cluster is open at once, and more while it looks closely: as many descriptors as may be.
fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of descriptors stays as it is");
    }
}

/// Tells systemd, where it has asked to be told.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
