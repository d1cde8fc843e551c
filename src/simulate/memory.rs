//! What was last seen of each node while it ran as a primary, as the live side keeps it.

use super::ids::{At, NodeId};
use super::world::World;
use crate::cluster::{Lsn, Remembered, Timed, Timeline};
use std::time::Duration;

/// One sighting.
#[derive(Debug, Clone)]
pub(super) struct Sighting {
    pub(super) at: At,
    /// How old it was already when the world began.
    pub(super) older: Duration,
    pub(super) names: Option<String>,
    pub(super) commit: Option<String>,
    pub(super) receivers: Option<Vec<String>>,
    pub(super) position: Option<(Timeline, Lsn)>,
}

impl World {
    /// Keeps what matters of a running primary; a standby is not remembered.
    pub(super) fn remember(&mut self, id: NodeId) {
        use super::conf::{SYNC_COMMIT, SYNC_NAMES};
        let node = self.node(id);
        if !node.writes() {
            return;
        }
        let mut receivers: Vec<String> = self
            .fed_by(id)
            .iter()
            .filter_map(|s| Some(self.streams.get(s)?.application.clone()))
            .collect();
        receivers.sort();
        let sighting = Sighting {
            at: self.now,
            older: Duration::ZERO,
            names: Some(node.conf.text(SYNC_NAMES).to_owned()),
            commit: Some(node.conf.text(SYNC_COMMIT).to_owned()),
            receivers: Some(receivers),
            position: Some((self.branches.timeline(node.wal.branch), node.wal.end)),
        };
        self.sightings.insert(id, sighting);
    }

    /// What its commits wait for is being changed.
    pub(super) fn doubt(&mut self, id: NodeId) {
        if let Some(sighting) = self.sightings.get_mut(&id) {
            sighting.names = None;
        }
    }

    pub(super) fn remembered(&self, id: NodeId) -> Remembered {
        let Some(sighting) = self.sightings.get(&id) else {
            return Remembered {
                synchronous_standby_names: None,
                synchronous_commit: None,
                receivers: None,
                position: None,
            };
        };
        let age = self.now.since(sighting.at) + sighting.older;
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Remembered {
            synchronous_standby_names: timed(sighting.names.clone(), age_ms),
            synchronous_commit: timed(sighting.commit.clone(), age_ms),
            receivers: timed(sighting.receivers.clone(), age_ms),
            position: timed(sighting.position, age_ms),
        }
    }
}

fn timed<T>(value: Option<T>, age_ms: u64) -> Option<Timed<T>> {
    value.map(|value| Timed { value, age_ms })
}
