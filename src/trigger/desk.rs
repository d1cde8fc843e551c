//! The desk of a live cluster: runs go to the engine, notices to the journal and to whoever reads the log.

use super::acknowledge::acknowledged;
use super::code::Code;
use super::foretold::{self, Foretold};
use super::gap::first_write;
use super::gate::{Known, Passage, passage};
use super::give_way::{give_way, is_return};
use super::hook::is_hooks;
use super::incident;
use super::pause::paused;
use super::sentry::{Desk, Ended, Notice, RETURN, TRIGGER};
use super::turns::{Turn, Turns};
use crate::cluster::{Mode, NodeName};
use crate::engine::{Envelope, Event, LeaseError, Outcome, Owed};
use crate::journal::{Filter, RunSummary, Standing, Which};
use crate::notify::{News, Notifier};
use crate::runs::{Order, Records, RunsError, World};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How many of the last runs are looked through for one that was started by itself.
const LAST: u32 = 20;

/// How long a turn is waited for that is being given back.
const MOMENT: Duration = Duration::from_secs(2);

/// How many plans are made at once, over all clusters: each simulates one on a thread of its own.
static PLANS: Semaphore = Semaphore::const_new(2);

/// The desk of one cluster.
pub struct LiveDesk {
    world: Arc<World>,
    turns: Turns,
    notifier: Notifier,
    /// For people.
    say: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Who asks whether something may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Watch,
    /// The watch, for an old primary that is there again.
    Return,
    Hook,
}

impl Asks {
    fn by(trigger: &str) -> Self {
        if trigger == RETURN {
            Self::Return
        } else {
            Self::Watch
        }
    }
}

impl LiveDesk {
    /// A desk that says what happens in sentences, too.
    pub fn new(
        world: Arc<World>,
        turns: Turns,
        notifier: Notifier,
        say: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        Self {
            world,
            turns,
            notifier,
            say: Arc::new(say),
        }
    }

    /// Whether a hook may start something now, and if not, why. While the turn is held nobody else here starts anything on the
    /// cluster by itself.
    pub async fn let_through(&self, mode: Mode) -> Result<Turn, Passage> {
        let inventory = self.world.inventory();
        let turn = match self.turns.take(&inventory.cluster) {
            Ok(turn) => turn,
            Err(Passage::Busy { .. }) => {
                let run = self.under_way().await;
                return Err(Passage::Busy { run });
            }
            Err(why) => return Err(why),
        };
        let known = self.known_by(Asks::Hook).await;
        match passage(mode, inventory.detector.cooldown, known) {
            Passage::Open => Ok(turn),
            why => Err(why),
        }
    }

    /// Keeps what came of a hook's request, and logs it.
    pub async fn report(&self, notice: Notice) {
        tracing::warn!(cluster = %notice.cluster, code = %notice.code, "{}", notice.text);
        self.keep(&notice).await;
    }

    /// The run that has the cluster, where that can be told.
    async fn under_way(&self) -> Option<String> {
        let runs = self.unended().await.ok()?;
        Some(runs.first()?.run.to_string())
    }

    /// Runs of the cluster that have not ended, newest first.
    async fn unended(&self) -> Result<Vec<RunSummary>, RunsError> {
        let filter = Filter {
            cluster: Some(self.world.inventory().cluster.clone()),
            which: Which::Unended,
            limit: None,
        };
        self.world.records().list(&filter).await
    }

    /// Has the return of a node end that is under way. Whether there was one.
    async fn make_way(&self) -> bool {
        let made = async {
            let runs = self.unended().await?;
            let Some(RunSummary { run, cluster, .. }) = runs.iter().find(|run| is_return(run))
            else {
                return Ok(false);
            };
            (self.say)(&format!(
                "{cluster}: run {run}, which brings a node back, is cancelled: the primary is lost"
            ));
            give_way(self.world.records(), run).await.map(|()| true)
        };
        made.await.unwrap_or_else(|error: RunsError| {
            tracing::warn!(%error, "whether a return gives way is not known");
            false
        })
    }

    /// The cluster's turn. Who has just had it end may take a moment to give it back.
    async fn turn(&self, given_back: bool) -> Result<Turn, Passage> {
        let begun = Instant::now();
        loop {
            match self.turns.take_placed(&self.world.inventory().cluster) {
                Err(Passage::Busy { .. }) if given_back && begun.elapsed() < MOMENT => {
                    sleep(MOMENT / 200).await;
                }
                other => return other,
            }
        }
    }

