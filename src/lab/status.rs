//! How a lab's servers are: their processes, and whom they think they are.

use super::processes;
use super::record::Lab;
use super::{Endpoint, LabError, sql};
use crate::cluster::NodeName;
use futures_util::future::join_all;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// The bound on one server's answer.
const ANSWER: Duration = Duration::from_millis(1500);

/// A lab at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LabStatus {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// Its site file.
    pub site_file: PathBuf,
    /// Its servers, `n1` first.
    pub nodes: Vec<NodeStatus>,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: NodeName,
    /// The address that it listens on.
    pub host: String,
    /// Its port there.
    pub port: u16,
    /// Its data directory.
    pub data: PathBuf,
    /// What its processes do.
    pub process: ProcessState,
    /// The process id of its postmaster, where it lives.
    pub pid: Option<i32>,
    /// What it says that it is; none where it does not answer.
    pub role: Option<Role>,
}

/// What the processes of a server do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessState {
    /// They run.
    Running,
    /// The postmaster, or all that is left of it, is stopped by a signal.
    Frozen,
    /// The postmaster is dead, some of its children are not.
    Orphaned,
    /// There are none.
    Down,
}

/// Which side of replication a server is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It accepts writes.
    Primary,
    /// It is in recovery.
    Standby,
}

impl Lab {
    /// Looks at all servers. Bounded by two seconds, whatever they do.
    pub async fn status(&self) -> Result<LabStatus, LabError> {
        let roles = join_all(self.endpoints().into_iter().map(role)).await;
        let mut nodes = Vec::new();
        for (member, role) in self.record.nodes.iter().zip(roles) {
            let (process, pid) = self.process_state(&member.name)?;
            nodes.push(NodeStatus {
                name: member.name.clone(),
                host: self.address(&member.name),
                port: member.port,
                data: self.data(&member.name),
                process,
                pid,
                role: role.filter(|_| process == ProcessState::Running),
            });
        }
        Ok(LabStatus {
            name: self.name().to_owned(),
            dir: self.dir().to_owned(),
            site_file: self.site_file().to_owned(),
            nodes,
        })
    }

    /// What a node's processes do, and its postmaster.
    pub(super) fn process_state(
        &self,
        node: &NodeName,
    ) -> Result<(ProcessState, Option<i32>), LabError> {
        let all = self.processes(node)?;
        let postmaster = processes::postmaster(&self.data(node), &all);
        let state = match postmaster {
            Some(p) if p.stopped => ProcessState::Frozen,
            Some(_) => ProcessState::Running,
            None if all.is_empty() => ProcessState::Down,
            None if all.iter().all(|p| p.stopped) => ProcessState::Frozen,
            None => ProcessState::Orphaned,
        };
        Ok((state, postmaster.map(|p| p.pid)))
    }
}

async fn role(endpoint: Endpoint) -> Option<Role> {
    let ask = async {
        let session = sql::connect(&endpoint, "", ANSWER).await.ok()?;
        let row = session
            .client
            .query_one("SELECT pg_is_in_recovery()", &[])
            .await
            .ok()?;
        Some(if row.get(0) {
            Role::Standby
        } else {
            Role::Primary
        })
    };
    tokio::time::timeout(ANSWER, ask).await.ok()?
}
