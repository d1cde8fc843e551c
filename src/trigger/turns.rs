//! Whoever starts runs by itself takes turns: one at a time for each cluster, and no more than a few over all of them.
//!
//! The lease alone would let a second run begin when the first has just ended: whoever was let through by the gate before
//! that end knows nothing of it. So the gate is asked, and the run is run, in one turn.

use super::gate::Passage;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// How many runs may be started by themselves at once: a data centre that is dead is no reason for a stampede.
const AT_ONCE: usize = 4;

/// The turns of a process. Copies are the same.
#[derive(Debug, Clone)]
pub struct Turns {
    all: Arc<Semaphore>,
    by_cluster: Arc<Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    _cluster: OwnedMutexGuard<()>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(AT_ONCE)),
            by_cluster: Arc::default(),
        }
    }
}

impl Turns {
    /// How many more may begin, over all clusters: for a watch, which waits for its place.
    pub fn limit(&self) -> Arc<Semaphore> {
        Arc::clone(&self.all)
    }

    /// The cluster's turn and a place among all, at once or not.
    pub(super) fn take(&self, cluster: &str) -> Result<Turn, Passage> {
        let turn = self.take_placed(cluster)?;
        let place = Arc::clone(&self.all).try_acquire_owned();
        Ok(Turn {
            _place: Some(place.map_err(|_| Passage::Full)?),
            ..turn
        })
    }

    /// The cluster's turn, for who has a place.
    pub(super) fn take_placed(&self, cluster: &str) -> Result<Turn, Passage> {
        let mut known = self
            .by_cluster
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let turn = Arc::clone(known.entry(cluster.to_owned()).or_default());
        let turn = turn.try_lock_owned();
        Ok(Turn {
            _cluster: turn.map_err(|_| Passage::Busy { run: None })?,
            _place: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_a_cluster_and_so_many_have_a_place() {
        let turns = Turns::default();
        let first = turns.take("a").unwrap();
        assert_eq!(turns.take("a").unwrap_err(), Passage::Busy { run: None });
        let placed = turns.take_placed("a");
        assert_eq!(placed.unwrap_err(), Passage::Busy { run: None });
        let others: Vec<Turn> = ["b", "c", "d"].map(|c| turns.take(c).unwrap()).into();
        assert_eq!(turns.take("e").unwrap_err(), Passage::Full);
        // Who has a place needs no second one, and who found none keeps nobody out.
        drop(turns.take_placed("e").unwrap());
        drop(first);
        drop(turns.take("a").unwrap());
        drop(others);
        assert_eq!(turns.limit().available_permits(), AT_ONCE);
    }
}