    async fn known_by(&self, asks: Asks) -> Known {
        let cluster = &self.world.inventory().cluster;
        let records = self.world.records();
        let (pause, last) = tokio::join!(
            paused(records, cluster, jiff::Timestamp::now()),
            last(records, cluster, asks)
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

    async fn keep(&self, notice: &Notice) {
        if let Err(error) = incident::keep(self.world.records(), notice).await {
            tracing::warn!(%error, "what happened could not be kept");
        }
    }
}

#[async_trait]
impl Desk for LiveDesk {
    async fn start(&self, order: Order) -> Result<Ended, String> {
        let inventory = self.world.inventory();
        let cluster = &inventory.cluster;
        let way = order.trigger == TRIGGER && self.make_way().await;
        let _turn = self.turn(way).await.map_err(|why| why.told())?;
        // A hook may have had its turn since the gate was asked.
        let asks = Asks::by(&order.trigger);
        let last = last(self.world.records(), cluster, asks).await;
        let known = Known {
            pause: Ok(None),
            last: last.map_err(|error| error.to_string())?,
        };
        match passage(Mode::Auto, inventory.detector.cooldown, known) {
            Passage::Open => {}
            why => return Err(why.told()),
        }
        let (observer, mut events) = mpsc::unbounded_channel::<Arc<Envelope>>();
        let playbook = order.playbook.clone();
        // Only once it has begun: what cannot be run is tried again and again, and told once.
        let begins = async {
            while let Some(envelope) = events.recv().await {
                if let Event::RunStarted { run, .. } = &envelope.event {
                    (self.say)(&format!("{cluster}: starting `{playbook}` (run {run})"));
                    break;
                }
            }
        };
        // Whoever serves stops by leaving runs as they are, to be resumed.
        let never = CancellationToken::new();
        let (ended, ()) = tokio::join!(self.world.run(order, vec![observer], never), begins);
        match ended {
            Ok(finished) => {
                // How long it took is nice to know, and no more than that.
                let events = self.world.records().read(&finished.run).await;
                Ok(Ended {
                    first_write: events.ok().and_then(|events| first_write(&events)),
                    run: finished.run,
                    outcome: finished.report.outcome,
                })
            }
            Err(RunsError::Lease(busy)) => {
                let LeaseError::Busy { holder, .. } = &busy else {
                    return Err(busy.to_string());
                };
                let ends = format!("`pgbaton runs cancel {holder} --reason …` ends it");
                Err(format!("{busy}; {ends}, where this must not wait"))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    async fn known(&self, trigger: &str) -> Known {
        self.known_by(Asks::by(trigger)).await
    }

    async fn replaced(&self) -> Vec<NodeName> {
        let inventory = self.world.inventory();
        let debts = match self.world.records().debts(&inventory.cluster).await {
            Ok(debts) => debts,
            Err(error) => {
                tracing::debug!(%error, "whom runs have replaced is not known");
                return Vec::new();
            }
        };
        let mut nodes: Vec<NodeName> = debts
            .iter()
            .filter_map(|entry| match &entry.owed {
                Owed::Stop { node } => Some(node),
                Owed::Slot { on, slot: None } => Some(on),
                Owed::Slot { .. } => None,
            })
            .filter_map(|name| inventory.nodes.keys().find(|node| node.as_str() == name))
            .cloned()
            .collect();
        nodes.sort();
        nodes.dedup();
        nodes
    }

    async fn tell(&self, notice: Notice) {
        if notice.code == Code::Ok {
            tracing::info!(cluster = %notice.cluster, "{}", notice.text);
        } else {
            tracing::warn!(cluster = %notice.cluster, code = %notice.code, "{}", notice.text);
        }
        (self.say)(&format!("{}: {}", notice.cluster, notice.text));
        if notice.code.is_loss() {
            self.keep(&notice).await;
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
async fn last(
    records: &Records,
    cluster: &str,
    asks: Asks,
) -> Result<Option<(String, Duration)>, RunsError> {
    let filter = Filter {
        cluster: Some(cluster.to_owned()),
        limit: Some(LAST),
        ..Filter::default()
    };
    let runs = records.list(&filter).await?;
    let Some(run) = runs.iter().find(|run| counts(run, asks)) else {
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

/// Whether something waits for its cooldown. A monitor outside that is wrong costs a look, not the next ten minutes: what
/// was refused because of it holds up other hooks, and not who looks for itself.
fn counts(run: &RunSummary, asks: Asks) -> bool {
    let Standing::Ended(outcome) = run.standing else {
        return false;
    };
    // What brings a node back neither waits for a failover nor keeps one waiting.
    if asks == Asks::Return {
        return run.trigger == RETURN;
    }
    let refused = outcome == Outcome::Refused && asks == Asks::Watch;
    run.trigger == TRIGGER || (is_hooks(&run.trigger) && !refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::RunId;

    #[test]
    fn a_monitor_that_is_wrong_makes_other_monitors_wait_and_not_the_watch() {
        use Outcome::{Cancelled, Degraded, Failed, Held, Ok, Refused};
        let counted = |trigger: &str, standing, asks| {
            let run = RunSummary {
                run: RunId("r".into()),
                cluster: "orders".to_owned(),
                playbook: "failover".to_owned(),
                version: None,
                trigger: trigger.to_owned(),
                key: None,
                started: String::new(),
                ended: None,
                last_seq: 0,
                standing,
            };
            counts(&run, asks)
        };
        for asks in [Asks::Watch, Asks::Hook] {
            for outcome in [Ok, Degraded, Failed, Refused, Held, Cancelled] {
                let ended = Standing::Ended(outcome);
                let excused = outcome == Refused && asks == Asks::Watch;
                assert!(counted("detector", ended, asks), "{outcome:?}");
                assert_eq!(counted("webhook:page", ended, asks), !excused);
                for person in ["cli", "api", "webhook"] {
                    assert!(!counted(person, ended, asks), "{person}");
                }
            }
            assert!(!counted("webhook:page", Standing::UnderWay, asks));
            assert!(!counted(RETURN, Standing::Ended(Ok), asks));
        }
        assert!(counted(RETURN, Standing::Ended(Failed), Asks::Return));
        assert!(!counted(TRIGGER, Standing::Ended(Ok), Asks::Return));
    }
}
