//! Ports and networks that two labs never share.
//!
//! A lab keeps its ports while its servers are down, so "is it free right now" is not enough: every port of a lab is
//! claimed by a file that holds the lab's directory, and so is the number of its network, where it has one. A claim
//! whose lab is gone is void. The ports lie below the kernel's ephemeral range, so that no outgoing connection takes one
//! while its server is down.

use super::hosts::Network;
use super::{LabError, place};
use std::fs::{File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The first port that is ever used.
const FIRST: u16 = 20_000;
/// How long another process may hold the lock on the claims.
const PATIENCE: Duration = Duration::from_secs(10);

/// The claims of this user to numbers of one kind.
pub(super) struct Claims {
    dir: PathBuf,
    kind: Kind,
}

/// What the numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Port,
    Network,
}

impl Claims {
    /// Ports: one place for all labs of a user, wherever their directories are.
    pub(super) fn ports() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        Self {
            dir: PathBuf::from(format!("/var/tmp/pgbaton-ports-{uid}")),
            kind: Kind::Port,
        }
    }

    /// Numbers of networks. Only root makes them, so that one place holds all of them.
    pub(super) fn networks() -> Self {
        Self {
            dir: PathBuf::from("/var/tmp/pgbaton-networks"),
            kind: Kind::Network,
        }
    }

    /// Claims `wanted` numbers for the lab in `lab`.
    pub(super) fn claim(&self, lab: &Path, wanted: usize) -> Result<Vec<u16>, LabError> {
        let _lock = self.lock()?;
        let (first, end) = match self.kind {
            Kind::Port => (FIRST, ephemeral_start()),
            Kind::Network => (0, Network::COUNT),
        };
        let mut claimed = Vec::with_capacity(wanted);
        for number in candidates(first, end) {
            if claimed.len() == wanted {
                break;
            }
            let held = self.holder(number).is_some_and(|holder| holder.exists());
            if held || !self.is_free(number) {
                continue;
            }
            let path = self.dir.join(number.to_string());
            std::fs::write(&path, lab.as_os_str().as_encoded_bytes()).map_err(|source| {
                LabError::File {
                    what: "write",
                    path,
                    source,
                }
            })?;
            claimed.push(number);
        }
        if claimed.len() < wanted {
            self.give_up(lab);
            return Err(match self.kind {
                Kind::Port => LabError::Ports {
                    wanted,
                    from: first,
                    to: end,
                },
                Kind::Network => LabError::Networks,
            });
        }
        Ok(claimed)
    }

    fn is_free(&self, number: u16) -> bool {
        match self.kind {
            Kind::Port => free(number),
            Kind::Network => Network::numbered(number).is_free(),
        }
    }

    /// Gives the numbers of `lab` back, and removes the place of the claims with the last of them.
    pub(super) fn release(&self, lab: &Path) -> Result<(), LabError> {
        if !self.dir.exists() {
            return Ok(());
        }
        let _lock = self.lock()?;
        self.give_up(lab);
        Ok(())
    }

    /// Removes the claims of `lab`, and those that are void because their lab was killed before it had a record.
    fn give_up(&self, lab: &Path) {
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let holder = entry
                .file_name()
                .to_str()
                .and_then(|name| self.holder(name.parse().ok()?));
            if holder.is_some_and(|holder| holder == lab || !holder.exists()) {
                // A claim that cannot be removed is void as soon as the lab is gone.
                let _ = std::fs::remove_file(entry.path());
            }
        }
        // Fails while others have claims, which is what we want.
        let _ = std::fs::remove_dir(&self.dir);
    }

    fn holder(&self, number: u16) -> Option<PathBuf> {
        std::fs::read_to_string(self.dir.join(number.to_string()))
            .ok()
            .map(PathBuf::from)
    }

    /// The lock is on the directory itself, so that nothing is left when the last claim goes. Bounded.
    fn lock(&self) -> Result<File, LabError> {
        let fail = |what, source| LabError::File {
            what,
            path: self.dir.clone(),
            source,
        };
        let started = Instant::now();
        loop {
            place::own_directory(&self.dir)?;
            let file = match File::open(&self.dir) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(fail("open", e)),
            };
            match file.try_lock() {
                Ok(()) if same(&file, &self.dir) => return Ok(file),
                // The last claim went, and the directory with it, between opening and locking.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if started.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(fail("lock", io::ErrorKind::TimedOut.into()));
                }
                Err(TryLockError::Error(e)) => return Err(fail("lock", e)),
            }
        }
    }
}

