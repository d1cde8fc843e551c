//! How a server starts, stops, dies, and becomes a primary.

use super::event::Event;
use super::ids::{Life, NodeId, StreamId};
use super::node::{Hang, Orphan, Phase, Process};
use super::world::World;
use crate::cluster::{ControlState, Lsn, SlotOrigin, StopMode, Timeline};
use std::time::Duration;

const START: Duration = Duration::from_millis(90);
/// What crash recovery takes besides.
const RECOVER: Duration = Duration::from_millis(150);
/// Ending the sessions and writing a checkpoint.
const FAST: Duration = Duration::from_millis(60);
const IMMEDIATE: Duration = Duration::from_millis(10);
/// A postmaster gives its children this long after an immediate stop.
const CHILDREN: Duration = Duration::from_secs(5);
const PROMOTE: Duration = Duration::from_millis(50);
const CHECKPOINT_AFTER_PROMOTION: Duration = Duration::from_secs(5);
const DRAIN: Duration = Duration::from_mins(1);
const RELOAD: Duration = Duration::from_micros(1500);
/// Until a server that is stopped by SIGSTOP is looked at again.
const THAW: Duration = Duration::from_secs(1);
const CHECKPOINT_RECORD: u64 = 0x78;
const END_OF_RECOVERY: u64 = 0x38;

impl World {
    /// Starts a server that does not run.
    pub(super) fn start(&mut self, id: NodeId) -> Result<(), String> {
        if let Some(why) = &self.node(id).broken {
            return Err(why.clone());
        }
        if self.node(id).half_rewound {
            return Err("a rewind of it did not end: what lies there is no state of any server, and it is not started".to_owned());
        }
        if !self.node(id).orphans.is_empty() {
            return Err("pre-existing shared memory block is still in use".to_owned());
        }
        let (pid, life) = (self.pid(), self.new_life());
        let clean = matches!(
            self.node(id).control.state,
            ControlState::ShutDown | ControlState::ShutDownInRecovery
        );
        let node = self.node_mut(id);
        node.conf.load();
        node.replay.paused = false;
        node.process = Some(Process {
            pid,
            life,
            phase: Phase::Starting,
            recovery: node.signal,
            promoting: false,
        });
        self.settings_taken(id);
        let mut wait = self.about(START);
        if !clean {
            wait += self.about(RECOVER);
        }
        self.later(wait, Event::Started(id, life));
        Ok(())
    }

    pub(super) fn started(&mut self, id: NodeId, life: Life) {
        let node = self.node_mut(id);
        let hung = node.hang == Hang::Server;
        let Some(process) = node.process.as_mut().filter(|p| p.life == life) else {
            return;
        };
        if hung {
            self.later(THAW, Event::Started(id, life));
            return;
        }
        process.phase = Phase::Ready;
        node.wal.received = None;
        node.wal.replayed = node.wal.end;
        if process.recovery {
            node.control.state = ControlState::ArchiveRecovery;
            self.receive(id);
        } else {
            node.control.state = ControlState::InProduction;
            self.checkpoint(id);
        }
    }

    /// Tells a server to stop. Its end comes later, or not at all.
    pub(super) fn stop(&mut self, id: NodeId, mode: StopMode) {
        if mode == StopMode::Kill {
            self.exit(id);
            self.node_mut(id).orphans.clear();
            return;
        }
        let hang = self.node(id).hang;
        let node = self.node_mut(id);
        let Some(process) = node.process.as_mut() else {
            return;
        };
        match process.phase {
            Phase::Stopping(before) if before >= mode => return,
            _ => process.phase = Phase::Stopping(mode),
        }
        let life = process.life;
        if hang != Hang::Server {
            self.end_receiver(id);
        }
        let wait = match (mode, hang) {
            (_, Hang::Server) => THAW,
            (StopMode::Fast, Hang::Backend) => return,
            (StopMode::Fast, Hang::None) => self.about(FAST),
            (_, Hang::Backend) => CHILDREN,
            (_, Hang::None) => self.about(IMMEDIATE),
        };
        self.later(wait, Event::Stopped(id, life));
    }

