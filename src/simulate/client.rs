//! Clients that write to the primary they reach, and remember what was acknowledged.

use super::event::Event;
use super::ids::{At, ClientId, HostId, Life, NodeId};
use super::node::{Commit, Disk, Waiter};
use super::world::World;
use std::time::Duration;

/// A commit's record and what comes with it.
const COMMIT: u64 = 120;
/// How long a client waits for its commit before it gives the session up; nobody knows then whether it happened.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a client works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Habit {
    /// One statement after the other: between them its session is idle, and ends with its postmaster.
    Statements,
    /// One endless statement that commits as it goes: its session outlives a killed postmaster.
    Loop,
}

/// A client.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) host: HostId,
    pub(super) every: Duration,
    pub(super) habit: Habit,
    pub(super) session: Option<(NodeId, Life)>,
    /// The commit whose answer it waits for, and since when.
    pub(super) waiting: Option<(Commit, At)>,
    /// What was acknowledged to it, with when.
    pub(super) acknowledged: Vec<(At, Commit)>,
}

impl World {
    pub(super) fn add_client(&mut self, host: HostId, every: Duration, habit: Habit) -> ClientId {
        let id = ClientId(self.clients.len());
        self.clients.push(Client {
            host,
            every,
            habit,
            session: None,
            waiting: None,
            acknowledged: Vec::new(),
        });
        let wait = self.about(every / 2);
        self.later(wait, Event::Write(id));
        id
    }

    /// All clients write no more often than this from now on.
    pub fn pace(&mut self, every: Duration) {
        for client in &mut self.clients {
            client.every = client.every.max(every);
        }
    }

    /// Clients in the middle of a statement on this server.
    pub(super) fn busy_clients(&self, node: NodeId, life: Life) -> Vec<ClientId> {
        (0..self.clients.len())
            .map(ClientId)
            .filter(|id| {
                let client = &self.clients[id.0];
                client.habit == Habit::Loop && client.session == Some((node, life))
            })
            .collect()
    }

    pub(super) fn client_writes(&mut self, id: ClientId) {
        let every = self.clients[id.0].every;
        if every.is_zero() {
            return;
        }
        // The longer a world lives the less often they write: a gap is still known to a fiftieth of its length.
        let age = self.now.since(At::default()) / 50;
        self.later(every.max(age), Event::Write(id));
        if let Some((_, since)) = self.clients[id.0].waiting {
            if self.now.since(since) < PATIENCE && self.session_lives(id) {
                return;
            }
            self.clients[id.0].waiting = None;
            self.clients[id.0].session = None;
        }
        if let Some(node) = self.outlived(id) {
            self.commit(id, node);
            return;
        }
        if !self.session_lives(id) {
            self.clients[id.0].session = self.primary_for(id);
        }
        if let Some((node, _)) = self.clients[id.0].session {
            self.commit(id, node);
        }
    }

    /// Its session goes on without a postmaster.
    fn outlived(&self, id: ClientId) -> Option<NodeId> {
        let (node, _) = self.clients[id.0].session?;
        let alive = self.host_up(self.node(node).host)
            && self.node(node).orphans.iter().any(|o| o.client == Some(id));
        alive.then_some(node)
    }

    fn session_lives(&self, id: ClientId) -> bool {
        let client = &self.clients[id.0];
        client.session.is_some_and(|(node, life)| {
            let node = self.node(node);
            node.writes() && node.life() == Some(life) && self.connected(client.host, node.host)
        })
    }

    fn primary_for(&self, id: ClientId) -> Option<(NodeId, Life)> {
        let host = self.clients[id.0].host;
        self.ids().find_map(|node| {
            let about = self.node(node);
            let reached = about.writes() && self.connected(host, about.host);
            Some((node, about.life().filter(|_| reached)?))
        })
    }

    fn commit(&mut self, client: ClientId, node: NodeId) {
        if self.node(node).disk == Disk::Stalls {
            // Its record is not made durable, so nobody hears of it.
            return;
        }
        self.write(node, COMMIT);
        let commit = Commit {
            node,
            branch: self.node(node).wal.branch,
            at: self.node(node).wal.end,
            waited: self.node(node).sync.is_some(),
        };
        if self.is_acknowledged(node, commit.at) {
            self.acknowledge(client, commit);
        } else {
            self.clients[client.0].waiting = Some((commit, self.now));
            let since = self.now;
            let waiter = Waiter {
                client,
                commit,
                since,
            };
            self.node_mut(node).waiters.push(waiter);
        }
    }

    pub(super) fn acknowledged(&mut self, id: ClientId, commit: Commit) {
        let now = self.now;
        let arrives = self.passes(self.node(commit.node).host, self.clients[id.0].host);
        let client = &mut self.clients[id.0];
        if client.waiting.is_some_and(|(waits, _)| waits == commit) {
            client.waiting = None;
        }
        let own = client.session.is_some_and(|(node, _)| node == commit.node);
        if arrives && own {
            client.acknowledged.push((now, commit));
        }
    }
}
