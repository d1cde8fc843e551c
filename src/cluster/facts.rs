//! What can be known about a node. Every fact is what a server or a host said, never a conclusion.

use super::{Lsn, SlotName, SystemId, Timeline};
use serde::{Deserialize, Serialize};

/// What `IDENTIFY_SYSTEM` answers. The only trusted source of a running node's timeline: control data may lag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The system identifier.
    pub system: SystemId,
    /// The current timeline.
    pub timeline: Timeline,
    /// The flush position, on a standby the greater of received and replayed.
    pub at: Lsn,
}

/// One server's own view of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// `server_version_num`.
    pub version: u32,
    /// `pg_is_in_recovery()`.
    pub in_recovery: bool,
    /// `pg_current_wal_flush_lsn()`; only on a primary.
    pub written: Option<Lsn>,
    /// `pg_last_wal_receive_lsn()`; only on a standby, and null after a restart until something streams.
    pub received: Option<Lsn>,
    /// `pg_last_wal_replay_lsn()`; only on a standby.
    pub replayed: Option<Lsn>,
    /// `pg_is_wal_replay_paused()`.
    pub replay_paused: bool,
    /// What the startup process waits for; only on a standby.
    pub startup: StartupState,
    /// `pg_stat_wal_receiver`.
    pub receiver: Option<Receiver>,
    /// A walreceiver process exists (it may exist before it has a row with contents).
    pub receiver_pid: Option<u32>,
    /// Rows of `pg_stat_replication`, as a number.
    pub senders: u32,
}

/// What replay is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartupState {
    /// It waits for WAL to arrive: everything received is replayed.
    WaitsForWal,
    /// It is busy, paused or delayed.
    Busy,
    /// There is no startup process, or the server does not let us see it.
    NotSeen,
}

/// A standby's connection to its upstream, as the standby sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// Process id.
    pub pid: u32,
    /// `streaming`, `waiting`, `starting`, …
    pub status: String,
    /// The upstream's host as connected.
    pub host: String,
    /// The upstream's port.
    pub port: u16,
    /// The slot in use.
    pub slot: Option<SlotName>,
    /// The timeline being received.
    pub timeline: Option<Timeline>,
    /// Flushed up to here.
    pub flushed: Option<Lsn>,
    /// Milliseconds since the last message from the upstream, by the standby's clock.
    pub silent_ms: Option<i64>,
}

/// One row of `pg_stat_replication`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// Process id.
    pub pid: u32,
    /// `application_name`; a node's name where pgbaton set it up.
    pub application: String,
    /// `startup`, `catchup`, `streaming`, `backup`, `stopping`.
    pub state: String,
    /// Sent up to here.
    pub sent: Option<Lsn>,
    /// Flushed on the standby up to here.
    pub flushed: Option<Lsn>,
    /// Replayed on the standby up to here.
    pub replayed: Option<Lsn>,
    /// `async`, `potential`, `sync`, `quorum`.
    pub sync_state: String,
}

/// The names of the files in `pg_wal`, as far as they tell something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalFiles {
    /// `wal_segment_size`, in bytes.
    pub segment: u64,
    /// Where the oldest segment begins, of whatever timeline; none when there is no segment.
    pub oldest: Option<Lsn>,
    /// The timelines of which a history file is there, in their order.
    pub histories: Vec<Timeline>,
}

impl WalFiles {
    /// Whether the segment that holds `position`, where a standby would begin to stream, is gone.
    pub fn lacks(&self, position: Lsn) -> bool {
        let begins = position.0 - position.0 % self.segment.max(1);
        self.oldest.is_none_or(|oldest| oldest.0 > begins)
    }
}

/// How far archiving is behind, by the running server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archiving {
    /// Archiving is on, and there is something that archives.
    pub active: bool,
    /// Files that wait to be archived.
    pub waiting: u32,
    /// For how many seconds the oldest of them has waited, by the server's clock.
    pub oldest_s: Option<i64>,
    /// The last attempt failed.
    pub failing: bool,
}

/// One configuration setting as the running server has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an answer of the server's, none excludes another"
)]
pub struct Setting {
    /// The value. Empty for settings that may hold a secret where `secret` is true.
    pub value: String,
    /// `sighup`, `postmaster`, `user`, …: what it takes to change it.
    pub context: String,
    /// `default`, `configuration file`, `command line`, …
    pub source: String,
    /// It stands in the file that `ALTER SYSTEM` writes.
    pub by_alter_system: bool,
    /// A changed file waits for a restart.
    pub pending_restart: bool,
    /// The value may hold a password and was left out; only whether it is empty is told by `set`.
    pub secret: bool,
    /// The value is not the empty string.
    pub set: bool,
}

