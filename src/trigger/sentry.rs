//! The watch over one cluster: looks, suspects, looks closely, and starts what the site file says, through the gate.

use super::analysis::{Analysis, analyse};
use super::code::Code;
use super::gate::{Known, Passage, passage};
use super::judge::{Judge, Verdict};
use super::look;
use super::readiness::{Obstacle, obstacles};
use crate::cluster::{Detector, Mode, NodeName, Watch};
use crate::document::format_duration;
use crate::engine::{Outcome, RunId};
use crate::runs::Order;
use async_trait::async_trait;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a session that could not be opened is not tried again.
const REOPEN: Duration = Duration::from_secs(1);
/// How often a loss that is only told is looked at again.
const STANDING: Duration = Duration::from_secs(10);

/// What is remembered of a primary may be so much older than its loss.
const FRESH: Duration = Duration::from_secs(10);

/// What a dead primary is replaced by, and the same with a question before it.
pub(super) const FAILOVER: &str = "failover";
const APPROVED: &str = "approved_failover";

/// What started the runs of a watch, as their records say.
pub const TRIGGER: &str = "detector";

/// What a watch needs from whoever keeps runs.
#[async_trait]
pub trait Desk: Send + Sync {
    /// Runs it to its end: its id, and how it ended. An error says why it did not begin.
    async fn start(&self, order: Order) -> Result<(RunId, Outcome), String>;

    /// What stands against starting something.
    async fn known(&self) -> Known;

    /// Keeps what happened, and tells whoever is to know.
    async fn tell(&self, notice: Notice);
}

/// Something that a person is to know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Notice {
    /// The cluster.
    pub cluster: String,
    /// What.
    pub code: Code,
    /// In a sentence.
    pub text: String,
    /// What would have been run, where nothing was.
    pub held_back: Option<HeldBack>,
    /// What it rests on.
    pub analysis: Option<Analysis>,
}

/// A run that was not started.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeldBack {
    /// Why.
    pub passage: Passage,
    /// The playbook.
    pub playbook: String,
    /// Its parameters.
    pub params: Vec<(String, String)>,
}

/// How a watch stands, for whoever asks.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct State {
    /// What the last look came to.
    pub analysis: Option<Analysis>,
    /// What a failover would meet now; none where nobody can tell, the primary being gone.
    pub obstacles: Option<Vec<Obstacle>>,
    /// When that began to be so.
    pub since: Option<String>,
    /// Looks so far.
    pub looks: u64,
    /// The run that is under way.
    pub running: bool,
    /// The last thing that was held back, and why.
    pub held_back: Option<HeldBack>,
}

/// The watch over one cluster.
pub struct Sentry {
    cluster: Arc<dyn Watch>,
    desk: Arc<dyn Desk>,
    /// How many runs may be started by themselves at once, over all clusters.
    limit: Arc<Semaphore>,
    detector: Detector,
    judge: Judge,
    /// The node that was the primary when it was last seen to be one, by this process.
    primary: Option<NodeName>,
    /// What was told last of a loss: it is told once.
    told: Option<(Code, Option<NodeName>, String)>,
    /// Since when every look has found the primary lost.
    lost: Option<Instant>,
    /// What the last suspicion came to, where that was no loss.
    faint: Option<Code>,
    state: watch::Sender<State>,
}

impl Sentry {
    /// A watch that has seen no primary yet: of one that is dead already it only tells. It follows the `detector` of the cluster's inventory.
    pub fn new(cluster: Arc<dyn Watch>, desk: Arc<dyn Desk>, limit: Arc<Semaphore>) -> Self {
        Self {
            detector: cluster.inventory().detector.clone(),
            cluster,
            desk,
            limit,
            judge: Judge::new(),
            primary: None,
            told: None,
            lost: None,
            faint: None,
            state: watch::Sender::new(State::default()),
        }
    }

    /// The same, which goes on where another one has seen this primary.
    #[must_use]
    pub fn knowing(mut self, primary: Option<NodeName>) -> Self {
        self.primary = primary;
        self
    }

