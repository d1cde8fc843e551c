//! The watch over one cluster: looks, suspects, looks closely, and starts what the site file says, through the gate.

mod act;
mod announce;
mod bring_back;
mod tell;

pub(super) use act::{FAILOVER, as_allowed};

use super::analysis::{Analysis, analyse};
use super::code::Code;
use super::foretold::Foretold;
use super::gap::Gap;
use super::gate::{Known, Passage};
use super::judge::{Judge, Verdict};
use super::look;
use super::readiness::{Obstacle, obstacles};
use super::returns::Returns;
use crate::cluster::{Detector, NodeName, Watch};
use crate::engine::{Outcome, RunId};
use crate::notify::News;
use crate::runs::Order;
use announce::{Incident, Readiness};
use async_trait::async_trait;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

/// How long a session that could not be opened is not tried again.
const REOPEN: Duration = Duration::from_secs(1);
/// How often a loss that is only told is looked at again.
const STANDING: Duration = Duration::from_secs(10);

/// What started the runs of a watch, as their records say.
pub const TRIGGER: &str = "detector";

/// What started those that bring an old primary back: the time after them is no reason to leave a dead primary unreplaced.
pub const RETURN: &str = "detector-return";

/// What a watch needs from whoever keeps runs.
#[async_trait]
pub trait Desk: Send + Sync {
    /// Runs it to its end. An error says why it did not begin.
    async fn start(&self, order: Order) -> Result<Ended, String>;

    /// What stands against starting something by this trigger.
    async fn known(&self, trigger: &str) -> Known;

    /// The nodes that runs have replaced as primaries, and that have not come back since, as far as is known.
    async fn replaced(&self) -> Vec<NodeName>;

    /// Keeps what happened, and tells whoever is to know.
    async fn tell(&self, notice: Notice);

    /// Tells people and programs outside. Returns at once, whatever they do.
    fn announce(&self, news: News);

    /// Finds out what this order would come to, keeps the plan with the incident, and tells it with the news. Returns at once.
    fn foretell(&self, order: Order, notice: Notice, news: News);
}

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which one.
    pub run: RunId,
    /// How.
    pub outcome: Outcome,
    /// When it has seen its new primary take a write; none where it has not.
    pub first_write: Option<jiff::Timestamp>,
}

/// Something that a person is to know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Notice {
    /// The cluster.
    pub cluster: String,
    /// The incident that it belongs to; none where all is well.
    pub incident: Option<String>,
    /// What.
    pub code: Code,
    /// In a sentence.
    pub text: String,
    /// What would have been run, where nothing was.
    pub held_back: Option<HeldBack>,
    /// What would come of a run that a person decides about; the whole plan is kept with the incident.
    pub foretold: Option<Foretold>,
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
    /// The last failover that it has started: from the first sign to a write.
    pub gap: Option<Gap>,
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
    returns: Returns,
    /// Somebody is being brought back: meanwhile it is watched on.
    returning: Option<JoinHandle<()>>,
    /// What goes on, as the world was told.
    incident: Option<Incident>,
    readiness: Readiness,
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
            returns: Returns::default(),
            returning: None,
            incident: None,
            readiness: Readiness::default(),
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
            self.could_fail_over(obstacles.as_deref());
            self.state.send_modify(|state| state.obstacles = obstacles);
            self.bring_back(&seen, &found).await;
        }
        if found.code != Code::Ok {
            self.tell_loss(&found, found.text.clone(), None).await;
            return false;
        }
        self.well(&found);
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
