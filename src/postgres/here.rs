//! What is done on a host that is this machine. The results have the form of the scripts' in [`super::scripts`], so
//! that whoever reads them need not know which of the two it was; `None` leaves it to the script.

use super::dialect::{HostStep, Task};
use super::live::LiveCluster;
use super::native::{self, Blind, Native};
use super::{rebuild, scripts};
use crate::cluster::Node;
use crate::transport::{Command, Finished, Transport, TransportError};
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(3);
/// How long a dead postmaster may stay uncollected.
const COLLECTED: Duration = Duration::from_secs(5);

/// How long a command that stopped the server may go on after it.
const AFTER: Duration = Duration::from_secs(2);

type Ended = Result<Finished, TransportError>;

impl LiveCluster {
    /// Runs this where blocking does no harm; none where the node's host cannot be reached without a command.
    pub(super) async fn here<T: Send + 'static>(
        &self,
        node: &Node,
        work: impl FnOnce(&Native) -> T + Send + 'static,
    ) -> Option<T> {
        let (node, names) = (node.clone(), self.dialect.names());
        let work = move || Native::open(&node, names).map(|native| work(&native));
        tokio::task::spawn_blocking(work).await.ok().flatten()
    }

    /// The same for an effect on files.
    pub(super) async fn files_here(
        &self,
        node: &Node,
        work: impl FnOnce(&Native) -> io::Result<()> + Send + 'static,
    ) -> Option<Ended> {
        let result = self.here(node, work).await?;
        Some(Ok(match result {
            Ok(()) => finished(0, "", ""),
            Err(error) => finished(1, "", &error.to_string()),
        }))
    }

    /// A step on the host.
    pub(super) async fn step_here(
        &self,
        node: &Node,
        way: &dyn Transport,
        step: &HostStep,
    ) -> Option<Ended> {
        match step.task {
            Task::Script | Task::Work => None,
            Task::PlaceSignal => self.files_here(node, |n| n.touch("standby.signal")).await,
            Task::RemoveSignal => self.files_here(node, |n| n.remove("standby.signal")).await,
            Task::RemoveFile => {
                let file = step.arguments.first()?.clone();
                self.files_here(node, move |n| n.remove(&file)).await
            }
            Task::Stop(within) => self.stop_here(node, way, step, within).await,
            Task::Terminate(within) => self.terminate_here(node, way, step, within).await,
            Task::Kill(within) => self.kill_here(node, within).await,
            Task::Start(within) => self.start_here(node, way, step, within).await,
        }
    }

    /// The living postmaster and when it was born.
    pub(super) async fn alive_here(&self, node: &Node) -> Option<Option<(u32, Option<u64>)>> {
        let alive = self.here(node, Native::alive).await?.ok()?;
        Some(alive.map(|pid| (pid, native::born(pid))))
    }

    async fn stop_here(
        &self,
        node: &Node,
        way: &dyn Transport,
        step: &HostStep,
        within: Duration,
    ) -> Option<Ended> {
        let end = Instant::now() + within;
        let Some((pid, born)) = self.alive_here(node).await? else {
            return Some(Ok(finished(0, "stopped", "")));
        };
        let gone = || !native::runs(pid) || native::born(pid) != born;
        // A command that waits for the end itself may do so too long.
        let telling = way.run(Command::new(step.command(), step.deadline));
        tokio::pin!(telling);
        let mut told = None;
        while !gone() {
            if Instant::now() >= end {
                return Some(Ok(finished(scripts::PENDING, "", "")));
            }
            if told.is_some() {
                sleep(PAUSE).await;
                continue;
            }
            tokio::select! {
                biased;
                ended = &mut telling => match ended {
                    Ok(ended) if !ended.success() && !gone() => return Some(Ok(ended)),
                    Ok(ended) => told = Some(ended),
                    Err(error) => return Some(Err(error)),
                },
                () = sleep(PAUSE) => {}
            }
        }
        if told.is_none() {
            // It may have something left to do.
            let _ = timeout(AFTER, telling).await;
        }
        Some(Ok(finished(0, "running", "")))
    }

    async fn kill_here(&self, node: &Node, within: Duration) -> Option<Ended> {
        let end = Instant::now() + within;
        let was = match self.alive_here(node).await? {
            Some(_) => "running",
            None => "stopped",
        };
        loop {
            let Some(left) = self.here(node, Native::kill_all).await?.ok()? else {
                return Some(Ok(finished(0, was, "")));
            };
            if Instant::now() >= end {
                let told = format!("process {left} does not end");
                return Some(Ok(finished(scripts::PENDING, "", &told)));
            }
            sleep(PAUSE).await;
        }
    }

    async fn start_here(
        &self,
        node: &Node,
        way: &dyn Transport,
        step: &HostStep,
        within: Duration,
    ) -> Option<Ended> {
        let end = Instant::now() + within;
        let (alive, noted) = self
            .here(node, |n| (n.alive(), n.noted_pid()))
            .await
            .and_then(|(alive, noted)| Some((alive.ok()?, noted)))?;
        if alive.is_some() {
            return self.until_ready(node, end).await;
        }
        if self.here(node, |n| n.exists(rebuild::MARK)).await? {
            let told = format!(
                "a rewind of {} did not end: what lies there is no state of any server, and it is not started",
                node.data.display()
            );
            return Some(Ok(finished(scripts::CONFLICT, "", &told)));
        }
        // A dead postmaster that its parent has not collected yet still keeps the server from starting.
        let collected = Instant::now() + COLLECTED;
        while noted.is_some_and(native::is_uncollected) && Instant::now() < collected {
            sleep(PAUSE).await;
        }
        // It looks ten times a second, and tells when the server does not start; we look more often, and need not
        // wait for it once the server is there. The site's own command may have something to do after that.
        let by_service = node.service.is_some();
        let start = way.run(Command::new(step.command(), step.deadline));
        tokio::pin!(start);
        let told = loop {
            tokio::select! {
                biased;
                told = &mut start => break told,
                () = sleep(PAUSE) => {}
            }
            if !by_service && let Some(Ok(Some(true))) = self.here(node, ready).await {
                return Some(Ok(finished(0, "stopped", "")));
            }
        };
        let told = match told {
            Ok(told) if told.success() && by_service => {
                // It need not wait for the server.
                while Instant::now() < end {
                    if let Some(Ok(Some(true))) = self.here(node, ready).await {
                        return Some(Ok(finished(0, "stopped", "")));
                    }
                    sleep(PAUSE).await;
                }
                return Some(Ok(finished(scripts::PENDING, "", "")));
            }
            Ok(told) if told.success() => return Some(Ok(finished(0, "stopped", ""))),
            Ok(told) => told,
            Err(error) => return Some(Err(error)),
        };
        if self.alive_here(node).await?.is_some() {
            return Some(Ok(finished(scripts::PENDING, "", "")));
        }
        let log = step.arguments.first()?;
        let command = Command::script(scripts::LOG_TAIL, &[log], Duration::from_secs(5));
        let tail = way.run(command).await.map(|f| f.out()).unwrap_or_default();
        let complaint = match (tail.trim().is_empty(), by_service) {
            (true, _) => told.complaint(),
            (false, true) => format!("{tail}\n{}", told.complaint()),
            (false, false) => tail,
        };
        Some(Ok(finished(1, "", &complaint)))
    }

    /// A server that is there already, but may still be starting.
    async fn until_ready(&self, node: &Node, end: Instant) -> Option<Ended> {
        loop {
            let look = |n: &Native| (n.alive(), n.status());
            let (alive, status) = timeout_at(end, self.here(node, look)).await.ok()??;
            let ended = match (alive.ok()?, status.as_str()) {
                (None, _) => finished(1, "", "the server that was starting has gone"),
                (_, "ready" | "standby") => finished(0, "running", ""),
                (_, "stopping") => finished(scripts::CONFLICT, "", "the server is shutting down"),
                _ if Instant::now() >= end => finished(scripts::PENDING, "", ""),
                _ => {
                    sleep(PAUSE).await;
                    continue;
                }
            };
            return Some(Ok(ended));
        }
    }
}

/// Whether a server lives and accepts connections; none when none lives.
fn ready(native: &Native) -> Result<Option<bool>, Blind> {
    let alive = native.alive()?;
    Ok(alive.map(|_| matches!(native.status().as_str(), "ready" | "standby")))
}

/// As a script would have ended.
pub(super) fn finished(status: i32, stdout: &str, stderr: &str) -> Finished {
    Finished {
        status,
        stdout: stdout.as_bytes().to_vec(),
        stderr: stderr.as_bytes().to_vec(),
        truncated: false,
    }
}
