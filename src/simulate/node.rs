//! What there is of one node: its server, its files, its part of the log.

use super::conf::{Conf, Target, Value};
use super::ids::{At, ClientId, HostId, Life, NodeId, StreamId};
use super::wal::{BranchId, Wal};
use crate::cluster::{
    Archiving, ControlData, Footing, Forbidden, Lsn, Manager, NodeName, Rebuild, Sender, SlotName,
    SlotOrigin, StopMode, SyncNames, SystemId, Trouble, TroubleKind,
};
use std::collections::BTreeMap;

/// One node.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) name: NodeName,
    pub(super) host: HostId,
    /// As connections name it.
    pub(super) address: (String, u16),
    /// `server_version_num`.
    pub(super) version: u32,
    pub(super) system: SystemId,
    pub(super) wal: Wal,
    /// None: it does not run.
    pub(super) process: Option<Process>,
    pub(super) hang: Hang,
    /// Sessions that outlived their postmaster.
    pub(super) orphans: Vec<Orphan>,
    pub(super) control: ControlData,
    /// `standby.signal` is there.
    pub(super) signal: bool,
    pub(super) conf: Conf,
    pub(super) saved: BTreeMap<String, Saved>,
    pub(super) slots: BTreeMap<SlotName, SlotState>,
    /// Who streams from it and is no node of the site: backups, archivers of WAL.
    pub(super) strangers: Vec<Sender>,
    pub(super) archiving: Archiving,
    /// Who else manages it. They are there, and do nothing.
    pub(super) managers: Vec<Manager>,
    /// The site's commands that its host's account may not run.
    pub(super) forbidden: Vec<Forbidden>,
    pub(super) receiving: Receiving,
    /// Of the newest attempt to receive: what earlier ones still have under way counts no more.
    pub(super) round: u64,
    /// When the startup process last gave up streaming.
    pub(super) last_fail: At,
    /// The upstream's setting changed and the startup process, busy or paused, has not looked yet.
    pub(super) restart_receiver: bool,
    pub(super) replay: Replay,
    /// What commits wait for, as running.
    pub(super) sync: Option<SyncNames>,
    pub(super) waiters: Vec<Waiter>,
    /// Why it would not start, where it would not.
    pub(super) broken: Option<String>,
    /// A rewind of its data began and did not end.
    pub(super) half_rewound: bool,
    /// How its data could be renewed.
    pub(super) rebuild: Rebuild,
    /// What its server stands on; what it would start with is computed.
    pub(super) footing: Footing,
    /// Where its tablespaces lie.
    pub(super) tablespaces: Vec<String>,
    pub(super) dark: Dark,
    pub(super) door: Door,
    pub(super) disk: Disk,
}

/// A server that runs.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) life: Life,
    pub(super) phase: Phase,
    pub(super) recovery: bool,
    pub(super) promoting: bool,
}

/// How far a server's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Ready,
    Stopping(StopMode),
    /// It has written its shutdown checkpoint and waits for the standbys to have it.
    Draining,
}

/// What keeps a server from reacting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hang {
    None,
    /// One session does not react: a fast stop does not end.
    Backend,
    /// SIGSTOP: nothing of it reacts to anything but SIGKILL.
    Server,
}

/// What lies below the node's data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Disk {
    #[default]
    Works,
    /// It does nothing of what it is asked to.
    Stalls,
}

/// How a new session fares; those that are open stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// It is let in.
    #[default]
    Open,
    /// There is no free connection.
    Full,
    /// No entry of `pg_hba.conf` lets pgbaton in.
    Barred,
    /// Its password is not right any more.
    Password,
}

/// A session that outlived its postmaster.
#[derive(Debug, Clone)]
pub(super) struct Orphan {
    pub(super) pid: u32,
    /// Whose it is, when it goes on committing.
    pub(super) client: Option<ClientId>,
}

