//! Doing something bad to one server, or undoing it.

use super::processes::{self, Process};
use super::record::Lab;
use super::shell::{command, run};
use super::{Cut, Fault, LabError, ProcessState};
use crate::cluster::NodeName;
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// The bound on a signal's effect.
const EFFECT: Duration = Duration::from_secs(10);
/// The bound on a clean shutdown.
const SHUTDOWN: Duration = Duration::from_mins(1);
/// Between two looks at the processes.
const PAUSE: Duration = Duration::from_millis(5);

impl Lab {
    /// Does it, and is back when it has happened: the postmaster is gone, every process is stopped, the server accepts
    /// sessions. Bounded by a minute. A fault that makes no sense in the node's state is refused.
    pub async fn fault(&self, node: &NodeName, fault: Fault) -> Result<(), LabError> {
        self.member(node)?;
        let refuse = |why| {
            Err(LabError::State {
                fault: fault.as_str(),
                node: node.to_string(),
                why,
            })
        };
        let (state, _) = self.process_state(node)?;
        match (fault, state) {
            // The wires are cut and mended however the server is.
            (Fault::Cut, _) => self.cut(node, &Cut::All).await,
            (Fault::CutSsh, _) => self.cut(node, &Cut::Ssh).await,
            (Fault::Heal, _) => self.heal(node).await,
            (Fault::Start, ProcessState::Running) => refuse("it is running"),
            (Fault::Start | Fault::Stop, ProcessState::Frozen) => {
                refuse("it is frozen; thaw it first")
            }
            (Fault::Start, ProcessState::Orphaned) => {
                refuse("processes of the killed server are still there; kill it again to end them")
            }
            (Fault::Stop, ProcessState::Orphaned) => {
                refuse("its postmaster is dead and only its children are left")
            }
            (Fault::Kill | Fault::Stop | Fault::Freeze | Fault::Thaw, ProcessState::Down) => {
                refuse("it is not running")
            }
            (Fault::Start, ProcessState::Down) => self.start_server(node).await,
            (Fault::Stop, ProcessState::Running) => self.stop(node).await,
            (Fault::Kill, _) => self.kill(node).await,
            (Fault::Freeze, _) => self.freeze(node).await,
            (Fault::Thaw, _) => self.signal_all(node, &self.processes(node)?, Signal::CONT),
        }
    }

    async fn stop(&self, node: &NodeName) -> Result<(), LabError> {
        let mut stop = command(&self.record.bin.join("pg_ctl"), &self.record.user);
        stop.args(["stop", "-w", "-s", "-m", "fast", "-t", "50", "-D"])
            .arg(self.data(node));
        run(stop, &format!("stop `{node}`"), SHUTDOWN).await
    }

    /// The postmaster alone; where it is dead already, what it left.
    async fn kill(&self, node: &NodeName) -> Result<(), LabError> {
        let all = self.processes(node)?;
        let postmaster = processes::postmaster(&self.data(node), &all);
        let victims = postmaster.map_or(all, |p| vec![p]);
        self.signal_all(node, &victims, Signal::KILL)?;
        self.wait(node, "see the end of the killed process of", |alive| {
            !alive.iter().any(|p| victims.iter().any(|v| v.pid == p.pid))
        })
        .await
    }

    /// The postmaster first, which then makes no new children; then, as often as needed, whatever still runs.
    async fn freeze(&self, node: &NodeName) -> Result<(), LabError> {
        let all = self.processes(node)?;
        if let Some(postmaster) = processes::postmaster(&self.data(node), &all) {
            self.signal_all(node, &[postmaster], Signal::STOP)?;
        }
        self.wait(node, "freeze", |alive| {
            let awake: Vec<Process> = alive.iter().copied().filter(|p| !p.stopped).collect();
            // An error shows in the next look: the process is still awake.
            let _ = self.signal_all(node, &awake, Signal::STOP);
            awake.is_empty()
        })
        .await
    }

    fn signal_all(
        &self,
        node: &NodeName,
        targets: &[Process],
        signal: Signal,
    ) -> Result<(), LabError> {
        let data = self.data(node);
        for process in targets {
            processes::signal(*process, signal, &data, &self.record.user).map_err(|source| {
                LabError::File {
                    what: "send a signal to a process under",
                    path: data.clone(),
                    source,
                }
            })?;
        }
        Ok(())
    }

    async fn wait(
        &self,
        node: &NodeName,
        what: &str,
        mut done: impl FnMut(&[Process]) -> bool,
    ) -> Result<(), LabError> {
        let started = Instant::now();
        while !done(&self.processes(node)?) {
            if started.elapsed() > EFFECT {
                return Err(LabError::Late {
                    what: format!("{what} `{node}`"),
                    after: EFFECT,
                    output: String::new(),
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// The processes of one node.
    pub(super) fn processes(&self, node: &NodeName) -> Result<Vec<Process>, LabError> {
        let data = self.data(node);
        processes::under(&data, &self.record.user).map_err(|source| LabError::File {
            what: "look for processes under",
            path: data,
            source,
        })
    }
}
