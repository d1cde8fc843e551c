//! Serving one target: one piece of news after the other, each tried a few times.

use super::office::Counts;
use super::{News, command, email, webhook};
use crate::site::{Means, Target};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};

/// How long is waited after the first try that failed; four times as long after the next.
const PAUSE: Duration = Duration::from_secs(1);

/// Nobody is waited for longer than this between two tries.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Every means keeps its limit itself; so much later it is given up whatever it does.
const BEYOND: Duration = Duration::from_secs(2);

/// Serves the target until nobody can tell it anything any more.
pub(super) async fn work(target: Target, mut queue: Receiver<Arc<News>>, counts: Arc<Counts>) {
    while let Some(news) = queue.recv().await {
        let arrived = deliver(&target, &news).await;
        let count = if arrived {
            &counts.delivered
        } else {
            &counts.failed
        };
        count.fetch_add(1, Relaxed);
        counts.waiting.fetch_sub(1, Relaxed);
    }
}

async fn deliver(target: &Target, news: &News) -> bool {
    let mut pause = PAUSE;
    for attempt in 1..=target.tries {
        let sent = timeout(target.timeout + BEYOND, send(target, news)).await;
        let why = match sent {
            Ok(Ok(())) => return true,
            Ok(Err(why)) => why,
            Err(_) => "it does not come to an end".to_owned(),
        };
        let (name, event) = (target.name.as_str(), news.event.as_str());
        if attempt == target.tries {
            tracing::warn!(target_name = name, event, id = %news.id, tries = attempt, "a notification was dropped: {why}");
            break;
        }
        tracing::info!(target_name = name, event, id = %news.id, "a notification is tried again: {why}");
        sleep(pause).await;
        pause = (pause * 4).min(LONGEST_PAUSE);
    }
    false
}

async fn send(target: &Target, news: &News) -> Result<(), String> {
    match &target.means {
        Means::Webhook(webhook) => webhook::send(webhook, news, target.timeout).await,
        Means::Email(email) => email::send(email, news, target.timeout).await,
        Means::Command(argv) => command::send(argv, news, target.timeout).await,
    }
}
