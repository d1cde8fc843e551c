//! What a statement or a command changes on a node.

use super::conf::{CONNINFO, Conf, KEPT, MAX_SLOTS, RESTORE, SLOT_NAME, Target, Value};
use super::conf::{Context, context};
use super::fault::Fault;
use super::ids::NodeId;
use super::node::{Saved, SlotState};
use super::world::World;
use crate::cluster::{Lsn, ManagerKind, NodeName, RepmgrRow, SlotName};
use foldhash::quality::FixedState;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::hash::BuildHasher as _;

/// A mark's record and its commit.
const MARK: u64 = 150;

/// There is no such table.
pub(super) fn no_repmgr() -> Fault {
    Fault::failed("relation \"repmgr.nodes\" does not exist [42P01]")
}

impl World {
    /// `pg_create_physical_replication_slot(…, true)`.
    pub(super) fn create_slot(&mut self, id: NodeId, name: &SlotName) -> Result<(), Fault> {
        let node = self.node_mut(id);
        let most = usize::try_from(node.conf.number(MAX_SLOTS)).unwrap_or(0);
        match node.slots.get(name) {
            Some(slot) if slot.physical => Ok(()),
            Some(_) => Err(Fault::conflict("a logical slot of that name exists")),
            None if node.slots.len() >= most => {
                Err(Fault::failed("all replication slots are in use [53400]"))
            }
            None => {
                let restart = node.control.redo.max(node.wal.begin);
                node.slots
                    .insert(name.clone(), SlotState::keeping(Some(restart)));
                Ok(())
            }
        }
    }

    /// `pg_drop_replication_slot(…)`.
    pub(super) fn drop_slot(&mut self, id: NodeId, name: &SlotName) -> Result<(), Fault> {
        if let Some(pid) = self.holder(id, name) {
            return Err(Fault::conflict(format!(
                "replication slot \"{name}\" is active for PID {pid} [55006]"
            )));
        }
        self.node_mut(id).slots.remove(name);
        Ok(())
    }

    /// A message that is committed locally. Where the log ends after it.
    pub(super) fn mark(&mut self, id: NodeId) -> Result<Lsn, Fault> {
        if self.node(id).is_standby() {
            return Err(Fault::conflict("recovery is in progress [55000]"));
        }
        self.write(id, MARK);
        Ok(self.node(id).wal.end)
    }

    /// Sets the flag that the server's repmgrd heeds.
    pub(super) fn pause_repmgrd(&mut self, id: NodeId, paused: bool) {
        let managers = self.node_mut(id).managers.iter_mut();
        for manager in managers.filter(|m| m.kind == ManagerKind::Repmgrd) {
            manager.paused = Some(paused);
        }
    }

    /// Changes rows of repmgr's table; others that are named are not there, and stay so.
    pub(super) fn update_repmgr(&mut self, id: NodeId, rows: &[RepmgrRow]) -> Result<(), Fault> {
        if self.node(id).is_standby() {
            return Err(Fault::conflict(
                "cannot execute UPDATE in a read-only transaction [25006]",
            ));
        }
        let table = self.repmgr.as_mut().ok_or_else(no_repmgr)?;
        for row in rows {
            for node in table.iter_mut().filter(|node| node.row.id == row.id) {
                node.row = row.clone();
            }
        }
        self.write(id, MARK);
        Ok(())
    }

    /// The running server changes this setting by a reload.
    pub(super) fn reloads(&self, id: NodeId, name: &str) -> bool {
        context(self.node(id).version, name) != Context::Restart
    }

