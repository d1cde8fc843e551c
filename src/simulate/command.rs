//! How a command reaches a node's host, and how its answer comes back.

use super::cluster::SimCluster;
use super::fault::Fault;
use super::ids::{NodeId, RUNNER};
use super::network::Shell;
use super::world::World;
use crate::cluster::{NodeName, Transport};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The same for a command on a host.
const SSH: Duration = Duration::from_secs(5);
/// What a host that is silent in the middle of a command is given by ssh's own keep-alives.
const SSH_ALIVE: Duration = Duration::from_secs(6);
const SHELL_HOP: Duration = Duration::from_millis(2);
const LOCAL_HOP: Duration = Duration::from_micros(500);

impl SimCluster {
    /// Whether the node's host is this machine: then its files and processes need no connection.
    fn is_here(&self, name: &NodeName) -> bool {
        self.inventory
            .node(name)
            .is_some_and(|n| matches!(n.transport, Transport::Local { .. }))
    }

    /// Sends a command to a node's host and does `work` where it arrives. A host that does not answer has provably not
    /// been told to go.
    pub(super) async fn command<T>(
        &self,
        name: &NodeName,
        work: impl FnOnce(&mut World, NodeId) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let id = self.id(name)?;
        let here = self.is_here(name);
        self.greet(name, id, here).await?;
        self.hop(if here { LOCAL_HOP } else { SHELL_HOP }).await;
        let arrived = self.look(|w| here || w.passes(RUNNER, w.node(id).host));
        if !arrived {
            return Err(self.lost().await);
        }
        let result = self.with(|w| work(w, id))?;
        self.hop(if here { LOCAL_HOP } else { SHELL_HOP }).await;
        if !self.hears(id, here) {
            return Err(self.lost().await);
        }
        Ok(result)
    }

    async fn greet(&self, name: &NodeName, id: NodeId, here: bool) -> Result<(), Fault> {
        if !self.has_way(name) {
            return Err(Fault::unreachable(
                "the site file gives no way to run commands on its host",
            ));
        }
        let (dark, up, connected, shell) = self.look(|w| {
            let node = w.node(id);
            let machine = &w.machines[node.host.0];
            (
                node.dark.host.clone(),
                machine.up,
                w.connected(RUNNER, node.host),
                machine.shell,
            )
        });
        if let Some(trouble) = dark {
            // A host that nobody could reach was silent, as far as anybody knows.
            sleep(SSH).await;
            return Err(Fault::Recorded(trouble));
        }
        if here && up {
            return Ok(());
        }
        if !connected || shell == Shell::Hangs {
            sleep(SSH).await;
            return Err(Fault::unreachable(format!(
                "failed to run a command on its host: no ssh connection within {} s",
                SSH.as_secs_f64()
            )));
        }
        if shell == Shell::Refuses {
            self.hop(SHELL_HOP).await;
            return Err(Fault::unreachable(
                "failed to run a command on its host: no ssh connection: Connection refused",
            ));
        }
        Ok(())
    }

    /// The site file gives a way to run commands on its host.
    pub(super) fn has_way(&self, name: &NodeName) -> bool {
        let node = self.inventory.node(name);
        node.is_some_and(|n| n.transport != Transport::None)
    }

    /// What a command says still gets back.
    pub(super) fn hears(&self, id: NodeId, here: bool) -> bool {
        self.look(|w| {
            let host = w.node(id).host;
            let shell = w.machines[host.0].shell;
            w.host_up(host)
                && (here || (w.connected(RUNNER, host) && shell != Shell::DiesAfterSend))
        })
    }

    async fn lost(&self) -> Fault {
        sleep(SSH_ALIVE).await;
        Fault::Lost("the connection was lost while the command ran".to_owned())
    }

    /// Waits on a node's host until the world is so; none when this took too long.
    pub(super) async fn wait_on_host<T>(
        &self,
        name: &NodeName,
        id: NodeId,
        within: Duration,
        is_so: impl Fn(&World) -> Option<T>,
    ) -> Result<Option<T>, Fault> {
        let end = Instant::now() + within;
        let here = self.is_here(name);
        loop {
            if !self.hears(id, here) {
                return Err(self.lost().await);
            }
            let (found, next) = self.look(|w| (is_so(w), w.next_event()));
            if let Some(found) = found {
                return Ok(Some(found));
            }
            let now = Instant::now();
            if now >= end {
                return Ok(None);
            }
            // Nothing changes before the next event, nor faster than a host looks.
            let next = next.map_or(within, |at| at.since(self.now()));
            let wait = next.max(Duration::from_millis(3)).min(end - now);
            sleep(wait).await;
        }
    }
}
