//! Looking at clusters: on an interval for whoever only wants numbers, at once for whoever asks.

use crate::cluster::Topology;
use crate::runs::{Glance, World};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often every cluster is looked at.
pub(super) const EVERY: Duration = Duration::from_secs(10);

/// For so long one look serves everybody who asks.
const FRESH: Duration = Duration::from_secs(1);

/// A cluster, and what was last seen of it.
pub(super) struct Watch {
    pub(super) world: Arc<World>,
    /// Held while somebody looks: whoever asks meanwhile waits for that look in place of beginning another.
    glance: tokio::sync::Mutex<Option<(Instant, Arc<Glance>)>>,
    table: Mutex<Option<Table>>,
}

/// The table of a cluster, and when it was taken.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) at: jiff::Timestamp,
    pub(super) topology: Arc<Topology>,
}

impl Watch {
    pub(super) fn new(world: World) -> Self {
        Self {
            world: Arc::new(world),
            glance: tokio::sync::Mutex::new(None),
            table: Mutex::new(None),
        }
    }

    /// The cluster at a glance, no older than a second.
    pub(super) async fn glance(&self) -> Arc<Glance> {
        let mut last = self.glance.lock().await;
        if let Some((at, glance)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return Arc::clone(glance);
        }
        let glance = Arc::new(self.world.glance().await);
        self.keep(glance.topology.clone());
        *last = Some((Instant::now(), Arc::clone(&glance)));
        glance
    }

    /// What was last seen, however long ago; nothing before the first look.
    pub(super) fn table(&self) -> Option<Table> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.clone()
    }

    fn keep(&self, topology: Topology) {
        let table = Table {
            at: jiff::Timestamp::now(),
            topology: Arc::new(topology),
        };
        *self.table.lock().unwrap_or_else(PoisonError::into_inner) = Some(table);
    }

    /// Looks every ten seconds until the server stops. Hosts are not asked: that is for whoever asks.
    pub(super) async fn keep_looking(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let topology = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                topology = self.world.topology() => topology,
            };
            self.keep(topology);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
}
