//! Removing a lab, whatever was done to it: thaw, ask, kill, then clear away.

use super::processes::{self, Process, Quiet};
use super::{Lab, LabError, claims, hosts, record};
use crate::transport::RECORDS;
use rustix::process::Signal;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long servers may take to end by themselves, which frees what they share with the kernel.
const GRACE: Duration = Duration::from_secs(4);
/// How long killed processes may take to go.
const BOUND: Duration = Duration::from_secs(15);
/// Between two looks at the processes.
const PAUSE: Duration = Duration::from_millis(10);

/// Removes the lab unless another process is at work on it. Blocks.
pub(super) fn locked(lab: &Lab) -> Result<(), LabError> {
    match lab.lock(record::PATIENCE)? {
        Some(lock) => held(lab, &lock),
        None => Ok(()),
    }
}

/// Removes the lab whose lock is held. Blocks.
pub(super) fn held(lab: &Lab, lock: &File) -> Result<(), LabError> {
    if !claims::same(lock, &lab.dir) {
        // Removed by another process while we waited for the lock; a new lab of that name is not ours to remove.
        return Ok(());
    }
    // Before the servers: a shell that came by ssh may be starting one.
    hosts::end_visitors(lab)?;
    end_processes(lab)?;
    for node in lab.nodes() {
        if let Some(segment) = processes::segment(&lab.data(node)) {
            // A segment of 56 bytes that stays is no reason to keep the rest.
            if let Err(error) = processes::remove_segment(segment, &lab.record.user) {
                tracing::warn!(%node, %error, "a shared memory segment may be left");
            }
        }
    }
    hosts::remove(lab)?;
    claims::Claims::ports().release(&lab.dir)?;
    if rustix::process::geteuid().is_root() {
        // The place of these claims is root's.
        claims::Claims::networks().release(&lab.dir)?;
    }
    for uid in [lab.record.user.uid, rustix::process::geteuid().as_raw()] {
        remove_records(&lab.record.name, uid)?;
    }
    remove(&lab.dir)?;
    if let Some(root) = lab.dir.parent() {
        // Fails while there are other labs, which is what we want.
        let _ = std::fs::remove_dir(root);
    }
    Ok(())
}

/// Removes what runs on the lab left on this host: the records of their operations, see `crate::transport`.
fn remove_records(cluster: &str, uid: u32) -> Result<(), LabError> {
    let of_user = Path::new(RECORDS).join(format!("pgbaton-{uid}"));
    let theirs = |meta: &std::fs::Metadata| meta.is_dir() && meta.uid() == uid;
    // Somebody else's directory of that name holds no records.
    if !std::fs::symlink_metadata(&of_user).is_ok_and(|meta| theirs(&meta)) {
        return Ok(());
    }
    let path = of_user.join(cluster);
    match std::fs::remove_dir_all(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(LabError::File {
            what: "remove",
            path,
            source,
        }),
        _ => {
            // Fails while there are records of other clusters, which is what we want.
            let _ = std::fs::remove_dir(of_user);
            Ok(())
        }
    }
}

/// Removes a directory; the record goes last, so that an interrupted removal can be repeated.
fn remove(dir: &Path) -> Result<(), LabError> {
    let fail = |path: &Path, source| LabError::File {
        what: "remove",
        path: path.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(dir).map_err(|e| fail(dir, e))? {
        let path = entry.map_err(|e| fail(dir, e))?.path();
        if path.is_dir() && !path.is_symlink() {
            std::fs::remove_dir_all(&path).map_err(|e| fail(&path, e))?;
        }
    }
    std::fs::remove_dir_all(dir).map_err(|e| fail(dir, e))
}

fn end_processes(lab: &Lab) -> Result<(), LabError> {
    let (dir, user) = (lab.dir.as_path(), &lab.record.user);
    let look = || {
        processes::under(dir, user).map_err(|source| LabError::File {
            what: "look for processes under",
            path: dir.to_owned(),
            source,
        })
    };
    let send = |process: Process, signal| {
        processes::signal(process, signal, dir, user).map_err(|source| LabError::File {
            what: "send a signal to a process under",
            path: dir.to_owned(),
            source,
        })
    };
    let started = Instant::now();
    let mut asked: Vec<i32> = Vec::new();
    let mut quiet = Quiet::default();
    loop {
        let alive = look()?;
        if quiet.after(alive.is_empty()) {
            return Ok(());
        }
        if started.elapsed() > BOUND {
            return Err(LabError::Left {
                name: lab.record.name.clone(),
                pids: alive.iter().map(|p| p.pid).collect(),
            });
        }
        let postmasters: Vec<Process> = lab
            .nodes()
            .filter_map(|node| processes::postmaster(&lab.data(node), &alive))
            .collect();
        for process in &alive {
            if process.stopped {
                send(*process, Signal::CONT)?;
            }
        }
        for postmaster in &postmasters {
            if !asked.contains(&postmaster.pid) {
                // An immediate shutdown: it ends its children itself.
                send(*postmaster, Signal::QUIT)?;
                asked.push(postmaster.pid);
            }
        }
        if postmasters.is_empty() || started.elapsed() > GRACE {
            // Orphans and tools have nobody to ask, and nobody waits for what they do.
            for process in &alive {
                send(*process, Signal::KILL)?;
            }
        }
        std::thread::sleep(PAUSE);
    }
}
