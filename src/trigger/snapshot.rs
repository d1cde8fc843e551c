//! What everybody said in one look at a cluster. Facts only; [`super::analyse`] draws the conclusion.

use crate::cluster::{
    Host, Knock, Load, Manager, NodeName, Reach, Server, SlotName, Timeline, TroubleKind,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One look.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// The node that was the primary, as last known.
    pub primary: Option<NodeName>,
    /// It was a look at a suspicion: standbys tried the primary themselves, and its host was asked.
    pub closer: bool,
    /// What each node said.
    pub nodes: BTreeMap<NodeName, Witness>,
}

/// What was heard of one node, and from it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Witness {
    /// What a new connection from here met; none where none was tried.
    pub knock: Option<Knock>,
    /// Its server's own view; none where it did not answer.
    pub server: Option<Server>,
    /// Why it did not.
    pub trouble: Option<TroubleKind>,
    /// Its timeline, where it was asked for.
    pub timeline: Option<Timeline>,
    /// The node that it streams from, or is set to follow.
    pub upstream: Option<NodeName>,
    /// It streams from somewhere that is no node of the site.
    pub elsewhere: bool,
    /// How busy it is; of a primary.
    pub load: Option<Load>,
    /// How what commits wait for deviates from the site file; of a primary.
    pub deviation: Option<String>,
    /// `synchronous_standby_names` as running; of a primary.
    pub synchronous: Option<String>,
    /// It has what a rewind of it would need; of a primary.
    pub can_be_rewound: Option<bool>,
    /// Slots that have lost WAL, or soon will; of a primary.
    pub slots_at_risk: Vec<String>,
    /// What there is for those who would follow it; of a standby.
    pub room: Option<Room>,
    /// Others who act on it, as far as its server tells.
    pub managers: Vec<Manager>,
    /// What a new connection to the primary met, tried from its host.
    pub reaches: Option<Reach>,
    /// Its receiver had a message from the primary after the suspicion began.
    pub heard: bool,
    /// What its host says; of a primary that does not answer. None where the host could not be asked.
    pub host: Option<Host>,
    /// Its host's disk answers; asked where the server is there and silent.
    pub disk: Option<bool>,
}

/// What a server has for those who follow it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// How many it can send to at once; none where it does not say.
    pub senders: Option<usize>,
    /// Slots that may still be created.
    pub free: usize,
    /// Slots that are there.
    pub slots: Vec<SlotName>,
}

impl Witness {
    /// Its server answered.
    pub fn answers(&self) -> bool {
        self.server.is_some()
    }

    pub(super) fn is_primary(&self) -> bool {
        self.server.as_ref().is_some_and(|s| !s.in_recovery)
    }

    pub(super) fn is_standby(&self) -> bool {
        self.server.as_ref().is_some_and(|s| s.in_recovery)
    }

    pub(super) fn streams(&self) -> bool {
        let receiver = self.server.as_ref().and_then(|s| s.receiver.as_ref());
        receiver.is_some_and(|r| r.status == "streaming")
    }
}
