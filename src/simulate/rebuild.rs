//! Operations that renew a node's data: a rewind in place, a copy beside them.

use super::cluster::SimCluster;
use super::fault::Fault as Why;
use super::ids::NodeId;
use super::node::{Hang, Receiving};
use super::perform::Done;
use super::world::World;
use crate::cluster::{
    ControlState, Footing, NodeName, Outcome, Rebuild, SlotName, Trouble, TroubleKind,
};
use serde_json::{Value as Json, json};
use std::time::Duration;
use tokio::time::Instant;

/// A rewind, from its first change to its last.
const REWIND: Duration = Duration::from_millis(400);
/// A copy of everything.
const COPY: Duration = Duration::from_secs(2);
/// Between two looks whether the source is still there.
const LOOK: Duration = Duration::from_millis(50);

/// A host on which everything is as it should be.
pub(super) const ABLE: Rebuild = Rebuild {
    wal_log_hints: true,
    checksums: false,
    can_rewind: true,
    rewinds: None,
    can_copy: true,
    copies: None,
    release: None,
    archive: false,
    beside: true,
    mounted: false,
};

/// How the copying ended.
enum End {
    Complete,
    SourceGone,
    Deadline,
}

/// Room for everything, and settings that can be changed.
pub(super) const FIRM: Footing = Footing {
    data_free: 1 << 40,
    wal_free: 1 << 40,
    settings_file: None,
    start: None,
};

impl World {
    /// As it was when the world began: disks fill and settings are raised outside of the model.
    pub(super) fn footing(&self, id: NodeId, start: bool) -> Footing {
        let seeded = self.node(id).footing.clone();
        Footing {
            // Where nobody could read what it would start with, that stays unknown.
            start: start.then(|| seeded.start.unwrap_or_default()),
            ..seeded
        }
    }

    /// What a rewind's trial finds, and the mark where it may begin. Again: only that it goes on.
    fn rewind_begins(&mut self, id: NodeId, up: NodeId) -> Result<(), Why> {
        self.may_renew(id, up)?;
        let (mine, theirs) = (self.node(id), self.node(up));
        if !mine.half_rewound {
            let able = mine.rebuild.wal_log_hints || mine.rebuild.checksums;
            let told = (mine.control.timeline, theirs.control.timeline);
            let shared = self.branches.common(mine.wal.branch, theirs.wal.branch);
            let why = if mine.system != theirs.system {
                "source and target clusters are from different systems"
            } else if !able {
                "target server needs to use either data checksums or \"wal_log_hints = on\""
            } else if told.0 == told.1 {
                "source and target cluster are on the same timeline: no rewind required"
            } else if shared < mine.wal.begin {
                "could not find the common checkpoint in its WAL"
            } else {
                self.node_mut(id).half_rewound = true;
                return Ok(());
            };
            let text = format!("{why}; it cannot be rewound, and is as it was");
            return Err(Why::conflict(text));
        }
        Ok(())
    }

    fn may_renew(&self, id: NodeId, up: NodeId) -> Result<(), Why> {
        if let Some(process) = &self.node(id).process {
            let text = format!("its server runs (process {})", process.pid);
            return Err(Why::conflict(text));
        }
        if !self.feeds(id, up) {
            return Err(Why::conflict(
                "could not connect to server; it is as it was",
            ));
        }
        Ok(())
    }

    /// Programs on the node's host reach the source's server.
    fn feeds(&self, id: NodeId, up: NodeId) -> bool {
        let (mine, theirs) = (self.node(id), self.node(up));
        theirs.hang != Hang::Server && theirs.serves() && self.connected(mine.host, theirs.host)
    }

