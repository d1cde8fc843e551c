//! A simulated cluster behind the port: how a call reaches its node, and how its answer comes back.

use super::fault::Fault;
use super::ids::{At, Life, NodeId, RUNNER};
use super::inject::Injections;
use super::node::{Door, Hang, Phase};
use super::outside::{Outside, Unknowable};
use super::world::World;
use crate::cluster::{Inventory, NodeName, Render, TroubleKind};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// As on the live side: until a session is given up that does not open, and an answer that does not come.
const CONNECT: Duration = Duration::from_secs(3);
pub(super) const REPLY: Duration = Duration::from_secs(6);
/// Half of what a statement takes on its way there and back.
const SQL_HOP: Duration = Duration::from_micros(300);

/// Which of a server's sessions that are kept open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Sql,
    Replication,
    /// The one that nobody uses.
    Watch,
}

/// What a call needs besides the world.
pub(super) struct State {
    pub(super) world: World,
    pub(super) injections: Injections,
    /// Sessions that are open, with the life of the server that they belong to.
    sessions: BTreeMap<(NodeId, Way), Life>,
}

/// A simulated cluster. Must be used on a tokio runtime whose clock is paused: all of its time is tokio's.
///
/// Clones share one world.
#[derive(Clone)]
pub struct SimCluster {
    pub(super) inventory: Arc<Inventory>,
    pub(super) renderer: Arc<dyn Render>,
    pub(super) outside: Arc<dyn Outside>,
    state: Arc<Mutex<State>>,
    /// The world's time when it was put behind the port, and the clock's.
    began: At,
    epoch: Instant,
}

impl fmt::Debug for SimCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimCluster")
            .field("cluster", &self.inventory.cluster)
            .finish_non_exhaustive()
    }
}

impl SimCluster {
    /// A cluster over this world, from now on. Its operations are shown as `renderer` has them.
    pub fn new(inventory: Arc<Inventory>, world: World, renderer: Arc<dyn Render>) -> Self {
        Self {
            began: world.now(),
            inventory,
            renderer,
            outside: Arc::new(Unknowable),
            state: Arc::new(Mutex::new(State {
                world,
                injections: Injections::default(),
                sessions: BTreeMap::new(),
            })),
            epoch: Instant::now(),
        }
    }

    /// The same with these answers for what the site itself would run.
    #[must_use]
    pub fn with_outside(mut self, outside: Arc<dyn Outside>) -> Self {
        self.outside = outside;
        self
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What time it is in the world.
    pub fn now(&self) -> At {
        self.began + self.epoch.elapsed()
    }

    /// Looks at the world, or changes it, at this moment.
    pub fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        let now = self.now();
        let mut state = self.state();
        state.world.advance(now);
        let result = work(&mut state.world);
        state.world.changed();
        result
    }

    /// Looks without changing.
    pub(super) fn look<T>(&self, work: impl FnOnce(&World) -> T) -> T {
        let now = self.now();
        let mut state = self.state();
        state.world.advance(now);
        work(&state.world)
    }

    /// Says which calls meet a fault.
    pub fn inject<T>(&self, arrange: impl FnOnce(&mut Injections) -> T) -> T {
        arrange(&mut self.state().injections)
    }

    /// Lets this much time pass in the world.
    pub async fn pass(&self, time: Duration) {
        sleep(time).await;
        self.look(|_| ());
    }

    pub(super) fn id(&self, name: &NodeName) -> Result<NodeId, Fault> {
        self.state().world.find(name).ok_or_else(|| {
            Fault::Unsent(
                TroubleKind::Failed,
                "there is no such node in the site file".to_owned(),
            )
        })
    }

    pub(super) async fn hop(&self, base: Duration) {
        let wait = self.state().world.about(base);
        sleep(wait).await;
    }

    /// Sends a statement that changes something, does `work` where it arrives, and brings the answer back.
    pub(super) async fn statement<T>(
        &self,
        name: &NodeName,
        way: Way,
        limit: Duration,
        work: impl FnOnce(&mut World, NodeId) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let (id, life) = self.deliver(name, way, SQL_HOP).await?;
        let result = match self.look(|w| arrives(w, id, life)) {
            Ok(()) => self.with(|w| work(w, id)),
            Err(Arrival::Silence) => return self.silent(id, way, limit).await,
            Err(Arrival::Ended) => return Err(self.ended(id, way)),
        };
        self.hop(SQL_HOP).await;
        let (gone, silent) = self.look(|w| {
            let node = w.node(id);
            let silent = !w.passes(node.host, RUNNER) || node.hang == Hang::Server;
            (node.life() != Some(life), silent)
        });
        if silent {
            return self.silent(id, way, limit).await;
        }
        if gone {
            return Err(self.ended(id, way));
        }
        result
    }

