//! What was last seen of each node while it ran.

use super::questions::Seen;
use crate::cluster::{Lsn, NodeName, Remembered, Timed, Timeline};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// One sighting of a primary.
#[derive(Debug, Clone)]
struct Sighting {
    at: Instant,
    /// None: it has been changed since.
    names: Option<String>,
    commit: String,
    receivers: Vec<String>,
    position: Option<(Timeline, Lsn)>,
}

/// The last sighting of each node as a primary.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    sightings: Mutex<BTreeMap<NodeName, Sighting>>,
}

impl Memory {
    /// Keeps what matters of a running primary; a standby is not remembered.
    pub(crate) fn note(&self, node: &NodeName, seen: &Seen) {
        if seen.server.in_recovery {
            return;
        }
        let sighting = Sighting {
            at: Instant::now(),
            names: Some(seen.synchronous_standby_names.clone()),
            commit: seen.synchronous_commit.clone(),
            receivers: seen.receivers.clone(),
            position: seen.timeline.zip(seen.server.written),
        };
        self.sightings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(node.clone(), sighting);
    }

    /// What its commits wait for is being changed: until it is seen again nobody knows it.
    pub(crate) fn doubt(&self, node: &NodeName) {
        let mut sightings = self
            .sightings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(sighting) = sightings.get_mut(node) {
            sighting.names = None;
        }
    }

    /// What is remembered, with its age.
    pub(crate) fn of(&self, node: &NodeName) -> Remembered {
        let sightings = self
            .sightings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(sighting) = sightings.get(node).cloned() else {
            return Remembered {
                synchronous_standby_names: None,
                synchronous_commit: None,
                receivers: None,
                position: None,
            };
        };
        let age_ms = u64::try_from(sighting.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        Remembered {
            synchronous_standby_names: sighting.names.map(|value| Timed { value, age_ms }),
            synchronous_commit: Some(Timed {
                value: sighting.commit,
                age_ms,
            }),
            receivers: Some(Timed {
                value: sighting.receivers,
                age_ms,
            }),
            position: sighting.position.map(|value| Timed { value, age_ms }),
        }
    }
}
