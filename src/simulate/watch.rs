//! The simulated side of the port: what a watch asks.

use super::cluster::{SimCluster, Way};
use super::ids::RUNNER;
use super::node::{Disk, Door, Hang, Phase};
use crate::cluster::{Knock, Load, Manager, ManagerKind, NodeName, Trouble, Watch};
use async_trait::async_trait;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How soon the end of a session is noticed.
const NOTICE: Duration = Duration::from_millis(5);
/// What `max_connections` is where nobody changed it.
const MOST: u32 = 100;

#[async_trait]
impl Watch for SimCluster {
    async fn knock(&self, node: &NodeName, within: Duration) -> Result<Knock, Trouble> {
        let id = self
            .id(node)
            .map_err(|why| why.when_asking(node, "failed"))?;
        let end = Instant::now() + within;
        sleep(Duration::from_millis(1)).await;
        let met = self.look(|w| {
            let about = w.node(id);
            if !w.connected(RUNNER, about.host) || about.unseen() {
                return Knock::Silent;
            }
            match &about.process {
                None => Knock::Closed,
                Some(_) if about.hang == Hang::Server => Knock::Mute,
                Some(process) if process.phase != Phase::Ready => Knock::NotNow,
                Some(_) => match about.door {
                    Door::Open | Door::Password => Knock::Opens,
                    Door::Full => Knock::Full,
                    Door::Barred => Knock::Denied,
                },
            }
        });
        if matches!(met, Knock::Mute | Knock::Silent) {
            sleep_until(end).await;
        }
        Ok(met)
    }

    async fn vigil(&self, node: &NodeName) -> Result<(), Trouble> {
        let life = self
            .ask(node, Way::Watch, |w, id| Ok(w.node(id).life()))
            .await;
        let life = life.map_err(|why| why.when_asking(node, "failed to watch"))?;
        let id = self
            .id(node)
            .map_err(|why| why.when_asking(node, "failed"))?;
        // The farewell of a server that ended while the way was cut is told when it is open again.
        while self.look(|w| {
            let about = w.node(id);
            about.life() == life || !w.connected(RUNNER, about.host)
        }) {
            sleep(NOTICE).await;
        }
        Ok(())
    }

    async fn load(&self, node: &NodeName) -> Result<Load, Trouble> {
        let told = self
            .ask(node, Way::Sql, |w, id| {
                let about = w.node(id);
                let waits = about.waiters.iter().map(|waiter| waiter.since);
                Ok(Load {
                    sessions: if about.door == Door::Full { MOST } else { 5 },
                    most: MOST,
                    waiting: u32::try_from(about.waiters.len()).unwrap_or(u32::MAX),
                    longest_ms: waits
                        .map(|since| w.now().since(since).as_millis())
                        .max()
                        .map_or(0, |ms| i64::try_from(ms).unwrap_or(i64::MAX)),
                    flushing_ms: if about.disk == Disk::Stalls {
                        i64::from(MOST) * 1000
                    } else {
                        0
                    },
                })
            })
            .await;
        told.map_err(|why| why.when_asking(node, "failed to ask how busy it is"))
    }

    async fn acting(&self, node: &NodeName, _within: Duration) -> Result<Vec<Manager>, Trouble> {
        let told = self
            .ask(node, Way::Sql, |w, id| Ok(w.node(id).managers.clone()))
            .await;
        let told = told
            .map_err(|why| why.when_asking(node, "failed to look for other managers' sessions"));
        let mut told = told?;
        told.retain(|manager| manager.kind != ManagerKind::Kbha);
        if self.inventory.repmgr.is_none() {
            let repmgrd = told.iter_mut().filter(|m| m.kind == ManagerKind::Repmgrd);
            repmgrd.for_each(|manager| manager.paused = None);
        }
        Ok(told)
    }

    async fn disk_answers(&self, node: &NodeName, within: Duration) -> Result<bool, Trouble> {
        let told = self
            .command(node, |w, id| Ok(w.node(id).disk == Disk::Works))
            .await;
        let answers = told.map_err(|why| why.when_asking(node, "failed to try its disk"))?;
        if !answers {
            sleep(within).await;
        }
        Ok(answers)
    }
}
