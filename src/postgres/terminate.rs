//! Ending the sessions that hold up a shutdown.
//!
//! A fast stop has sent them SIGTERM already. A session that a signal has stopped (SIGSTOP, a debugger that went away) takes it
//! when it goes on, and the shutdown stays a clean one. One that does not take it (a program of `COPY`, a library that loops) can
//! only be killed: its postmaster then ends all others too and exits without a checkpoint, as after an immediate stop, and does
//! not start again, because it was told to stop before. So nobody is killed before the postmaster has said that it is stopping.

use super::dialect::HostStep;
use super::here::finished;
use super::live::LiveCluster;
use super::native::{self, Blind, Native};
use super::scripts::{self, prelude};
use crate::cluster::Node;
use crate::transport::{Command, Finished, Transport, TransportError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What the titles of a server's own processes begin with, each with a comma behind it. They are never ended here: a
/// checkpointer writes the last checkpoint, a walsender brings the last WAL to its standby. A session whose user is named
/// like one of them is left to a rougher stop.
pub(super) const OWN: &str = "archiver,autovacuum,background writer,checkpointer,io worker,logger,logical replication,\
    slotsync worker,startup,stats collector,walreceiver,walsender,walsummarizer,walwriter,";

const FROZEN: &str =
    "the postmaster itself is stopped by a signal, and its sessions are left alone";
const DEAF: &str =
    "the postmaster does not say that it is stopping, and its sessions are left alone";
const NOBODY: &str =
    "no session is left that could be ended: something else of the server holds it up";

/// How long sessions are given to end by themselves.
const GRACE: Duration = Duration::from_secs(5);
/// Between two looks at a process, and between two looks at all of them.
const PAUSE: Duration = Duration::from_millis(3);
const LOOK: Duration = Duration::from_millis(50);

/// Further arguments: tenths of a second, [`OWN`], and a command that tells the server to stop.
pub(super) const TERMINATE: &str = concat!(
    prelude!(),
    r#"
n=$1 own=$2; shift 2
status() { l=; { for i in 1 2 3 4 5 6 7 8; do read -r l || break; done; } 2>/dev/null <"$D/$P"; }
is_session() {
  of_us "$1" && parent_of "$1" && [ "$parent" = "$was" ] || return 1
  title=$(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline")
  # One that was just forked has the postmaster's own title.
  case $title in *': '*) title=${title#*: } ;; *) return 1 ;; esac
  rest=$own
  while [ -n "$rest" ]; do
    one=${rest%%,*} rest=${rest#*,}
    case $title in "$one"*|*": $one"*) return 1 ;; esac
  done
}
sessions() {
  found=
  for p in /proc/[0-9]*; do p=${p#/proc/}; if is_session "$p"; then found="$found $p"; fi; done
}
halted() {
  line=; IFS= read -r line 2>/dev/null <"/proc/$1/stat"
  case ${line##*) } in [Tt]*) ;; *) return 1 ;; esac
}
alive || { echo stopped; exit 0; }
was=$pid
status; before=$l
"$@" >&2 || { if of_us "$was"; then exit 1; fi; }
if halted "$was"; then echo "the postmaster itself is stopped by a signal, and its sessions are left alone" >&2; exit 75; fi
grace=$((n / 2)); [ "$grace" -le 50 ] || grace=50
rest_of=$((n - grace)) n=$grace
until status; [ "$l" = stopping ]; do
  of_us "$was" || { echo running; exit 0; }
  nap || { echo "the postmaster does not say that it is stopping, and its sessions are left alone" >&2; exit 75; }
done
sessions
if [ "$before" = stopping ] && [ -z "$found" ]; then
  of_us "$was" || { echo running; exit 0; }
  echo "no session is left that could be ended: something else of the server holds it up" >&2; exit 75
fi
woken=
for p in $found; do if halted "$p"; then kill -CONT "$p" 2>/dev/null && woken=$p; fi; done
if [ "$before" != stopping ] || [ -n "$woken" ]; then
  while of_us "$was"; do nap || break; done
fi
n=$((n + rest_of)) naps=100
while of_us "$was"; do
  sessions
  for p in $found; do kill -KILL "$p" "-$p" 2>/dev/null; done
  nap || exit 75
done
echo running
"#
);

type Ended = Result<Finished, TransportError>;

/// Whether a process of this title serves a client.
fn is_session(title: &str) -> bool {
    let Some((_, rest)) = title.split_once(": ") else {
        return false;
    };
    // Its cluster's name may stand before.
    let mut own = OWN.split_terminator(',');
    !own.any(|own| rest.starts_with(own) || rest.contains(&format!(": {own}")))
}

impl Native {
    /// The sessions of this postmaster.
    fn sessions(&self, postmaster: u32) -> Result<Vec<u32>, Blind> {
        let mut found = self.processes()?;
        found.retain(|pid| {
            let title = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let title = String::from_utf8_lossy(&title).replace('\0', " ");
            native::parent(*pid) == Some(postmaster) && is_session(&title)
        });
        Ok(found)
    }

    /// Lets those of them go on that a signal has stopped; how many there are, and how many of them were stopped.
    fn wake_sessions(&self, postmaster: u32) -> Result<(usize, usize), Blind> {
        let found = self.sessions(postmaster)?;
        let halted = found.iter().filter(|pid| native::is_halted(**pid));
        let woken = halted
            .inspect(|pid| native::signal(**pid, rustix::process::Signal::CONT))
            .count();
        Ok((found.len(), woken))
    }

    fn kill_sessions(&self, postmaster: u32) -> Result<(), Blind> {
        let found = self.sessions(postmaster)?;
        for pid in found {
            native::kill_group(pid);
        }
        Ok(())
    }
}

impl LiveCluster {
    /// What [`TERMINATE`] does, without a shell.
    pub(super) async fn terminate_here(
        &self,
        node: &Node,
        way: &dyn Transport,
        step: &HostStep,
        within: Duration,
    ) -> Option<Ended> {
        let end = Instant::now() + within;
        let grace = Instant::now() + (within / 2).min(GRACE);
        let pending = |why: &str| Some(Ok(finished(scripts::PENDING, "", why)));
        let Some((pid, born)) = self.alive_here(node).await? else {
            return Some(Ok(finished(0, "stopped", "")));
        };
        let gone = || !native::runs(pid) || native::born(pid) != born;
        let before = self.here(node, Native::status).await? == "stopping";
        let told = match way.run(Command::new(step.command(), step.deadline)).await {
            Ok(told) => told,
            Err(error) => return Some(Err(error)),
        };
        if !told.success() && !gone() {
            return Some(Ok(told));
        }
        if native::is_halted(pid) {
            return pending(FROZEN);
        }
        while !gone() && self.here(node, Native::status).await? != "stopping" {
            if Instant::now() >= grace {
                return pending(DEAF);
            }
            sleep(PAUSE).await;
        }
        let wake = move |n: &Native| n.wake_sessions(pid);
        let (found, woken) = self.here(node, wake).await?.ok()?;
        if before && found == 0 && !gone() {
            return pending(NOBODY);
        }
        // Those that were told to end long ago are not waited for again.
        if !before || woken > 0 {
            while !gone() && Instant::now() < grace {
                sleep(PAUSE).await;
            }
        }
        while !gone() {
            self.here(node, move |n| n.kill_sessions(pid)).await?.ok()?;
            if Instant::now() >= end {
                return pending("");
            }
            let look = Instant::now() + LOOK;
            while !gone() && Instant::now() < look {
                sleep(PAUSE).await;
            }
        }
        Some(Ok(finished(0, "running", "")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sessions_are_ended() {
        for (title, session) in [
            ("postgres: app db 127.0.0.1(4711) idle", true),
            ("postgres: n1: app db [local] COMMIT", true),
            ("kingbase: esrep esrep 10.0.0.1(4711) idle ", true),
            ("postgres: parallel worker for PID 4711 ", true),
            ("postgres: checkpointer ", false),
            ("postgres: n1: checkpointer ", false),
            (
                "postgres: walsender app 127.0.0.1(4711) streaming 0/3000060",
                false,
            ),
            ("postgres: n1: walreceiver streaming 0/3000060", false),
            (
                "postgres: startup recovering 000000010000000000000003",
                false,
            ),
            ("postgres: stats collector ", false),
            ("postgres: logical replication launcher ", false),
            ("/usr/lib/postgresql/15/bin/postgres -D /data", false),
        ] {
            assert_eq!(is_session(title), session, "{title}");
        }
    }

    #[test]
    fn the_script_says_the_same() {
        for said in [FROZEN, DEAF, NOBODY] {
            assert!(TERMINATE.contains(&format!("\"{said}\"")), "{said}");
        }
    }
}