    /// Asks, once. What happens to the answer on its way back tells nobody more than a question that is lost: so all of
    /// the time that it takes lies before it arrives.
    async fn ask_once<T>(
        &self,
        name: &NodeName,
        way: Way,
        work: impl FnOnce(&World, NodeId) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let (id, life) = self.deliver(name, way, SQL_HOP * 2).await?;
        let answer = self.look(|w| {
            arrives(w, id, life)?;
            if w.passes(w.node(id).host, RUNNER) {
                Ok(work(w, id))
            } else {
                Err(Arrival::Silence)
            }
        });
        match answer {
            Ok(answer) => answer,
            Err(Arrival::Silence) => self.silent(id, way, REPLY).await,
            Err(Arrival::Ended) => Err(self.ended(id, way)),
        }
    }

    /// Finds or opens a session of this kind and sends something on it, which takes so long. A session that is open still
    /// carries a request where no new one could be opened.
    async fn deliver(
        &self,
        name: &NodeName,
        way: Way,
        hop: Duration,
    ) -> Result<(NodeId, Life), Fault> {
        let id = self.id(name)?;
        let life = match self.session(id, way) {
            Open::Kept(life) => life,
            Open::Refused(fault) => {
                let silent =
                    matches!(fault, Fault::Recorded(_)) && self.look(|w| w.node(id).unseen());
                if silent {
                    sleep(CONNECT).await;
                }
                self.hop(SQL_HOP).await;
                return Err(fault);
            }
            Open::Unanswered => {
                sleep(CONNECT).await;
                return Err(Fault::unreachable(format!(
                    "no session within {} s",
                    CONNECT.as_secs_f64()
                )));
            }
        };
        self.hop(hop).await;
        Ok((id, life))
    }

    fn ended(&self, id: NodeId, way: Way) -> Fault {
        self.close(id, way);
        Fault::Lost("the server ended the session".to_owned())
    }

    async fn silent<T>(&self, id: NodeId, way: Way, limit: Duration) -> Result<T, Fault> {
        self.close(id, way);
        sleep(limit).await;
        Err(Fault::Silent(limit))
    }

    fn close(&self, id: NodeId, way: Way) {
        self.state().sessions.remove(&(id, way));
    }

    /// The session that is kept open, or a new one.
    fn session(&self, id: NodeId, way: Way) -> Open {
        let now = self.now();
        let mut state = self.state();
        state.world.advance(now);
        let node = state.world.node(id);
        if let Some(trouble) = &node.dark.sql {
            return Open::Refused(Fault::Recorded(trouble.clone()));
        }
        let alive = node.process.as_ref();
        let kept = state.sessions.get(&(id, way)).copied();
        // The server says farewell when it ends its sessions, and that is noticed where the way is open.
        if let Some(kept) = kept
            && (alive.is_some_and(|p| p.life == kept && p.phase == Phase::Ready)
                || !state.world.passes(node.host, RUNNER))
        {
            return Open::Kept(kept);
        }
        if !state.world.connected(RUNNER, node.host) {
            return Open::Unanswered;
        }
        let Some(process) = alive else {
            return Open::Refused(Fault::unreachable(format!(
                "no connection to {}:{}: Connection refused",
                node.address.0, node.address.1
            )));
        };
        if node.hang == Hang::Server {
            return Open::Unanswered;
        }
        if process.phase != Phase::Ready {
            let doing = if process.phase == Phase::Starting {
                "starting up"
            } else {
                "shutting down"
            };
            return Open::Refused(Fault::Refused(
                TroubleKind::Unreachable,
                format!("the database system is {doing} [57P03]"),
            ));
        }
        let refused = match node.door {
            Door::Open => None,
            Door::Full => Some((
                TroubleKind::Unreachable,
                "sorry, too many clients already [53300]",
            )),
            Door::Barred => Some((TroubleKind::Denied, "no pg_hba.conf entry for host [28000]")),
            Door::Password => Some((
                TroubleKind::Denied,
                "password authentication failed [28P01]",
            )),
        };
        if let Some((kind, why)) = refused {
            return Open::Refused(Fault::Refused(kind, why.to_owned()));
        }
        let life = process.life;
        if way == Way::Replication && state.world.senders_are_taken(id) {
            return Open::Refused(Fault::Refused(
                TroubleKind::Unreachable,
                "number of requested standby connections exceeds max_wal_senders [53300]"
                    .to_owned(),
            ));
        }
        state.sessions.insert((id, way), life);
        Open::Kept(life)
    }

    /// Asks on a session that is kept open; one that broke while it was idle is replaced once.
    pub(super) async fn ask<T>(
        &self,
        name: &NodeName,
        way: Way,
        work: impl Fn(&World, NodeId) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        match self.ask_once(name, way, &work).await {
            Err(Fault::Lost(_)) => self.ask_once(name, way, &work).await,
            other => other,
        }
    }
}

/// Why a statement does not get to its session.
enum Arrival {
    Ended,
    Silence,
}

fn arrives(world: &World, id: NodeId, life: Life) -> Result<(), Arrival> {
    let node = world.node(id);
    let ready = matches!(node.process.as_ref().map(|p| p.phase), Some(Phase::Ready));
    if node.life() != Some(life) || !ready {
        Err(Arrival::Ended)
    } else if !world.passes(RUNNER, node.host) || node.hang == Hang::Server {
        Err(Arrival::Silence)
    } else {
        Ok(())
    }
}

/// How a session is opened.
enum Open {
    Kept(Life),
    Refused(Fault),
    Unanswered,
}