    /// A fast stop whose sessions are ended: one that a signal has stopped goes on, and ends. The error is why nobody is
    /// ended, and so nothing waited for.
    pub(super) fn end_sessions(&mut self, id: NodeId) -> Result<(), String> {
        let node = self.node(id);
        let Some(process) = &node.process else {
            return Ok(());
        };
        let (life, hang) = (process.life, node.hang);
        let before = matches!(process.phase, Phase::Stopping(_) | Phase::Draining);
        self.stop(id, StopMode::Fast);
        match hang {
            Hang::Server => Err("the postmaster itself is stopped by a signal".to_owned()),
            Hang::None if before => Err("no session is left that could be ended".to_owned()),
            Hang::None => Ok(()),
            Hang::Backend => {
                self.node_mut(id).hang = Hang::None;
                let wait = self.about(FAST);
                self.later(wait, Event::Stopped(id, life));
                Ok(())
            }
        }
    }

    pub(super) fn stopped(&mut self, id: NodeId, life: Life) {
        let node = self.node(id);
        let Some(process) = node.process.as_ref().filter(|p| p.life == life) else {
            return;
        };
        let recovery = process.recovery;
        match (process.phase, node.hang) {
            (Phase::Stopping(_), Hang::Server) => self.later(THAW, Event::Stopped(id, life)),
            (Phase::Stopping(StopMode::Fast), Hang::Backend) => {}
            (Phase::Stopping(StopMode::Fast), Hang::None) if recovery => {
                self.checkpoint(id);
                self.node_mut(id).control.state = ControlState::ShutDownInRecovery;
                self.exit(id);
            }
            // It archives what waits before it shuts down, however long that takes.
            (Phase::Stopping(StopMode::Fast), Hang::None) if self.node(id).archive_hangs() => {}
            (Phase::Stopping(StopMode::Fast), Hang::None) => {
                self.checkpoint(id);
                if let Some(process) = self.node_mut(id).process.as_mut() {
                    process.phase = Phase::Draining;
                }
                self.later(DRAIN, Event::DrainedEnough(id, life));
                self.drain(id);
            }
            (Phase::Stopping(_), _) => self.exit(id),
            _ => {}
        }
    }

    /// A primary that stops waits until its standbys have its last record.
    pub(super) fn drain(&mut self, id: NodeId) {
        let end = self.node(id).wal.end;
        let all_have_it = self
            .fed_by(id)
            .iter()
            .filter_map(|stream| self.streams.get(stream))
            .all(|stream| stream.flushed >= Some(end));
        if all_have_it && self.node(id).hang != Hang::Server {
            self.node_mut(id).control.state = ControlState::ShutDown;
            self.exit(id);
        }
    }

    pub(super) fn drained_enough(&mut self, id: NodeId, life: Life) {
        let node = self.node(id);
        if node.life() != Some(life) {
            return;
        }
        if node.hang == Hang::Server {
            self.later(THAW, Event::DrainedEnough(id, life));
            return;
        }
        self.node_mut(id).control.state = ControlState::ShutDown;
        self.exit(id);
    }

    /// The server's processes are gone, all at once.
    pub(super) fn exit(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        node.process = None;
        // Whatever could not be found out of the server that ran is over with it.
        node.dark.sql = None;
        let hung = std::mem::replace(&mut node.hang, Hang::None) == Hang::Server;
        node.restart_receiver = false;
        node.waiters.clear();
        node.strangers.clear();
        for slot in node.slots.values_mut() {
            slot.stranger = None;
        }
        self.end_receiver(id);
        for stream in self.fed_by(id) {
            self.sender_ends(stream);
        }
        if hung {
            // The kernel says farewell for a process that could not.
            self.ways_changed();
        }
    }

    /// The postmaster is killed. Its children notice and end, but for sessions that are busy: those go on committing,
    /// where commits wait for nobody.
    pub(super) fn kill_postmaster(&mut self, id: NodeId) {
        let Some(life) = self.node(id).life() else {
            return;
        };
        let waits = self.node(id).sync.is_some();
        let busy: Vec<_> = self.busy_clients(id, life);
        self.exit(id);
        if waits {
            return;
        }
        for client in busy {
            let pid = self.pid();
            self.node_mut(id).orphans.push(Orphan {
                pid,
                client: Some(client),
            });
        }
    }

