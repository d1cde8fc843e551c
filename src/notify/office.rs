//! Where news is handed in, and a queue for each target.

use super::News;
use super::work::work;
use crate::site::Target;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

/// How much may wait for one target. What comes then is dropped: whoever hangs for so long is told of the last things by
/// others.
const QUEUE: usize = 64;

/// How long is waited for what was broken off.
const AFTER: Duration = Duration::from_secs(1);

/// The targets of a site file. Copies are the same.
#[derive(Clone, Default)]
pub struct Notifier(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// Their threads; none while there is no target.
    runtime: Option<Runtime>,
    lines: BTreeMap<String, Line>,
    /// Those of targets that are gone, too: numbers that are scraped do not go back.
    counts: BTreeMap<String, Arc<Counts>>,
}

struct Line {
    target: Target,
    queue: mpsc::Sender<Arc<News>>,
    counts: Arc<Counts>,
    work: JoinHandle<()>,
}

/// What became of the news for one target.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) delivered: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) no_room: AtomicU64,
    pub(super) waiting: AtomicU64,
}

/// The same in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The target.
    pub target: String,
    /// What has arrived.
    pub delivered: u64,
    /// What was dropped after the last try.
    pub failed: u64,
    /// What was dropped because too much waited already.
    pub no_room: u64,
    /// What waits, or is being delivered.
    pub waiting: u64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // It may be within another runtime, where nothing may wait for threads to end.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Notifier {
    /// From now on these are told. One that was there before goes on with what waits for it; what waits for one that is gone or
    /// has changed is delivered yet.
    pub fn set(&self, targets: &[Target]) -> io::Result<()> {
        let mut inner = self.inner();
        if targets.is_empty() {
            inner.lines.clear();
            return Ok(());
        }
        let known = inner
            .runtime
            .as_ref()
            .map(|runtime| runtime.handle().clone());
        let runtime = if let Some(known) = known {
            known
        } else {
            let runtime = threads()?;
            inner.runtime.insert(runtime).handle().clone()
        };
        inner.lines.retain(|_, line| targets.contains(&line.target));
        for target in targets {
            if inner.lines.contains_key(&target.name) {
                continue;
            }
            let (queue, waiting) = mpsc::channel(QUEUE);
            let counts = inner.counts.entry(target.name.clone()).or_default();
            let counts = Arc::clone(counts);
            let work = runtime.spawn(work(target.clone(), waiting, Arc::clone(&counts)));
            let line = Line {
                target: target.clone(),
                queue,
                counts,
                work,
            };
            inner.lines.insert(target.name.clone(), line);
        }
        Ok(())
    }

    /// Hands it in for everybody who wants it. Waits for nothing and nobody: where too much waits already it is dropped.
    pub fn tell(&self, news: News) {
        let inner = self.inner();
        let news = Arc::new(news);
        for line in inner.lines.values() {
            if !line.target.wants(news.event, &news.cluster) {
                continue;
            }
            // Counted before it is handed in: who takes it may be quicker than we are.
            line.counts.waiting.fetch_add(1, Relaxed);
            let Err(error) = line.queue.try_send(Arc::clone(&news)) else {
                continue;
            };
            line.counts.waiting.fetch_sub(1, Relaxed);
            line.counts.no_room.fetch_add(1, Relaxed);
            let why = match error {
                TrySendError::Full(_) => "too much waits for it already",
                TrySendError::Closed(_) => "nobody serves it any more",
            };
            let (name, event) = (line.target.name.as_str(), news.event.as_str());
            tracing::warn!(target_name = name, event, id = %news.id, "a notification was dropped: {why}");
        }
    }

    /// There is nobody to tell.
    pub fn is_idle(&self) -> bool {
        self.inner().lines.is_empty()
    }

    /// What became of the news so far, by target.
    pub fn told(&self) -> Vec<Told> {
        let inner = self.inner();
        let of = |(name, counts): (&String, &Arc<Counts>)| Told {
            target: name.clone(),
            delivered: counts.delivered.load(Relaxed),
            failed: counts.failed.load(Relaxed),
            no_room: counts.no_room.load(Relaxed),
            waiting: counts.waiting.load(Relaxed),
        };
        inner.counts.iter().map(of).collect()
    }

    /// Takes nothing more, and lets what waits be delivered for so long. How much was dropped then.
    pub async fn close(&self, patience: Duration) -> u64 {
        let lines = std::mem::take(&mut self.inner().lines);
        let end = Instant::now() + patience;
        let mut left = 0;
        for Line {
            queue,
            counts,
            mut work,
            target,
        } in lines.into_values()
        {
            drop(queue);
            if timeout_at(end, &mut work).await.is_ok() {
                continue;
            }
            work.abort();
            // Until it has let go of what it was at: a program that hangs ends with it.
            let _ = timeout(AFTER, work).await;
            let waits = counts.waiting.load(Relaxed);
            left += waits;
            tracing::warn!(target_name = %target.name, waits, "notifications were dropped: pgbaton was stopped");
        }
        left
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing else runs there: neither a name that is looked up for ever nor a certificate that takes its time to read is in
/// anybody's way.
fn threads() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("notify")
        .enable_all()
        .build()
}