    /// Its data are the source's now, to be replayed from there on.
    fn renewed(&mut self, id: NodeId, up: NodeId) {
        let theirs = self.node(up);
        let (mut wal, mut control) = (theirs.wal.clone(), theirs.control.clone());
        let system = theirs.system;
        wal.received = None;
        wal.replayed = wal.end;
        control.state = ControlState::ArchiveRecovery;
        let node = self.node_mut(id);
        node.wal = wal;
        node.control = control;
        node.system = system;
        node.slots.clear();
        node.signal = true;
        node.half_rewound = false;
        node.broken = None;
        node.orphans.clear();
        node.receiving = Receiving::Off;
    }
}

impl SimCluster {
    fn source(&self, upstream: &NodeName) -> Result<NodeId, Outcome> {
        self.id(upstream)
            .map_err(|why| why.when_doing(upstream, "failed on its host"))
    }

    pub(super) async fn rewind(
        &self,
        node: &NodeName,
        upstream: &NodeName,
        deadline: Duration,
    ) -> Done {
        let up = self.source(upstream)?;
        let id = self
            .run(node, |w, id| w.rewind_begins(id, up).map(|()| id))
            .await?;
        let why = match self.copies(node, id, up, REWIND, deadline).await? {
            End::Complete => None,
            End::SourceGone => Some("the source has gone"),
            End::Deadline => Some("it did not end in time"),
        };
        if let Some(why) = why {
            let text = format!("failed on its host: {why}; it is half rewound");
            return Err(Outcome::Unknown(Trouble::on(
                TroubleKind::Unknown,
                node,
                text,
            )));
        }
        self.with(|w| w.renewed(id, up));
        Ok(Json::Null)
    }

    pub(super) async fn copy(
        &self,
        node: &NodeName,
        upstream: &NodeName,
        slot: Option<&SlotName>,
        keep: bool,
        deadline: Duration,
    ) -> Done {
        let up = self.source(upstream)?;
        let id = self
            .run(node, |w, id| {
                w.may_renew(id, up)?;
                if w.node(id).rebuild.mounted {
                    return Err(Why::conflict(
                        "it is where a disk is mounted; it is as it was",
                    ));
                }
                let there = slot.is_none_or(|slot| w.node(up).slots.contains_key(slot));
                if !there {
                    return Err(Why::failed("the replication slot does not exist"));
                }
                if w.senders_are_taken(up) {
                    return Err(Why::failed("the source has no walsender left"));
                }
                Ok(id)
            })
            .await?;
        match self.copies(node, id, up, COPY, deadline).await? {
            End::Complete => {}
            End::SourceGone => {
                let why = "failed on its host: the source has gone; what it has is as it was";
                return Err(Outcome::Failed(Trouble::on(TroubleKind::Failed, node, why)));
            }
            End::Deadline => {
                let why = "failed on its host: it did not end in time";
                return Err(Outcome::Unknown(Trouble::on(
                    TroubleKind::Unknown,
                    node,
                    why,
                )));
            }
        }
        self.with(|w| w.renewed(id, up));
        let data = self.inventory.node(node).map(|n| n.data.clone());
        let old = data.unwrap_or_default().display().to_string();
        let old = if keep {
            format!("{old}.pgbaton.old")
        } else {
            String::new()
        };
        Ok(json!({ "old": old }))
    }

    /// Waits until everything is copied, or the source has gone, or the host ends it.
    async fn copies(
        &self,
        node: &NodeName,
        id: NodeId,
        up: NodeId,
        takes: Duration,
        deadline: Duration,
    ) -> Result<End, Outcome> {
        let failed = |why: Why| why.when_doing(node, "failed on its host");
        let takes = self.with(|w| w.about(takes));
        let end = Instant::now() + takes.min(deadline);
        loop {
            let left = end.saturating_duration_since(Instant::now()).min(LOOK);
            let gone = self.wait_on_host(node, id, left, |w| (!w.feeds(id, up)).then_some(()));
            if gone.await.map_err(failed)?.is_some() {
                return Ok(End::SourceGone);
            }
            if Instant::now() >= end {
                return Ok(if takes > deadline {
                    End::Deadline
                } else {
                    End::Complete
                });
            }
        }
    }
}
