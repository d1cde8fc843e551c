//! What happens to a site from outside: faults, and their end.

use super::event::Event;
use super::ids::{At, HostId, NodeId, RUNNER};
use super::network::Shell;
use super::node::{Disk, Door, Hang};
use super::world::World;
use crate::cluster::{NodeName, SlotName, StopMode};
use serde::{Deserialize, Serialize};

/// A machine, as a disruption names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Where pgbaton runs.
    Runner,
    /// Where the first client runs.
    Client,
    /// A node's host.
    Node(NodeName),
}

/// Something that happens to a site. What names a node that is not there does nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disruption {
    /// `kill -9` of the postmaster; sessions that are busy outlive it.
    KillServer(NodeName),
    /// Somebody stops the server cleanly.
    StopServer(NodeName),
    /// Somebody, or a service manager, starts the server as its files are: a primary, unless `standby.signal` is there.
    StartServer(NodeName),
    /// The node is as somebody finds it who repairs it: the machine is up, its ways are open, and its server goes on or is
    /// started as its files are.
    ComeBack(NodeName),
    /// Nothing gets from the node's machine to those of the other nodes or back; pgbaton and the clients reach it.
    Part(NodeName),
    /// Nothing gets from pgbaton to the node's machine or back; the others reach it.
    Lose(NodeName),
    /// SIGSTOP to all of the server.
    Freeze(NodeName),
    /// SIGCONT.
    Thaw(NodeName),
    /// One session does not react any more: a fast stop does not end.
    HangSession(NodeName),
    /// The machine loses its power.
    HostDown(NodeName),
    /// The machine is back; its servers do not run.
    HostUp(NodeName),
    /// Nothing gets from one machine to the other any more. The way back stays.
    Cut(Place, Place),
    /// It does again.
    Mend(Place, Place),
    /// Nothing gets to the node's machine or from it.
    Isolate(NodeName),
    /// Everything does again.
    Rejoin(NodeName),
    /// Commands on the node's machine fare like this from now on.
    Shell(NodeName, Shell),
    /// New sessions of pgbaton's fare like this from now on.
    Door(NodeName, Door),
    /// The disk below the node's data does nothing any more: what is to be made durable waits.
    StallDisk(NodeName),
    /// It goes on.
    ResumeDisk(NodeName),
    /// The walreceiver takes nothing off the wire (SIGSTOP to it alone).
    StallReceiver(NodeName),
    /// It goes on.
    ResumeReceiver(NodeName),
    /// `pg_wal_replay_pause()`.
    PauseReplay(NodeName),
    /// `pg_wal_replay_resume()`.
    ResumeReplay(NodeName),
    /// The slot has lost its WAL.
    LoseSlot(NodeName, SlotName),
    /// All WAL before the node's last segment is gone.
    DropWal(NodeName),
    /// A promotion behind pgbaton's back.
    Promote(NodeName),
    /// The server does not start any more: its files hold a mistake.
    BreakFiles(NodeName),
    /// So much WAL is written on the node, if it is a primary.
    Write(NodeName, u64),
}

impl World {
    /// Arranges for something to happen then.
    pub fn schedule(&mut self, at: At, disruption: Disruption) {
        self.later(at.since(self.now), Event::Disrupt(Box::new(disruption)));
    }

    /// Lets it happen now.
    pub fn disrupt(&mut self, disruption: &Disruption) {
        match disruption {
            Disruption::Cut(from, to) => self.cut(from, to, true),
            Disruption::Mend(from, to) => self.cut(from, to, false),
            other => {
                if let Some(id) = other.node().and_then(|name| self.find(name)) {
                    self.disrupt_node(id, other);
                }
            }
        }
        self.changed();
    }

    fn disrupt_node(&mut self, id: NodeId, disruption: &Disruption) {
        let host = self.node(id).host;
        match disruption {
            Disruption::KillServer(_) => self.kill_postmaster(id),
            Disruption::StopServer(_) => self.stop(id, StopMode::Fast),
            Disruption::StartServer(_) => {
                if self.node(id).process.is_none() && self.host_up(host) {
                    // One that does not start stays down, as nobody waits for it.
                    let _ = self.start(id);
                }
            }
            Disruption::ComeBack(_) => {
                self.machines[host.0].up = true;
                self.isolate(host, false);
                self.hang(id, Hang::None);
                if self.node(id).process.is_none() {
                    let _ = self.start(id);
                }
            }
            Disruption::Part(_) => {
                let others: Vec<HostId> = self.nodes.iter().map(|n| n.host).collect();
                self.isolate_from(host, others.into_iter(), true);
            }
            Disruption::Lose(_) => self.isolate_from(host, std::iter::once(RUNNER), true),
            Disruption::Freeze(_) => self.hang(id, Hang::Server),
            Disruption::Thaw(_) => self.hang(id, Hang::None),
            Disruption::HangSession(_) => self.hang(id, Hang::Backend),
            Disruption::HostDown(_) => self.host_down(host),
            Disruption::HostUp(_) => {
                self.machines[host.0].up = true;
                self.ways_changed();
            }
            Disruption::Isolate(_) => self.isolate(host, true),
            Disruption::Rejoin(_) => self.isolate(host, false),
            Disruption::Shell(_, shell) => self.machines[host.0].shell = *shell,
            Disruption::Door(_, door) => self.node_mut(id).door = *door,
            Disruption::StallDisk(_) => self.node_mut(id).disk = Disk::Stalls,
            Disruption::ResumeDisk(_) => self.node_mut(id).disk = Disk::Works,
            Disruption::StallReceiver(_) => self.node_mut(id).replay.stalled = true,
            Disruption::ResumeReceiver(_) => self.resume_receiver(id),
            Disruption::PauseReplay(_) => self.node_mut(id).replay.paused = true,
            Disruption::ResumeReplay(_) => self.resume_replay(id),
            Disruption::LoseSlot(_, name) => {
                if let Some(slot) = self.node_mut(id).slots.get_mut(name) {
                    slot.lost = true;
                    slot.restart = None;
                }
                self.end_starved_streams(id, self.node(id).wal.begin);
            }
            Disruption::DropWal(_) => {
                let begin = super::wal::segment_start(self.node(id).wal.end);
                self.wal_begins(id, begin);
            }
            Disruption::Promote(_) => {
                self.promote(id);
            }
            Disruption::BreakFiles(_) => {
                self.node_mut(id).broken =
                    Some("FATAL:  configuration file contains errors".to_owned());
            }
            Disruption::Write(_, bytes) => {
                if self.node(id).writes() {
                    self.write(id, *bytes);
                }
            }
            Disruption::Cut(..) | Disruption::Mend(..) => {}
        }
    }

