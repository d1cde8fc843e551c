//! The simulated side of the port: what can be asked.

use super::cluster::{REPLY, SimCluster, Way};
use super::effects::no_repmgr;
use super::fault::Fault as Why;
use super::ids::{HostId, RUNNER};
use super::inject::{Fault, What};
use super::node::{Hang, Phase};
use crate::cluster::{
    Admission, Archiving, Footing, Forbidden, History, Host, Identity, Inventory, Lsn, ManagerKind,
    Managers, NodeName, Observe, Reach, Rebuild, Remembered, Render, RepmgrNode, Sender, Server,
    Setting, Slot, Timeline, Trouble, TroubleKind, WalFiles,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a standby's login waits for an answer.
const JOINING: Duration = Duration::from_secs(5);

impl SimCluster {
    /// Asks, unless the question meets a fault.
    async fn question<T>(
        &self,
        name: &'static str,
        node: &NodeName,
        ask: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let now = self.now();
        let met = self
            .state()
            .injections
            .meets(now, Some(node), What::Observe(name));
        let injected = |kind, text: &str| {
            let text = format!("failed to ask for `{name}`: {text} (injected)");
            Err(Trouble::on(kind, node, text))
        };
        match met {
            None => ask.await,
            Some(Fault::FailBefore | Fault::FailAfter) => {
                sleep(Duration::from_millis(1)).await;
                injected(TroubleKind::Failed, "the server refused")
            }
            Some(Fault::LoseAnswer) => {
                // It was asked and answered, for what that changes.
                let _ = ask.await;
                injected(TroubleKind::Unreachable, "the connection was lost")
            }
            Some(Fault::Hang) => {
                sleep(REPLY).await;
                injected(TroubleKind::Timeout, "no answer in time")
            }
            Some(Fault::Before(disruption)) => {
                self.with(|w| w.disrupt(&disruption));
                ask.await
            }
            Some(Fault::After(disruption)) => {
                let answer = ask.await;
                self.with(|w| w.disrupt(&disruption));
                answer
            }
        }
    }

    /// What a new connection from one machine to a node's server meets.
    fn meets(&self, from: HostId, to: &NodeName) -> Result<Option<Reach>, Trouble> {
        let id = self.id(to).map_err(|why| why.when_asking(to, "failed"))?;
        Ok(self.look(|w| {
            let node = w.node(id);
            if !w.connected(from, node.host) || node.hang == Hang::Server || node.unseen() {
                return None;
            }
            match &node.process {
                // Refused by the host, which is told at once.
                None => Some(Reach::Silent),
                Some(process) if process.phase == Phase::Ready => Some(Reach::Accepts),
                Some(_) => Some(Reach::Rejects),
            }
        }))
    }
}

#[async_trait]
impl Observe for SimCluster {
    fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    async fn server(&self, node: &NodeName) -> Result<Server, Trouble> {
        self.question("server", node, async {
            let seen = self.ask(node, Way::Sql, |w, id| Ok(w.server(id))).await;
            let seen = seen.map_err(|why| why.when_asking(node, "failed to look at the server"))?;
            if !seen.in_recovery {
                self.with(|w| {
                    if let Some(id) = w.find(node) {
                        w.remember(id);
                    }
                });
            }
            Ok(seen)
        })
        .await
    }

    async fn identify(&self, node: &NodeName) -> Result<Identity, Trouble> {
        self.question("identify", node, async {
            let told = self
                .ask(node, Way::Replication, |w, id| Ok(w.identity(id)))
                .await;
            told.map_err(|why| why.when_asking(node, "failed to identify the system"))
        })
        .await
    }

    async fn history(&self, node: &NodeName, timeline: Timeline) -> Result<History, Trouble> {
        if timeline <= Timeline(1) {
            return Ok(History::first(timeline));
        }
        self.question("history", node, async {
            let read = self
                .ask(node, Way::Replication, |w, id| {
                    let branch = w.node(id).wal.branch;
                    w.branches
                        .named(branch, timeline)
                        .map(|(branch, _)| w.branches.history(branch))
                        .ok_or_else(|| {
                            Why::failed(format!(
                                "could not open file \"pg_wal/{:08X}.history\": No such file or directory [58P01]",
                                timeline.0
                            ))
                        })
                })
                .await;
            let what = format!("failed to read the history of timeline {timeline}");
            read.map_err(|why| why.when_asking(node, &what))
        })
        .await
    }

    async fn senders(&self, node: &NodeName) -> Result<Vec<Sender>, Trouble> {
        self.question("senders", node, async {
            let told = self.ask(node, Way::Sql, |w, id| Ok(w.senders(id))).await;
            told.map_err(|why| why.when_asking(node, "failed to read who streams from it"))
        })
        .await
    }

    async fn slots(&self, node: &NodeName) -> Result<(Vec<Slot>, u32), Trouble> {
        self.question("slots", node, async {
            let told = self.ask(node, Way::Sql, |w, id| Ok(w.slots(id))).await;
            told.map_err(|why| why.when_asking(node, "failed to read its replication slots"))
        })
        .await
    }

    async fn wal_files(&self, node: &NodeName) -> Result<WalFiles, Trouble> {
        self.question("wal_files", node, async {
            let told = self.ask(node, Way::Sql, |w, id| Ok(w.wal_files(id))).await;
            told.map_err(|why| why.when_asking(node, "failed to list its WAL files"))
        })
        .await
    }

    /// As it was when the world began: whatever holds it up is outside of the model.
    async fn archiving(&self, node: &NodeName) -> Result<Archiving, Trouble> {
        self.question("archiving", node, async {
            let told = self
                .ask(node, Way::Sql, |w, id| Ok(w.node(id).archiving.clone()))
                .await;
            told.map_err(|why| why.when_asking(node, "failed to look at its archiving"))
        })
        .await
    }

    /// Its host shows all of them; where that says nothing, a server with repmgr's extension tells of repmgrd.
    async fn managers(&self, node: &NodeName) -> Result<Managers, Trouble> {
        self.question("managers", node, async {
            let seen = self.command(node, |w, id| {
                let mut found = w.node(id).managers.clone();
                // Its server keeps the flag.
                let down = !w.node(id).serves();
                for manager in found.iter_mut().filter(|_| down) {
                    if manager.kind == ManagerKind::Repmgrd {
                        manager.paused = None;
                    }
                }
                Ok(found)
            });
            let why = match seen.await {
                Ok(found) => {
                    return Ok(Managers {
                        found,
                        unseen: false,
                    });
                }
                Err(why) => why,
            };
            if self.inventory.repmgr.is_some()
                && let Ok(mut found) = self
                    .ask(node, Way::Sql, |w, id| Ok(w.node(id).managers.clone()))
                    .await
            {
                found.retain(|manager| manager.kind == ManagerKind::Repmgrd);
                return Ok(Managers {
                    found,
                    unseen: true,
                });
            }
            Err(why.when_asking(node, "failed to look for other managers"))
        })
        .await
    }

    async fn repmgr_nodes(&self, node: &NodeName) -> Result<Vec<RepmgrNode>, Trouble> {
        self.question("repmgr_nodes", node, async {
            let told = self
                .ask(node, Way::Sql, |w, _| {
                    w.repmgr.clone().ok_or_else(no_repmgr)
                })
                .await;
            told.map_err(|why| why.when_asking(node, "failed to read repmgr's table of nodes"))
        })
        .await
    }

    async fn settings(
        &self,
        node: &NodeName,
        names: &[&str],
    ) -> Result<BTreeMap<String, Setting>, Trouble> {
        self.question("settings", node, async {
            let told = self
                .ask(node, Way::Sql, |w, id| {
                    let about = w.node(id);
                    Ok(names
                        .iter()
                        .filter_map(|name| {
                            let setting = about.conf.shown(about.version, name)?;
                            Some(((*name).to_owned(), setting))
                        })
                        .collect())
                })
                .await;
            told.map_err(|why| why.when_asking(node, "failed to read its settings"))
        })
        .await
    }

    async fn upstream(&self, node: &NodeName) -> Result<Option<(String, u16)>, Trouble> {
        self.question("upstream", node, async {
            let what = "failed to read its upstream";
            let asked = self
                .ask(node, Way::Sql, |w, id| Ok(w.upstream(id, false)))
                .await
                .map_err(|why| why.when_asking(node, what));
            match asked {
                Err(trouble)
                    if matches!(
                        trouble.kind,
                        TroubleKind::Unreachable | TroubleKind::Timeout
                    ) && self.has_way(node) =>
                {
                    self.command(node, |w, id| Ok(w.upstream(id, true)))
                        .await
                        .map_err(|why| why.when_asking(node, what))
                }
                other => other,
            }
        })
        .await
    }

    async fn host(&self, node: &NodeName) -> Result<Host, Trouble> {
        self.question("host", node, async {
            let told = self.command(node, |w, id| Ok(w.host(id))).await;
            told.map_err(|why| why.when_asking(node, "failed to look at its host"))
        })
        .await
    }

    async fn saved_settings(&self, node: &NodeName) -> Result<Vec<String>, Trouble> {
        self.question("saved_settings", node, async {
            let told = self
                .command(node, |w, id| Ok(w.node(id).saved.keys().cloned().collect()))
                .await;
            told.map_err(|why| why.when_asking(node, "failed to look for kept settings"))
        })
        .await
    }

    async fn forbidden(&self, node: &NodeName) -> Result<Vec<Forbidden>, Trouble> {
        self.question("forbidden", node, async {
            let told = self
                .command(node, |w, id| Ok(w.node(id).forbidden.clone()))
                .await;
            told.map_err(|why| why.when_asking(node, "failed to ask what may be run there"))
        })
        .await
    }

    async fn rebuild(&self, node: &NodeName) -> Result<Rebuild, Trouble> {
        self.question("rebuild", node, async {
            let told = self
                .command(node, |w, id| Ok(w.node(id).rebuild.clone()))
                .await;
            told.map_err(|why| {
                why.when_asking(node, "failed to look how its data could be renewed")
            })
        })
        .await
    }

    async fn footing(&self, node: &NodeName, start: bool) -> Result<Footing, Trouble> {
        self.question("footing", node, async {
            let told = self.command(node, |w, id| Ok(w.footing(id, start))).await;
            told.map_err(|why| why.when_asking(node, "failed to look at its disks and settings"))
        })
        .await
    }

    async fn tablespaces(&self, node: &NodeName) -> Result<Vec<String>, Trouble> {
        self.question("tablespaces", node, async {
            let told = self
                .ask(node, Way::Sql, |w, id| Ok(w.node(id).tablespaces.clone()))
                .await;
            told.map_err(|why| why.when_asking(node, "failed to list its tablespaces"))
        })
        .await
    }

    async fn reach(
        &self,
        from: Option<&NodeName>,
        to: &NodeName,
        within: Duration,
    ) -> Result<Reach, Trouble> {
        self.question("reach", from.unwrap_or(to), async {
            let end = Instant::now() + within;
            let host = match from {
                None => RUNNER,
                Some(from) => self
                    .command(from, |w, id| Ok(w.node(id).host))
                    .await
                    .map_err(|why| why.when_asking(from, "failed to try a connection"))?,
            };
            if let Some(reach) = self.meets(host, to)? {
                sleep(Duration::from_millis(1)).await;
                return Ok(reach);
            }
            sleep_until(end).await;
            Ok(Reach::Silent)
        })
        .await
    }

    async fn admission(&self, from: &NodeName, to: &NodeName) -> Result<Admission, Trouble> {
        self.question("admission", from, async {
            let host = self.command(from, |w, id| Ok(w.node(id).host)).await;
            let host = match host {
                Ok(host) => host,
                Err(why) => {
                    let trouble = why.when_asking(from, "failed to try a login");
                    return Ok(Admission::Untold(trouble.message));
                }
            };
            sleep(Duration::from_millis(1)).await;
            let barred = self.look(|w| {
                let (receiver, sender) = (w.find(from)?, w.find(to)?);
                w.bars(receiver, sender).map(str::to_owned)
            });
            Ok(match self.meets(host, to)? {
                Some(Reach::Accepts) => barred.map_or(Admission::Granted, Admission::Refused),
                Some(Reach::Rejects) => {
                    Admission::Refused("the server accepts no sessions now".to_owned())
                }
                Some(Reach::Silent) => Admission::Refused("connection refused".to_owned()),
                None => {
                    sleep(JOINING).await;
                    Admission::Refused("no answer".to_owned())
                }
            })
        })
        .await
    }

    async fn wal_end(
        &self,
        node: &NodeName,
        timeline: Timeline,
        from: Lsn,
    ) -> Result<Lsn, Trouble> {
        self.question("wal_end", node, async {
            let what =
                format!("failed to read the end of its WAL on timeline {timeline} from {from}");
            let told = self
                .command(node, |w, id| {
                    w.wal_end(id, timeline, from)
                        .ok_or_else(|| Why::failed("the segment of that position is not there"))
                })
                .await;
            told.map_err(|why| why.when_asking(node, &what))
        })
        .await
    }

    fn renderer(&self) -> &dyn Render {
        self.renderer.as_ref()
    }

    fn remembered(&self, node: &NodeName) -> Remembered {
        let nothing = Remembered {
            synchronous_standby_names: None,
            synchronous_commit: None,
            receivers: None,
            position: None,
        };
        self.look(|w| w.find(node).map(|id| w.remembered(id)))
            .unwrap_or(nothing)
    }
}