    /// How it stands, now and whenever that changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Watches until it is dropped. A run that it has started is left as it is then, to be resumed.
    pub async fn watch(mut self) {
        let (told, mut ended) = mpsc::unbounded_channel();
        let mut vigils = JoinSet::new();
        for node in self.cluster.inventory().nodes.keys() {
            vigils.spawn(vigil(Arc::clone(&self.cluster), node.clone(), told.clone()));
        }
        let mut next = Instant::now();
        let mut thorough = next;
        loop {
            tokio::select! {
                biased;
                Some(node) = ended.recv() => {
                    if self.primary.as_ref() != Some(&node) {
                        continue;
                    }
                    self.suspect(Instant::now()).await;
                    thorough = Instant::now();
                    // What came of it changes what was heard meanwhile.
                    while ended.try_recv().is_ok() {}
                }
                () = sleep_until(next) => {
                    let begun = Instant::now();
                    let full = begun >= thorough;
                    if full {
                        thorough = begun + self.detector.connect_every;
                    }
                    if self.look(full).await {
                        self.suspect(begun).await;
                        // What a light look sees is not all that there is.
                        thorough = Instant::now();
                    }
                }
            }
            // Who is told of a loss, and has to see to it, is told by the next look in good time.
            let stands = self.told.as_ref().is_some_and(|(code, ..)| code.is_loss());
            let pause = if stands {
                STANDING.max(self.detector.every)
            } else {
                self.detector.every
            };
            next = Instant::now() + pause;
        }
    }

    /// A look while all is well, as far as is known. True: there is reason for a suspicion.
    async fn look(&mut self, full: bool) -> bool {
        let (cluster, primary) = (self.cluster.as_ref(), self.primary.as_ref());
        let patience = self.detector.patience;
        let seen = if full {
            look::thoroughly(cluster, primary, patience).await
        } else {
            look::lightly(cluster, primary, patience).await
        };
        let mut running = seen
            .nodes
            .iter()
            .filter(|(_, witness)| witness.is_primary());
        let (first, second) = (running.next(), running.next());
        let (is_new, suspects) = match (first, second, primary) {
            (Some((node, _)), None, known) => (known != Some(node), false),
            (None, _, Some(_)) => (false, true),
            _ => (false, false),
        };
        if suspects {
            return true;
        }
        self.lost = None;
        if is_new {
            self.primary = first.map(|(node, _)| node.clone());
        }
        // A light look does not see all that may be wrong.
        if !full && !is_new {
            return false;
        }
        let found = analyse(&seen, &self.detector);
        self.publish(found.clone());
        if full {
            let obstacles = obstacles(self.cluster.inventory(), &seen);
            self.state.send_modify(|state| state.obstacles = obstacles);
        }
        if found.code != Code::Ok {
            self.tell_loss(&found, found.text.clone(), None).await;
            return false;
        }
        let was_told = self.told.take().is_some();
        self.faint = None;
        if is_new || was_told {
            self.tell(&found, found.text.clone(), None).await;
        }
        false
    }

    /// Looks closely, again and again, until it is clear what to make of it.
    async fn suspect(&mut self, suspicion: Instant) {
        let Some(primary) = self.primary.clone() else {
            return;
        };
        self.judge.begin(suspicion);
        loop {
            let begun = Instant::now();
            let patience = self.detector.patience;
            let seen = look::closely(self.cluster.as_ref(), &primary, patience, suspicion).await;
            let found = analyse(&seen, &self.detector);
            tracing::info!(
                cluster = %self.cluster.inventory().cluster, code = %found.code, "{}", found.text
            );
            self.publish(found.clone());
            self.lost = found.code.is_loss().then(|| self.lost.unwrap_or(suspicion));
            let verdict = self.judge.judge(&found, begun, &self.detector);
            match verdict {
                Verdict::Nothing => {
                    // Seen once it may be on its way to something else.
                    if found.code != Code::Ok && self.faint.replace(found.code) == Some(found.code)
                    {
                        self.tell_loss(&found, found.text.clone(), None).await;
                    }
                    return;
                }
                Verdict::Again(pause) => sleep(pause).await,
                Verdict::Tell(text) => {
                    self.tell_loss(&found, text, None).await;
                    return;
                }
                Verdict::Act => {
                    self.act(&found).await;
                    return;
                }
            }
        }
    }

    /// Starts what the site file says, where the gate is open.
    async fn act(&mut self, found: &Analysis) {
        let order = self.order(found);
        let known = self.desk.known().await;
        let passage = passage(self.detector.mode, self.detector.cooldown, known);
        let passage = match (passage, self.stale(found)) {
            (Passage::Open, Some(seconds)) => Passage::Stale { seconds },
            (passage, _) => passage,
        };
        if passage != Passage::Open {
            let text = format!(
                "{}; `{}` would have been run, and nothing was started: {}",
                found.text,
                order.playbook,
                passage.told()
            );
            let held_back = HeldBack {
                passage,
                playbook: order.playbook,
                params: order.params,
            };
            self.state
                .send_modify(|state| state.held_back = Some(held_back.clone()));
            self.tell_loss(found, text, Some(held_back)).await;
            return;
        }
        let Ok(_turn) = Arc::clone(&self.limit).try_acquire_owned() else {
            // Whoever waits looks again when it is its turn: much may have happened.
            let turn = Arc::clone(&self.limit).acquire_owned().await;
            drop(turn);
            self.told = None;
            return;
        };
        self.state.send_modify(|state| {
            state.running = true;
            state.held_back = None;
        });
        let playbook = order.playbook.clone();
        let ended = self.desk.start(order).await;
        self.state.send_modify(|state| state.running = false);
        let text = match ended {
            Ok((run, how)) => format!(
                "{}; `{playbook}` was run and {} (run {run})",
                found.text,
                ended_so(how)
            ),
            Err(why) => format!("{}; `{playbook}` could not be run: {why}", found.text),
        };
        self.tell_loss(found, text, None).await;
    }

