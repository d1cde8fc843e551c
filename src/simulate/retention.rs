//! Which WAL a node keeps, and for whom.

use super::conf::{KEEP, KEEP_SLOTS};
use super::ids::NodeId;
use super::wal::{BranchId, segment_start};
use super::world::World;
use crate::cluster::{Lsn, SlotName, WalStatus};

const MEGABYTE: i64 = 1 << 20;

impl World {
    /// The newest checkpoint record that a node on this branch has replayed.
    pub(super) fn checkpoint_before(&self, of: BranchId, replayed: Lsn) -> Option<(BranchId, Lsn)> {
        self.checkpoints
            .iter()
            .rev()
            .find(|(branch, at)| *at < replayed && self.branches.holds(of, *branch, Lsn(at.0 + 1)))
            .copied()
    }

    /// Removes what neither recovery nor a slot nor a setting keeps.
    pub(super) fn remove_old_wal(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        let limit = node.conf.number(KEEP_SLOTS);
        if limit >= 0 {
            let oldest = Lsn(node.wal.end.0.saturating_sub(bytes(limit)));
            for slot in node.slots.values_mut() {
                if slot
                    .restart
                    .is_some_and(|at| segment_start(at) < segment_start(oldest))
                {
                    slot.lost = true;
                    slot.restart = None;
                }
            }
        }
        let kept = node.slots.values().filter_map(|slot| slot.restart).min();
        let wanted = Lsn(node
            .control
            .redo
            .0
            .saturating_sub(bytes(node.conf.number(KEEP))));
        let begin = segment_start(kept.map_or(wanted, |kept| kept.min(wanted)));
        self.wal_begins(id, begin);
    }

    /// WAL before this position is gone.
    pub(super) fn wal_begins(&mut self, id: NodeId, begin: Lsn) {
        let node = self.node_mut(id);
        if begin <= node.wal.begin {
            return;
        }
        node.wal.begin = begin;
        for slot in node.slots.values_mut() {
            if slot.restart.is_some_and(|at| segment_start(at) < begin) {
                slot.lost = true;
                slot.restart = None;
            }
        }
        self.end_starved_streams(id, begin);
    }

    /// `pg_replication_slots.wal_status`.
    pub(super) fn wal_status(&self, id: NodeId, slot: &SlotName) -> WalStatus {
        let node = self.node(id);
        match node.slots.get(slot) {
            _ if node.version < 130_000 => WalStatus::Unknown,
            Some(slot) if slot.lost => WalStatus::Lost,
            Some(slot) => match slot.restart {
                // `max_wal_size` is 1 GB unless somebody changed it.
                Some(at) if node.wal.end.bytes_since(at) > 1024 * MEGABYTE => WalStatus::Extended,
                Some(_) => WalStatus::Reserved,
                None => WalStatus::Unknown,
            },
            None => WalStatus::Unknown,
        }
    }
}

fn bytes(megabytes: i64) -> u64 {
    u64::try_from(megabytes.saturating_mul(MEGABYTE)).unwrap_or(0)
}
