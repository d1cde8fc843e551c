//! Operations that stop and start a server.

use super::cluster::SimCluster;
use super::fault::{Fault as Why, partly};
use super::node::Phase;
use super::perform::{Done, SITE};
use crate::cluster::{CustomEffect, ExecPlace, NodeName, Operation, Outcome, StopMode};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::time::Duration;

impl SimCluster {
    pub(super) async fn stop(&self, node: &NodeName, mode: StopMode, deadline: Duration) -> Done {
        let failed = |why: Why| why.when_doing(node, "failed on its host");
        let told = self.run(node, |w, id| {
            let was = w.node(id).life();
            if mode == StopMode::Terminate {
                w.end_sessions(id).map_err(Why::Pending)?;
            } else if was.is_some() || mode == StopMode::Kill {
                // A kill ends every process of the data directory, whoever started it.
                w.stop(id, mode);
            }
            Ok((id, was))
        });
        let (id, was) = told.await?;
        let Some(life) = was else {
            return Ok(json!({ "was": "stopped" }));
        };
        let gone = self.wait_on_host(node, id, deadline, |w| {
            (w.node(id).life() != Some(life)).then_some(())
        });
        match gone.await.map_err(failed)? {
            Some(()) => Ok(json!({ "was": "running" })),
            None => Err(failed(Why::Pending(format!(
                "the server still runs {} s after it was told to stop, and goes on stopping",
                deadline.as_secs().max(1)
            )))),
        }
    }

    pub(super) async fn start(&self, node: &NodeName, deadline: Duration) -> Done {
        let failed = |why: Why| why.when_doing(node, "failed on its host");
        let told = self.run(node, |w, id| {
            let running = w.node(id).process.is_some();
            if !running && w.node(id).half_rewound {
                return Err(Why::conflict(
                    "a rewind of it did not end: what lies there is no state of any server, and it is not started",
                ));
            }
            if !running {
                w.start(id).map_err(Why::failed)?;
            }
            Ok((id, running))
        });
        let (id, running) = told.await?;
        let ready = self.wait_on_host(node, id, deadline, |w| {
            let phase = w.node(id).process.as_ref().map(|p| p.phase);
            match phase {
                None => Some(Err(Why::failed("the server that was starting has gone"))),
                Some(Phase::Ready) => Some(Ok(())),
                Some(Phase::Stopping(_) | Phase::Draining) => {
                    Some(Err(Why::conflict("the server is shutting down")))
                }
                Some(Phase::Starting) => None,
            }
        });
        match ready.await.map_err(failed)? {
            Some(Ok(())) => Ok(json!({ "was": if running { "running" } else { "stopped" } })),
            Some(Err(why)) => Err(failed(why)),
            None => Err(failed(Why::Pending(format!(
                "the server was started and does not accept connections after {} s; it goes on starting",
                deadline.as_secs().max(1)
            )))),
        }
    }

    /// `standby.signal`, and the site's own command.
    pub(super) async fn return_allowed(&self, node: &NodeName, allowed: bool) -> Done {
        self.run(node, |w, id| {
            w.node_mut(id).signal = !allowed;
            Ok(())
        })
        .await?;
        let about = self.inventory.node(node);
        let command = about.and_then(|n| {
            if allowed {
                n.allow_return.clone()
            } else {
                n.forbid_return.clone()
            }
        });
        let Some(argv) = command else {
            return Ok(Json::Null);
        };
        let site = Operation::Exec {
            place: ExecPlace::Node(node.clone()),
            argv,
            env: BTreeMap::new(),
            stdin: None,
            effect: CustomEffect::Idempotent,
            deadline: SITE,
        };
        match self.outside.answer(&site) {
            Outcome::Done(_) => Ok(Json::Null),
            other => Err(partly(1, 2, other)),
        }
    }
}