/// Settings that are kept beside the server's own.
#[derive(Debug, Clone, Hash)]
pub(super) struct Saved {
    pub(super) owner: String,
    pub(super) values: BTreeMap<String, Value>,
    /// Where the simulation was seeded with nothing but its existence.
    pub(super) contents_known: bool,
}

/// How many seconds a file may wait for an archive that works.
const OLD_S: i64 = 10;

/// Nothing is archived.
pub(super) const IDLE: Archiving = Archiving {
    active: false,
    waiting: 0,
    oldest_s: None,
    failing: false,
};

/// A slot.
#[derive(Debug, Clone)]
pub(super) struct SlotState {
    pub(super) physical: bool,
    pub(super) restart: Option<Lsn>,
    pub(super) lost: bool,
    pub(super) failover: bool,
    pub(super) origin: SlotOrigin,
    /// A process that holds it and serves no node of the site.
    pub(super) stranger: Option<u32>,
}

impl SlotState {
    /// A physical one that nobody holds.
    pub(super) fn keeping(restart: Option<Lsn>) -> Self {
        Self {
            physical: true,
            restart,
            lost: false,
            failover: false,
            origin: SlotOrigin::Own,
            stranger: None,
        }
    }
}

/// What the startup process and its walreceiver are at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Receiving {
    /// It is told to receive from nobody, or does not run.
    Off,
    /// It waits for `wal_retrieve_retry_interval` to be over.
    Asleep,
    /// There is a walreceiver, and no answer yet.
    Connecting {
        pid: u32,
        target: Target,
        slot: Option<SlotName>,
    },
    /// It streams.
    Attached(StreamId),
}

/// What holds replay up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Replay {
    /// `pg_wal_replay_pause()`.
    pub(super) paused: bool,
    /// The walreceiver does not take anything off the wire.
    pub(super) stalled: bool,
}

/// A commit that waits for standbys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiter {
    pub(super) client: ClientId,
    pub(super) commit: Commit,
    pub(super) since: At,
}

/// A commit of a client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) node: NodeId,
    pub(super) branch: BranchId,
    /// The end of its record.
    pub(super) at: Lsn,
    /// Commits waited for standbys when it was written.
    pub(super) waited: bool,
}

/// What nobody could find out when the world was seeded: who asks is told what was told then.
#[derive(Debug, Clone, Default)]
pub(super) struct Dark {
    pub(super) sql: Option<Trouble>,
    pub(super) host: Option<Trouble>,
}

impl Node {
    /// It runs, accepts sessions, and reacts.
    pub(super) fn serves(&self) -> bool {
        self.hang != Hang::Server
            && !self.unseen()
            && self
                .process
                .as_ref()
                .is_some_and(|p| p.phase == Phase::Ready)
    }

    /// It runs and is out of recovery.
    pub(super) fn writes(&self) -> bool {
        self.serves() && self.process.as_ref().is_some_and(|p| !p.recovery)
    }

    /// Nobody could find out whether it lives, and so nothing is said to come from there.
    pub(super) fn unseen(&self) -> bool {
        self.dark
            .sql
            .as_ref()
            .is_some_and(|trouble| trouble.kind != TroubleKind::Denied)
    }

    pub(super) fn is_standby(&self) -> bool {
        self.process.as_ref().is_some_and(|p| p.recovery)
    }

    /// Something has waited for the archive too long for a command that works. One that fails is given up by a server
    /// that shuts down.
    pub(super) fn archive_hangs(&self) -> bool {
        let archiving = &self.archiving;
        let old = archiving.oldest_s.is_some_and(|age| age > OLD_S);
        archiving.active && archiving.waiting > 0 && !archiving.failing && old
    }

    pub(super) fn life(&self) -> Option<Life> {
        self.process.as_ref().map(|p| p.life)
    }

    /// Everything that it has is replayed and nothing holds it up: the startup process waits for WAL.
    pub(super) fn drained(&self) -> bool {
        !self.replay.paused && self.wal.replayed >= self.wal.end
    }
}
