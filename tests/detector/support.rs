//! A simulated cluster with a watch over it, and a desk that counts.

use async_trait::async_trait;
use pgbaton::cluster::{Detector, Inventory, Mode, NodeName, SyncMode, Synchronous, Watch};
use pgbaton::engine::{Outcome, RunId};
use pgbaton::notify::News;
use pgbaton::runs::{Order, on_paused_clock, sim_cluster};
use pgbaton::simulate::{Disruption, SimCluster, WorldBuilder, rehearsal_inventory};
use pgbaton::trigger::{Analysis, Code, Desk, Ended, Known, Notice, Pause, Sentry, State, TRIGGER};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

pub(super) fn name(text: &str) -> NodeName {
    NodeName::parse(text).unwrap()
}

/// What the desk was asked for.
#[derive(Default)]
pub(super) struct Log {
    pub(super) orders: Vec<Order>,
    pub(super) notices: Vec<Notice>,
    pub(super) news: Vec<News>,
    /// What was to be foretold.
    pub(super) foretold: Vec<Order>,
    /// How many orders there were at each of them.
    pub(super) orders_when_told: Vec<usize>,
    pub(super) pause: Option<Pause>,
    /// What a run ends with, and whether it promotes.
    pub(super) fails: bool,
    /// So many times somebody else's run has the cluster.
    pub(super) busy: u32,
    pub(super) last: Option<(String, Instant)>,
    /// Whom runs have replaced.
    pub(super) replaced: Vec<NodeName>,
}

pub(super) struct CountingDesk {
    sim: SimCluster,
    log: Mutex<Log>,
}

impl CountingDesk {
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Log) -> T) -> T {
        work(&mut self.log.lock().unwrap())
    }
}

#[async_trait]
impl Desk for CountingDesk {
    async fn start(&self, order: Order) -> Result<Ended, String> {
        let busy = self.with(|log| {
            let busy = log.busy > 0;
            log.busy = log.busy.saturating_sub(1);
            busy
        });
        if busy {
            return Err("the cluster is held by run-of-a-person".to_owned());
        }
        let returns = order.playbook == "rejoin";
        let number = self.with(|log| {
            log.orders.push(order);
            log.orders.len()
        });
        tokio::time::sleep(Duration::from_millis(400)).await;
        let run = RunId(format!("run-{number}").into());
        if returns {
            return Ok(Ended {
                run,
                outcome: Outcome::Ok,
                first_write: None,
            });
        }
        self.with(|log| log.last = Some((run.to_string(), Instant::now())));
        if self.with(|log| log.fails) {
            return Ok(Ended {
                run,
                outcome: Outcome::Refused,
                first_write: None,
            });
        }
        self.sim
            .with(|w| w.disrupt(&Disruption::Promote(name("n2"))));
        Ok(Ended {
            run,
            outcome: Outcome::Ok,
            first_write: None,
        })
    }

    async fn replaced(&self) -> Vec<NodeName> {
        self.with(|log| log.replaced.clone())
    }

    async fn known(&self, trigger: &str) -> Known {
        self.with(|log| Known {
            pause: Ok(log.pause.clone()),
            last: log
                .last
                .as_ref()
                .filter(|_| trigger == TRIGGER)
                .map(|(run, at)| (run.clone(), at.elapsed())),
        })
    }

    async fn tell(&self, notice: Notice) {
        self.with(|log| log.notices.push(notice));
    }

    fn announce(&self, news: News) {
        self.with(|log| {
            log.orders_when_told.push(log.orders.len());
            log.news.push(news);
        });
    }

    fn foretell(&self, order: Order, _notice: Notice, news: News) {
        self.with(|log| log.foretold.push(order));
        self.announce(news);
    }
}

/// One primary, two standbys, and a watch.
pub(super) struct Site {
    pub(super) sim: SimCluster,
    pub(super) desk: Arc<CountingDesk>,
    pub(super) state: watch::Receiver<State>,
    _watch: AbortOnDropHandle<()>,
}

impl Site {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "every caller has made it for this"
    )]
    pub(super) fn disrupt(&self, disruption: Disruption) {
        self.sim.with(|w| w.disrupt(&disruption));
    }

    pub(super) async fn seconds(&self, seconds: f64) {
        self.sim.pass(Duration::from_secs_f64(seconds)).await;
    }

    pub(super) fn analysis(&self) -> Analysis {
        self.state.borrow().analysis.clone().unwrap()
    }

    pub(super) fn code(&self) -> Code {
        self.analysis().code
    }

    pub(super) fn findings(&self) -> Vec<Code> {
        self.analysis().findings.iter().map(|f| f.code).collect()
    }

    pub(super) fn orders(&self) -> usize {
        self.desk.with(|log| log.orders.len())
    }

    /// What was told and was no good news.
    pub(super) fn told(&self) -> Vec<String> {
        self.desk.with(|log| {
            let bad = log.notices.iter().filter(|n| n.code != Code::Ok);
            bad.map(|n| n.text.clone()).collect()
        })
    }
}

/// Lets `work` go on with a site that is watched for three seconds already.
pub(super) fn watched<T>(detector: Detector, seed: u64, work: impl AsyncFnOnce(Site) -> T) -> T {
    on_paused_clock(async move {
        let nodes: Vec<NodeName> = ["n1", "n2", "n3"].map(name).into();
        let sync = Synchronous {
            mode: SyncMode::Quorum,
            acks: 1,
        };
        let mut inventory: Inventory = rehearsal_inventory(&nodes, sync);
        inventory.detector = detector;
        let inventory = Arc::new(inventory);
        let world = WorldBuilder::new(&inventory, seed)
            .synchronous("ANY 1 (n2, n3)")
            .client(
                Duration::from_millis(200),
                pgbaton::simulate::Habit::Statements,
            )
            .build();
        let sim = sim_cluster(&inventory, world);
        let desk = Arc::new(CountingDesk {
            sim: sim.clone(),
            log: Mutex::default(),
        });
        let port: Arc<dyn Watch> = Arc::new(sim.clone());
        let desk_port: Arc<dyn Desk> = Arc::clone(&desk) as Arc<dyn Desk>;
        let sentry = Sentry::new(port, desk_port, Arc::new(Semaphore::new(4)));
        let state = sentry.state();
        let site = Site {
            sim,
            desk,
            state,
            _watch: AbortOnDropHandle::new(tokio::spawn(sentry.watch())),
        };
        site.seconds(3.0).await;
        assert_eq!(site.code(), Code::Ok);
        work(site).await
    })
    .unwrap()
}

pub(super) fn auto() -> Detector {
    Detector {
        mode: Mode::Auto,
        ..Detector::default()
    }
}
