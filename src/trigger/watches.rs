//! How the watches stand, for whoever asks in the same process.

use super::sentry::State;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch::Receiver;

/// The watches of a process, by the names of their clusters. Copies are the same.
#[derive(Debug, Clone, Default)]
pub struct Watches(Arc<Mutex<BTreeMap<String, Receiver<State>>>>);

impl Watches {
    /// This cluster has a watch from now on; one that it had before is forgotten.
    pub fn add(&self, cluster: &str, state: Receiver<State>) {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.insert(cluster.to_owned(), state);
    }

    /// How the watch over this cluster stands; none where there is none.
    pub fn state(&self, cluster: &str) -> Option<State> {
        let watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.get(cluster).map(|state| state.borrow().clone())
    }
}
