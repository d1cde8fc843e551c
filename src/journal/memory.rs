//! Journal and lease in memory, for simulated runs, tests and measurements.

use crate::engine::{
    Durability, Envelope, Held, Lease, LeaseError, RecordError, Recorder, RunId,
};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here can be left half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps all events as long as it lives. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryRecorder {
    events: Arc<Mutex<Vec<(RunId, Envelope)>>>,
}

impl MemoryRecorder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The events of a run so far.
    pub fn events(&self, run: &RunId) -> Vec<Envelope> {
        let events = lock(&self.events);
        let own = events.iter().filter(|(of, _)| of == run);
        own.map(|(_, envelope)| envelope.clone()).collect()
    }
}

#[async_trait]
impl Recorder for MemoryRecorder {
    async fn record(
        &self,
        run: &RunId,
        events: &[Envelope],
        _durability: Durability,
    ) -> Result<(), RecordError> {
        let new = events.iter().map(|envelope| (run.clone(), envelope.clone()));
        lock(&self.events).extend(new);
        Ok(())
    }
}

/// Leases within this process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryLease {
    clusters: Arc<Mutex<HashMap<String, Cluster>>>,
}

#[derive(Debug, Default)]
struct Cluster {
    token: u64,
    holder: Option<RunId>,
}

impl MemoryLease {
    /// Nothing is held.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Lease for MemoryLease {
    async fn acquire(&self, cluster: &str, run: &RunId) -> Result<Box<dyn Held>, LeaseError> {
        let mut clusters = lock(&self.clusters);
        let entry = clusters.entry(cluster.to_owned()).or_default();
        if let Some(holder) = &entry.holder {
            return Err(LeaseError::Busy {
                cluster: cluster.to_owned(),
                holder: holder.to_string(),
            });
        }
        entry.token += 1;
        entry.holder = Some(run.clone());
        Ok(Box::new(HeldInMemory {
            lease: self.clone(),
            cluster: cluster.to_owned(),
            token: entry.token,
        }))
    }
}

struct HeldInMemory {
    lease: MemoryLease,
    cluster: String,
    token: u64,
}

impl Held for HeldInMemory {
    fn token(&self) -> u64 {
        self.token
    }

    fn is_valid(&self) -> bool {
        true
    }
}

impl Drop for HeldInMemory {
    fn drop(&mut self) {
        if let Some(cluster) = lock(&self.lease.clusters).get_mut(&self.cluster) {
            cluster.holder = None;
        }
    }
}