/// Whether the open directory is still the one at this path.
pub(super) fn same(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// All numbers of the range once, beginning at a place that differs from process to process: another user's claims are
/// not seen, so two users should not both begin at the first.
fn candidates(first: u16, end: u16) -> impl Iterator<Item = u16> {
    let width = u32::from(end.saturating_sub(first));
    let seed = std::process::id().wrapping_mul(2_654_435_761)
        ^ std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| d.subsec_nanos());
    let start = if width == 0 { 0 } else { seed % width };
    (0..width).filter_map(move |i| u16::try_from(u32::from(first) + (start + i) % width).ok())
}

fn free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The first port that the kernel gives to outgoing connections, where it leaves us enough below.
fn ephemeral_start() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .filter(|start| *start > FIRST + 1000)
        .unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn claims(base: &Path) -> Claims {
        Claims {
            dir: base.join("ports"),
            kind: Kind::Port,
        }
    }

    fn lab(base: &Path, name: &str) -> PathBuf {
        let dir = base.join(name);
        std::fs::create_dir(&dir).unwrap();
        dir
    }

    #[test]
    fn two_labs_never_share_a_port_even_while_their_servers_are_down() {
        let base = tempfile::tempdir().unwrap();
        let (a, b) = (lab(base.path(), "a"), lab(base.path(), "b"));
        let ports: BTreeSet<u16> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|i| if i % 2 == 0 { &a } else { &b })
                .map(|dir| scope.spawn(|| claims(base.path()).claim(dir, 5).unwrap()))
                .collect();
            workers
                .into_iter()
                .flat_map(|w| w.join().unwrap())
                .collect()
        });
        assert_eq!(ports.len(), 40);
    }

    #[test]
    fn the_place_of_the_claims_may_come_and_go_under_others() {
        let base = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for name in ["a", "b", "c", "d"] {
                let dir = lab(base.path(), name);
                let all = claims(base.path());
                scope.spawn(move || {
                    for _ in 0..50 {
                        all.claim(&dir, 1).unwrap();
                        all.release(&dir).unwrap();
                    }
                });
            }
        });
        assert!(!base.path().join("ports").exists());
    }

    #[test]
    fn only_the_holder_gives_a_port_back_and_the_last_claim_takes_the_directory_along() {
        let base = tempfile::tempdir().unwrap();
        let (a, b) = (lab(base.path(), "a"), lab(base.path(), "b"));
        let all = claims(base.path());
        let ports = all.claim(&a, 2).unwrap();
        all.release(&b).unwrap();
        assert_eq!(all.holder(ports[0]).as_deref(), Some(a.as_path()));
        all.release(&a).unwrap();
        assert!(!base.path().join("ports").exists());
        all.release(&a).unwrap();
    }

    #[test]
    fn a_claim_whose_lab_is_gone_is_void_and_swept() {
        let base = tempfile::tempdir().unwrap();
        let (a, b) = (lab(base.path(), "a"), lab(base.path(), "b"));
        let all = claims(base.path());
        let ports = all.claim(&a, 1).unwrap();
        std::fs::remove_dir(&a).unwrap();
        all.claim(&b, 1).unwrap();
        all.release(&b).unwrap();
        assert_eq!(all.holder(ports[0]), None);
    }

    #[test]
    fn a_port_with_a_listener_is_not_taken() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!free(listener.local_addr().unwrap().port()));
    }

    #[test]
    fn candidates_cover_the_range_once() {
        let mut all: Vec<u16> = candidates(100, 200).collect();
        all.sort_unstable();
        assert_eq!(all, (100..200).collect::<Vec<_>>());
    }
}