    /// Ends every fault of the network and of the machines: ways are open, machines are up, commands run, what was
    /// stopped by a signal goes on. Servers that are down stay down, and
    /// files that hold a mistake hold it.
    pub fn heal(&mut self) {
        self.links.cut.clear();
        for machine in &mut self.machines {
            machine.up = true;
            machine.shell = Shell::Works;
        }
        for id in self.ids() {
            self.node_mut(id).hang = Hang::None;
            self.node_mut(id).door = Door::Open;
            self.node_mut(id).disk = Disk::Works;
            self.resume_receiver(id);
            self.resume_replay(id);
        }
        self.ways_changed();
        self.changed();
    }

    fn place(&self, place: &Place) -> Option<HostId> {
        match place {
            Place::Runner => Some(RUNNER),
            Place::Client => self.clients.first().map(|c| c.host),
            Place::Node(name) => self.find(name).map(|id| self.node(id).host),
        }
    }

    fn cut(&mut self, from: &Place, to: &Place, cut: bool) {
        if let (Some(from), Some(to)) = (self.place(from), self.place(to)) {
            if cut {
                self.links.cut.insert((from, to));
            } else {
                self.links.cut.remove(&(from, to));
            }
            self.ways_changed();
        }
    }

    fn isolate(&mut self, host: HostId, cut: bool) {
        self.isolate_from(host, (0..self.machines.len()).map(HostId), cut);
    }

    fn isolate_from(&mut self, host: HostId, others: impl Iterator<Item = HostId>, cut: bool) {
        let ways: Vec<_> = others
            .filter(|other| *other != host)
            .flat_map(|other| [(host, other), (other, host)])
            .collect();
        for way in ways {
            if cut {
                self.links.cut.insert(way);
            } else {
                self.links.cut.remove(&way);
            }
        }
        self.ways_changed();
    }

    fn hang(&mut self, id: NodeId, hang: Hang) {
        if self.node(id).process.is_some() {
            self.node_mut(id).hang = hang;
            self.ways_changed();
        }
    }

    fn host_down(&mut self, host: HostId) {
        self.machines[host.0].up = false;
        self.ways_changed();
        for id in self
            .ids()
            .filter(|id| self.nodes[id.0].host == host)
            .collect::<Vec<_>>()
        {
            self.exit(id);
            self.node_mut(id).orphans.clear();
        }
    }

    fn resume_receiver(&mut self, id: NodeId) {
        self.node_mut(id).replay.stalled = false;
        for stream in self.streams_of(id) {
            self.send(stream);
        }
    }

    fn resume_replay(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        if std::mem::take(&mut node.replay.paused) && node.is_standby() {
            let end = node.wal.end;
            self.replay(id, end);
            self.nudge(id);
        }
    }
}

impl Disruption {
    /// The node that it happens to.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::KillServer(node)
            | Self::StopServer(node)
            | Self::StartServer(node)
            | Self::ComeBack(node)
            | Self::Part(node)
            | Self::Lose(node)
            | Self::Freeze(node)
            | Self::Thaw(node)
            | Self::HangSession(node)
            | Self::HostDown(node)
            | Self::HostUp(node)
            | Self::Isolate(node)
            | Self::Rejoin(node)
            | Self::Shell(node, _)
            | Self::Door(node, _)
            | Self::StallDisk(node)
            | Self::ResumeDisk(node)
            | Self::StallReceiver(node)
            | Self::ResumeReceiver(node)
            | Self::PauseReplay(node)
            | Self::ResumeReplay(node)
            | Self::LoseSlot(node, _)
            | Self::DropWal(node)
            | Self::Promote(node)
            | Self::BreakFiles(node)
            | Self::Write(node, _) => Some(node),
            Self::Cut(..) | Self::Mend(..) => None,
        }
    }
}
