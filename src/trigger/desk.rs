//! The desk of a live cluster: runs go to the engine, notices to the journal and to whoever reads the log.

use super::acknowledge::acknowledged;
use super::code::Code;
use super::foretold::{self, Foretold};
use super::gap::first_write;
use super::gate::Known;
use super::incident;
use super::pause::paused;
use super::sentry::{Desk, Ended, Notice, TRIGGER};
use crate::journal::{Filter, RunSummary, Standing};
use crate::notify::{News, Notifier};
use crate::runs::{Order, Records, RunsError, World};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How many of the last runs are looked through for one that was started by itself.
const LAST: u32 = 20;

/// How many plans are made at once, over all clusters: each simulates one on a thread of its own.
static PLANS: Semaphore = Semaphore::const_new(2);

/// The desk of one cluster.
pub struct LiveDesk {
    world: Arc<World>,
    notifier: Notifier,
    /// For people.
    say: Arc<dyn Fn(&str) + Send + Sync>,
}

impl LiveDesk {
    /// A desk that says what happens in sentences, too.
    pub fn new(
        world: Arc<World>,
        notifier: Notifier,
        say: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        Self {
            world,
            notifier,
            say: Arc::new(say),
        }
    }
}

#[async_trait]
impl Desk for LiveDesk {
    async fn start(&self, order: Order) -> Result<Ended, String> {
        let cluster = &self.world.inventory().cluster;
        (self.say)(&format!("{cluster}: starting `{}`", order.playbook));
        // Whoever serves stops by leaving runs as they are, to be resumed.
        let never = CancellationToken::new();
        match self.world.run(order, Vec::new(), never).await {
            Ok(finished) => {
                // How long it took is nice to know, and no more than that.
                let events = self.world.records().read(&finished.run).await;
                Ok(Ended {
                    first_write: events.ok().and_then(|events| first_write(&events)),
                    run: finished.run,
                    outcome: finished.report.outcome,
                })
            }
            Err(error) => Err(error.to_string()),
        }
    }

    async fn known(&self) -> Known {
        let cluster = &self.world.inventory().cluster;
        let records = self.world.records();
        let (pause, last) = tokio::join!(
            paused(records, cluster, jiff::Timestamp::now()),
            last(records, cluster)
        );
        let (pause, last) = (
            pause.map_err(|e| e.to_string()),
            last.map_err(|e| e.to_string()),
        );
        match last {
            Ok(last) => Known { pause, last },
            // Who cannot tell what was started last cannot tell whether to wait for it.
            Err(why) => Known {
                pause: Err(why),
                last: None,
            },
        }
    }

    async fn tell(&self, notice: Notice) {
        if notice.code == Code::Ok {
            tracing::info!(cluster = %notice.cluster, "{}", notice.text);
        } else {
            tracing::warn!(cluster = %notice.cluster, code = %notice.code, "{}", notice.text);
        }
        (self.say)(&format!("{}: {}", notice.cluster, notice.text));
        if notice.code.is_loss()
            && let Err(error) = incident::keep(self.world.records(), &notice).await
        {
            tracing::warn!(%error, "what happened could not be kept");
        }
    }

    fn announce(&self, news: News) {
        self.notifier.tell(news);
    }

    fn foretell(&self, order: Order, notice: Notice, mut news: News) {
        let (world, notifier) = (Arc::clone(&self.world), self.notifier.clone());
        let say = Arc::clone(&self.say);
        // Beside the watch: it goes on looking, and a run that asks goes on asking.
        tokio::spawn(async move {
            let playbook = order.playbook.clone();
            let made = foretold::make(&world, &PLANS, order).await;
            let short = Foretold::of(&playbook, &made);
            say(&format!("{}: {}", notice.cluster, short.told()));
            news.text = format!("{}; {}", news.text, short.told());
            news.details["foretold"] = serde_json::json!(short);
            let records = world.records();
            if let (Ok(plan), Some(incident)) = (&made, &notice.incident)
                && let Err(error) = foretold::keep(records, incident, plan).await
            {
                tracing::warn!(%error, "the plan could not be kept");
            }
            let notice = Notice {
                text: short.told(),
                foretold: Some(short),
                ..notice
            };
            if let Err(error) = incident::keep(records, &notice).await {
                tracing::warn!(%error, "what would have been run could not be kept");
            }
            // Last: who is told can look at it.
            notifier.tell(news);
        });
    }
}

/// The last run that was started by itself, where nobody has acknowledged it.
async fn last(records: &Records, cluster: &str) -> Result<Option<(String, Duration)>, RunsError> {
    let filter = Filter {
        cluster: Some(cluster.to_owned()),
        limit: Some(LAST),
        ..Filter::default()
    };
    let runs = records.list(&filter).await?;
    let own =
        |run: &&RunSummary| run.trigger == TRIGGER && matches!(run.standing, Standing::Ended(_));
    let Some(run) = runs.iter().find(own) else {
        return Ok(None);
    };
    if acknowledged(records, cluster, &run.run).await {
        return Ok(None);
    }
    // One whose end cannot be told has ended just now.
    let ended = run.ended.as_ref().and_then(|ended| ended.parse().ok());
    let now = jiff::Timestamp::now();
    let ago = now.duration_since(ended.unwrap_or(now));
    Ok(Some((
        run.run.to_string(),
        ago.try_into().unwrap_or_default(),
    )))
}