    /// What is remembered of a primary whose host is gone would be part of the proof. Where others saw it longer than we did, it
    /// may have changed meanwhile: for how many seconds it has not been seen here.
    fn stale(&self, found: &Analysis) -> Option<u64> {
        let silent = matches!(
            found.code,
            Code::PrimaryDead | Code::PrimaryDeadAndSomeStandbys
        );
        let primary = found.primary.as_ref().filter(|_| silent)?;
        let names = self.cluster.remembered(primary).synchronous_standby_names;
        let age = Duration::from_millis(names?.age_ms);
        let lost = self.lost.map_or(Duration::ZERO, |since| since.elapsed());
        (age > lost + FRESH).then_some(age.as_secs())
    }

    fn order(&self, found: &Analysis) -> Order {
        let mut params: Vec<(String, String)> = Vec::new();
        if let Some(primary) = &found.primary {
            params.push(("old_primary".to_owned(), primary.to_string()));
        }
        // The run looks once more itself. What has been silent for so long already need not be waited for as long again.
        if matches!(
            found.code,
            Code::PrimaryDead | Code::PrimaryDeadAndSomeStandbys
        ) {
            let patience = format_duration(self.detector.patience / 2);
            params.push(("patience".to_owned(), patience));
        }
        for (name, value) in &self.detector.params {
            params.retain(|(known, _)| known != name);
            params.push((name.clone(), value.clone()));
        }
        Order {
            playbook: as_allowed(self.detector.mode, &self.detector.playbook).to_owned(),
            params,
            trigger: TRIGGER.to_owned(),
            silent: found.primary.clone().into_iter().collect(),
            ..Order::default()
        }
    }

    /// Tells of a loss, once for as long as it is the same.
    async fn tell_loss(&mut self, found: &Analysis, text: String, held_back: Option<HeldBack>) {
        let why = held_back.as_ref().map_or_else(
            || "told".to_owned(),
            |held| match &held.passage {
                // Its seconds run.
                Passage::Cooldown { run, .. } => format!("cooldown {run}"),
                other => other.told(),
            },
        );
        let news = (found.code, found.primary.clone(), why);
        if self.told.as_ref() == Some(&news) {
            return;
        }
        self.told = Some(news);
        self.tell(found, text, held_back).await;
    }

    async fn tell(&self, found: &Analysis, text: String, held_back: Option<HeldBack>) {
        let notice = Notice {
            cluster: self.cluster.inventory().cluster.clone(),
            code: found.code,
            text,
            held_back,
            analysis: Some(found.clone()),
        };
        self.desk.tell(notice).await;
    }

    fn publish(&self, found: Analysis) {
        self.state.send_modify(|state| {
            state.looks += 1;
            if state.analysis.as_ref().map(|before| before.code) != Some(found.code) {
                state.since = Some(jiff::Timestamp::now().to_string());
            }
            state.analysis = Some(found);
        });
    }
}

/// What is run in place of a playbook, where a person is to be asked first.
pub(super) fn as_allowed(mode: Mode, playbook: &str) -> &str {
    if mode == Mode::Approve && playbook == FAILOVER {
        APPROVED
    } else {
        playbook
    }
}

/// How a run ended, as it follows "was run and".
pub fn ended_so(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "reached its goal",
        Outcome::Degraded => "reached its goal in part: see what is left to do",
        Outcome::Failed => "failed",
        Outcome::Refused => "refused to go on",
        Outcome::Held => "waits for a person",
        Outcome::Cancelled => "was cancelled",
    }
}

/// Keeps a session to the node open, and says each time when one ends.
async fn vigil(cluster: Arc<dyn Watch>, node: NodeName, ended: mpsc::UnboundedSender<NodeName>) {
    loop {
        if cluster.vigil(&node).await.is_ok() && ended.send(node.clone()).is_err() {
            return;
        }
        sleep(REOPEN).await;
    }
}