    /// `pg_promote(false)`.
    pub(super) fn promote(&mut self, id: NodeId) -> bool {
        let node = self.node_mut(id);
        let Some(process) = node.process.as_mut().filter(|p| p.recovery) else {
            return false;
        };
        if !process.promoting {
            process.promoting = true;
            let life = process.life;
            let wait = self.about(PROMOTE);
            self.later(wait, Event::Promoted(id, life));
        }
        true
    }

    pub(super) fn promoted(&mut self, id: NodeId, life: Life) {
        let node = self.node(id);
        let Some(process) = node.process.as_ref().filter(|p| p.life == life) else {
            return;
        };
        if !process.promoting || process.phase != Phase::Ready {
            return;
        }
        if node.hang == Hang::Server {
            self.later(THAW, Event::Promoted(id, life));
            return;
        }
        self.end_receiver(id);
        let (parent, end) = (self.node(id).wal.branch, self.node(id).wal.end);
        let timeline = Timeline(self.branches.timeline(parent).0 + 1);
        let branch = self.branches.fork(parent, end, timeline);
        let node = self.node_mut(id);
        node.replay.paused = false;
        // What is not copied to its end goes; the rest is the node's own now.
        node.slots
            .retain(|_, slot| slot.origin != SlotOrigin::Copying);
        for slot in node.slots.values_mut() {
            slot.origin = SlotOrigin::Own;
        }
        node.signal = false;
        node.wal.branch = branch;
        node.wal.replayed = end;
        node.control.state = ControlState::InProduction;
        if let Some(process) = node.process.as_mut() {
            process.recovery = false;
            process.promoting = false;
        }
        self.promotions.push((self.now, id));
        self.write(id, END_OF_RECOVERY);
        let wait = self.about(CHECKPOINT_AFTER_PROMOTION);
        // Until then its control data still tells the old timeline.
        self.later(wait, Event::Checkpointed(id, life));
    }

    /// `pg_reload_conf()`: the server's processes hear of it in a moment.
    pub(super) fn reload(&mut self, id: NodeId) {
        if let Some(life) = self.node(id).life() {
            let wait = self.about(RELOAD);
            self.later(wait, Event::Reloaded(id, life));
        }
    }

    pub(super) fn reloaded(&mut self, id: NodeId, life: Life) {
        let node = self.node_mut(id);
        if node.life() != Some(life) {
            return;
        }
        if node.hang == Hang::Server {
            self.later(THAW, Event::Reloaded(id, life));
            return;
        }
        let told = |node: &super::node::Node| {
            use super::conf::{CONNINFO, SLOT_NAME};
            let of = |name| node.conf.running(name).cloned();
            (of(CONNINFO), of(SLOT_NAME))
        };
        let before = told(node);
        node.conf.reload(node.version);
        let changed = told(node) != before;
        self.settings_taken(id);
        if !self.node(id).is_standby() {
            return;
        }
        if changed {
            self.upstream_changed(id);
        }
        self.nudge(id);
    }

    /// A checkpoint on a primary, a restartpoint on a standby; old WAL goes.
    pub(super) fn checkpoint(&mut self, id: NodeId) {
        let branch = self.node(id).wal.branch;
        if self.node(id).is_standby() {
            let last = self.checkpoint_before(branch, self.node(id).wal.replayed);
            if let Some((branch, at)) = last {
                let timeline = self.branches.timeline(branch);
                self.note_checkpoint(id, timeline, at);
            }
        } else {
            let at = self.write(id, CHECKPOINT_RECORD);
            self.checkpoints.push((branch, at));
            let timeline = self.branches.timeline(branch);
            self.note_checkpoint(id, timeline, at);
        }
        self.remove_old_wal(id);
    }

    fn note_checkpoint(&mut self, id: NodeId, timeline: Timeline, at: Lsn) {
        let control = &mut self.node_mut(id).control;
        control.checkpoint = at;
        control.redo = at;
        control.timeline = timeline;
    }

    /// All streams with an end on this node.
    pub(super) fn streams_of(&self, id: NodeId) -> Vec<StreamId> {
        self.streams
            .iter()
            .filter(|(_, s)| s.up == id || s.down == id)
            .map(|(stream, _)| *stream)
            .collect()
    }
}