    /// What `SetUpstream` writes for this upstream.
    pub(super) fn upstream_values(
        application: &NodeName,
        address: (String, u16),
        slot: Option<&SlotName>,
    ) -> [(&'static str, Value); 2] {
        let target = Target {
            host: address.0,
            port: address.1,
            application: application.to_string(),
        };
        let slot = slot.map_or("", SlotName::as_str);
        [
            (CONNINFO, Value::Target(target)),
            (SLOT_NAME, Value::text(slot)),
        ]
    }

    /// Keeps the settings. What this owner has kept already stays.
    pub(super) fn save(&mut self, id: NodeId, tag: &str, owner: &str) -> String {
        let node = self.node_mut(id);
        let kept = node.saved.get(tag).is_some_and(|s| s.owner == owner);
        // Of another run that died between the change and its coming into force: what is in force is what is to be restored.
        let unforced = node.saved.get(tag).is_some_and(|s| {
            let mut waiting = KEPT
                .iter()
                .filter(|name| node.conf.wanted(name) != node.conf.running(name))
                .peekable();
            s.contents_known
                && waiting.peek().is_some()
                && waiting.all(|name| s.values.get(*name) == node.conf.running(name))
        });
        if let Some(saved) = node
            .saved
            .get_mut(tag)
            .filter(|_| unforced && node.process.is_some())
        {
            owner.clone_into(&mut saved.owner);
        } else if !kept {
            let values = KEPT
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), node.conf.auto.get(*name)?.clone())))
                .collect();
            node.saved.insert(
                tag.to_owned(),
                Saved {
                    owner: owner.to_owned(),
                    values,
                    contents_known: true,
                },
            );
        }
        // Tells whether it is still the same, no more.
        let hash = FixedState::default().hash_one(node.saved.get(tag));
        format!("{hash:016x}")
    }

    /// What is kept, for a restore of these settings; none where a restore has nothing to do.
    pub(super) fn kept(
        &self,
        id: NodeId,
        tag: &str,
        archive_only: bool,
    ) -> Result<Option<Changes>, Fault> {
        match self.node(id).saved.get(tag) {
            Some(saved) if saved.contents_known => {
                let names: &[&str] = if archive_only { &[RESTORE] } else { &KEPT };
                let change = |name: &&str| ((*name).to_owned(), saved.values.get(*name).cloned());
                Ok(Some(names.iter().map(change).collect()))
            }
            // Its contents never left the node: what it would put back is not known here.
            Some(_) => Ok(Some(Changes::new())),
            None if archive_only => Ok(None),
            None => Err(Fault::conflict(format!(
                "nothing is kept in pgbaton.saved.{tag}"
            ))),
        }
    }

    /// Sets these settings in the server's own file, or takes them out of it.
    pub(super) fn edit(&mut self, id: NodeId, changes: &Changes) {
        let conf: &mut Conf = &mut self.node_mut(id).conf;
        for (name, value) in changes {
            match value {
                Some(value) => conf.auto.insert(name.clone(), value.clone()),
                None => conf.auto.remove(name),
            };
        }
    }

    /// SIGTERM to a walreceiver, if it is one.
    pub(super) fn terminate_receiver(&mut self, id: NodeId, pid: u32) -> Result<(), Fault> {
        if self.receiver_pid(id) == Some(pid) {
            self.end_receiver(id);
            // The startup process notices, and looks for WAL again.
            self.failed_to_stream(id);
            return Ok(());
        }
        let node = self.node(id);
        let is_ours = node.process.as_ref().is_some_and(|p| p.pid == pid)
            || node.orphans.iter().any(|o| o.pid == pid);
        if is_ours {
            return Err(Fault::conflict(format!(
                "process {pid} is not a walreceiver"
            )));
        }
        Ok(())
    }

    /// SIGKILL to processes that outlived their postmaster.
    pub(super) fn end_orphans(&mut self, id: NodeId, pids: &[u32]) -> Result<(), Fault> {
        let node = self.node_mut(id);
        if let Some(process) = &node.process
            && pids.contains(&process.pid)
        {
            return Err(Fault::conflict(format!(
                "process {0} belongs to the living postmaster {0}",
                process.pid
            )));
        }
        node.orphans.retain(|orphan| !pids.contains(&orphan.pid));
        Ok(())
    }
}

/// Settings and their values; none: not in the file.
pub(super) type Changes = BTreeMap<String, Option<Value>>;

pub(super) fn saved_answer(path: &str, hash: &str) -> Json {
    json!({ "path": path, "hash": hash })
}