/// What the host says about a server, without asking the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The living postmaster of this data directory.
    pub postmaster: Option<u32>,
    /// It is stopped by a signal (SIGSTOP), as a frozen server is: it exists and does nothing.
    pub frozen: bool,
    /// Line 8 of `postmaster.pid`: `ready`, `standby`, `starting`, `stopping`.
    pub postmaster_status: Option<String>,
    /// Processes of this data directory that are not the postmaster and not its children: they outlived it.
    pub orphans: Vec<Process>,
    /// Control data, when it could be read.
    pub control: Option<ControlData>,
    /// The newest timeline of which a segment or a history file lies in `pg_wal`. Control data may still name the one
    /// before.
    pub newest_timeline: Option<Timeline>,
    /// `standby.signal` exists.
    pub standby_signal: bool,
    /// Processes attached to the server's System V shared memory segment, when there is one.
    pub shared_memory_attached: Option<u32>,
    /// The slots that lie on its disk: their names, all that can be told without the server.
    pub slots: Vec<SlotName>,
    /// A rewind of its data began and did not end: they are no state that any server ever had.
    #[serde(default)]
    pub half_rewound: bool,
}

/// What the host of a node says about ways to renew its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an answer of the host's, none excludes another"
)]
pub struct Rebuild {
    /// `wal_log_hints`, by the control data.
    pub wal_log_hints: bool,
    /// Its pages have checksums, by the control data.
    pub checksums: bool,
    /// The program that rewinds is there.
    pub can_rewind: bool,
    /// The release that it is made for, where it tells.
    #[serde(default)]
    pub rewinds: Option<u32>,
    /// The program that copies is there.
    pub can_copy: bool,
    /// The newest release that it copies, where it tells.
    #[serde(default)]
    pub copies: Option<u32>,
    /// The release whose data these are, where the directory tells.
    #[serde(default)]
    pub release: Option<u32>,
    /// A `restore_command` is set in its files.
    pub archive: bool,
    /// Something can be made beside the data directory.
    pub beside: bool,
    /// The data directory is where a disk is mounted: nothing can be renamed to its place.
    #[serde(default)]
    pub mounted: bool,
}

/// A process on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its title.
    pub title: String,
}

/// What `pg_controldata` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlData {
    /// The cluster state.
    pub state: ControlState,
    /// The system identifier.
    pub system: SystemId,
    /// Where the latest checkpoint record is.
    pub checkpoint: Lsn,
    /// Its redo position.
    pub redo: Lsn,
    /// Its timeline.
    pub timeline: Timeline,
}

/// `Database cluster state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlState {
    /// `shut down`.
    ShutDown,
    /// `shut down in recovery`.
    ShutDownInRecovery,
    /// `shutting down`.
    ShuttingDown,
    /// `in crash recovery`.
    CrashRecovery,
    /// `in archive recovery`: a standby.
    ArchiveRecovery,
    /// `in production`.
    InProduction,
    /// `starting up`.
    StartingUp,
}

/// What a new connection attempt meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// The server answers and accepts sessions.
    Accepts,
    /// The server answers and refuses: starting up, shutting down, too many connections, wrong password. Not dead.
    Rejects,
    /// Nothing answers: refused by the host, or silence until the deadline.
    Silent,
}

/// What a standby that logs in to an upstream meets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admission {
    /// It may replicate from there.
    Granted,
    /// It may not, in the words of who refused: the server, or what is in between.
    Refused(String),
    /// It could not be tried, and why.
    Untold(String),
}

/// Where a standby stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Its timeline, from `IDENTIFY_SYSTEM`.
    pub timeline: Timeline,
    /// The greater of received and replayed.
    pub at: Lsn,
    /// Replayed up to here.
    pub replayed: Lsn,
}

/// A value with the age that it had when it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timed<T> {
    /// The value.
    pub value: T,
    /// How long ago it was read from the running server, in milliseconds.
    pub age_ms: u64,
}

/// What was last seen of a node while it ran; kept for the time when it does not (rule 1, *starved*).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// `synchronous_standby_names` as running.
    pub synchronous_standby_names: Option<Timed<String>>,
    /// `synchronous_commit` as running.
    pub synchronous_commit: Option<Timed<String>>,
    /// `application_name`s of the receivers that were attached.
    pub receivers: Option<Timed<Vec<String>>>,
    /// The last position and timeline seen as primary.
    pub position: Option<Timed<(Timeline, Lsn)>>,
}

impl Host {
    /// The newest timeline that the server has written on, or was to write on.
    pub fn timeline(&self) -> Option<Timeline> {
        let control = self.control.as_ref().map(|control| control.timeline);
        self.newest_timeline.max(control)
    }
}

impl Server {
    /// The greater of received and replayed; on a primary what is written.
    pub fn position(&self) -> Option<Lsn> {
        if self.in_recovery {
            self.received.max(self.replayed)
        } else {
            self.written
        }
    }

    /// Replay has caught up with everything received: the startup process waits for WAL and replay is not paused.
    pub fn drained(&self) -> bool {
        self.in_recovery && !self.replay_paused && self.startup == StartupState::WaitsForWal
    }
}
