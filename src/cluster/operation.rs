//! Everything that pgbaton can do to a cluster or to the outside, as data.

use super::{Given, NodeName, RepmgrRow, SlotName, SyncNames};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// One thing to do. The dialect renders it, the journal records it, the live and the simulated cluster perform it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// End recovery; returns at once, the promotion goes on.
    Promote {
        /// The candidate.
        node: NodeName,
    },
    /// Create a physical slot that reserves WAL at once.
    CreateSlot {
        /// Where.
        node: NodeName,
        /// Its name.
        slot: SlotName,
    },
    /// Drop a slot that nobody holds.
    DropSlot {
        /// Where.
        node: NodeName,
        /// Its name.
        slot: SlotName,
    },
    /// Keep the node's replication settings in a file of mode 0600 on its host. Returns `{path, hash}`.
    SaveSettings {
        /// The node.
        node: NodeName,
        /// The name of the saved state, unique in the run.
        tag: String,
        /// The run. What it kept already under this name stays: it is older, and so what is to be restored. What
        /// another run left behind is replaced.
        owner: String,
    },
    /// Put back what `SaveSettings` kept (all, or only what does not decide about the upstream), reload, remove the file.
    /// Returns `{restored}`. Nothing kept: a conflict for all, `false` for the archive settings alone.
    RestoreSettings {
        /// The node.
        node: NodeName,
        /// The name of the saved state.
        tag: String,
        /// Only the archive settings: the node stays without the upstream it had.
        archive_only: bool,
        /// The server does not run: edit the file in place of asking it.
        route: UpstreamRoute,
    },
    /// Remove the file that `SaveSettings` wrote.
    ForgetSettings {
        /// The node.
        node: NodeName,
        /// The name of the saved state.
        tag: String,
    },
    /// Clear `primary_conninfo` and `restore_command`, and reload: stop receiving.
    Freeze {
        /// The standby.
        node: NodeName,
        /// What it follows until now, where its settings could not be kept on its host: an undo points it back there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        former: Option<Former>,
    },
    /// End a walreceiver that outlives the loss of its setting (SIGTERM on its host).
    EndReceiver {
        /// The standby.
        node: NodeName,
        /// The walreceiver's process id; refused when it is another program by now.
        pid: u32,
    },
    /// Point a node at an upstream. Does not reload.
    SetUpstream {
        /// The node that is to follow.
        node: NodeName,
        /// What it follows.
        upstream: NodeName,
        /// The slot it uses there.
        slot: Option<SlotName>,
        /// Through the running server or by editing its file.
        route: UpstreamRoute,
        /// The database from which it copies logical slots, where it does (17 and later).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dbname: Option<String>,
        /// What it follows until now, where its settings could not be kept on its host: an undo points it back there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        former: Option<Former>,
    },
    /// Reload the configuration.
    Reload {
        /// The node.
        node: NodeName,
    },
    /// Stop the server and wait for it.
    Stop {
        /// The node.
        node: NodeName,
        /// How.
        mode: StopMode,
        /// The host ends the attempt after this long.
        #[serde(with = "millis")]
        deadline: Duration,
    },
    /// Start the server and wait until it accepts connections.
    Start {
        /// The node.
        node: NodeName,
        /// The host ends the attempt after this long.
        #[serde(with = "millis")]
        deadline: Duration,
    },
    /// End processes that outlived their postmaster (SIGKILL; their shared memory is lost already).
    EndOrphans {
        /// The node.
        node: NodeName,
        /// Their ids; each is checked to belong to the data directory before it is ended.
        pids: Vec<u32>,
    },
    /// See to it that a stopped server cannot come back as a primary: `standby.signal`, and the site's command.
    ForbidReturn {
        /// The node.
        node: NodeName,
    },
    /// Take back `ForbidReturn`: the node may be a primary again.
    AllowReturn {
        /// The node.
        node: NodeName,
    },
    /// Rewind a stopped node's data to where its history left the upstream's, and copy what is missing (`pg_rewind`). Its
    /// own settings stay, `standby.signal` is placed. Interrupted, it leaves a mark with which the server is not started.
    Rewind {
        /// The node.
        node: NodeName,
        /// Whom it becomes a copy of.
        upstream: NodeName,
        /// The host ends it after this long.
        #[serde(with = "millis")]
        deadline: Duration,
    },
    /// Replace a stopped node's data by a new copy of the upstream's (`pg_basebackup`), made beside them. Its own settings
    /// stay, `standby.signal` is placed. Returns `{old}`: where the former data lie, empty when they were removed.
    Clone {
        /// The node.
        node: NodeName,
        /// Whom it becomes a copy of.
        upstream: NodeName,
        /// The slot that keeps the WAL of the copy, and is the node's afterwards.
        slot: Option<SlotName>,
        /// Where the upstream's tablespaces lie on its host.
        tablespaces: Vec<String>,
        /// The former data stay, under another name.
        keep: bool,
        /// The run that asks for it: a copy that another one left unfinished is none of this one.
        #[serde(default)]
        owner: String,
        /// The host ends it after this long.
        #[serde(with = "millis")]
        deadline: Duration,
    },
    /// Set `synchronous_standby_names` (empty: none) and reload.
    SetSynchronous {
        /// The node.
        node: NodeName,
        /// The value; none for the empty string.
        names: Option<SyncNames>,
        /// The text that it replaces, for the undo.
        before: String,
        /// The text came from elsewhere than `ALTER SYSTEM`: the undo resets in place of setting it.
        reset: bool,
    },
    /// Put back a value of `synchronous_standby_names` exactly as it was read.
    RestoreSynchronous {
        /// The node.
        node: NodeName,
        /// The text as it was; none to reset, so that the site's own files count again.
        text: Option<String>,
    },
    /// Name in `synchronized_standby_slots` the slots that subscribers must not get ahead of (empty: none), and reload.
    SetSynchronizedSlots {
        /// The primary.
        node: NodeName,
        /// Physical slots that are there.
        slots: Vec<SlotName>,
        /// The text that it replaces, for the undo.
        before: String,
    },
    /// A checkpoint.
    Checkpoint {
        /// The node.
        node: NodeName,
    },
    /// A transactional logical message, committed locally. Returns `{lsn}`, a position after its commit.
    Mark {
        /// The primary.
        node: NodeName,
    },
    /// Change rows of repmgr's table of nodes, in one transaction.
    UpdateRepmgr {
        /// The primary.
        node: NodeName,
        /// The rows as they are to be.
        rows: Vec<RepmgrRow>,
        /// The same rows as they were, for the undo.
        before: Vec<RepmgrRow>,
    },
    /// Tell repmgr's daemon to do nothing, or to act again; it heeds a flag in its server's shared memory.
    PauseRepmgrd {
        /// The server.
        node: NodeName,
        /// To do nothing.
        paused: bool,
    },
    /// A program of the site's.
    Exec {
        /// Where it runs.
        place: ExecPlace,
        /// Program and arguments; never a shell line.
        argv: Vec<String>,
        /// Environment.
        env: BTreeMap<String, Given>,
        /// What it is fed.
        stdin: Option<Given>,
        /// What running it twice would mean.
        effect: CustomEffect,
        /// The host ends it after this long.
        #[serde(with = "millis")]
        deadline: Duration,
    },
    /// A statement of the site's, with parameters. Returns `{rows, count}`.
    Sql {
        /// Where.
        node: NodeName,
        /// One statement.
        statement: String,
        /// Its parameters, as text.
        parameters: Vec<Option<String>>,
        /// The database, where it is not pgbaton's own.
        dbname: Option<String>,
        /// What running it twice would mean.
        effect: CustomEffect,
    },
    /// An HTTP request. Returns `{status, body}`.
    Http {
        /// The request.
        request: HttpRequest,
        /// What sending it twice would mean.
        effect: CustomEffect,
    },
}

/// What a node followed before: a node of the cluster, whose address is no secret, or nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// The node.
    pub upstream: Option<NodeName>,
    /// The slot that it used there.
    pub slot: Option<SlotName>,
}

/// How a node's upstream setting is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamRoute {
    /// The server runs: `ALTER SYSTEM`.
    Sql,
    /// The server is down: its `postgresql.auto.conf` and `standby.signal`.
    File,
}

/// How a server is stopped; from gentle to rough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StopMode {
    /// Sessions are ended, a shutdown checkpoint is written.
    Fast,
    /// A fast stop whose sessions are ended one by one: those that a signal has stopped go on, those that stay are killed.
    /// Where one had to be killed, its postmaster ends as after `immediate`.
    Terminate,
    /// No checkpoint; crash recovery at the next start.
    Immediate,
    /// SIGKILL to the postmaster and all its processes.
    Kill,
}

/// Where a program runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecPlace {
    /// On a node's host.
    Node(NodeName),
    /// Where pgbaton runs.
    Runner,
}

/// What doing it twice would mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CustomEffect {
    /// It changes nothing.
    Read,
    /// Twice is as once.
    Idempotent,
    /// It must not be done twice.
    Once,
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// Absolute.
    pub url: Given,
    /// Headers.
    pub headers: BTreeMap<String, Given>,
    /// The body.
    pub body: Option<Given>,
}

impl Operation {
    /// The node whose commits wait for others after it, where they do so: what was seen of that before is no evidence any more.
    pub fn changes_waits(&self) -> Option<&NodeName> {
        match self {
            Self::SetSynchronous { node, .. } | Self::RestoreSynchronous { node, .. } => Some(node),
            _ => None,
        }
    }

    /// The node it is done to; none for the runner and for HTTP.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Promote { node }
            | Self::CreateSlot { node, .. }
            | Self::DropSlot { node, .. }
            | Self::SaveSettings { node, .. }
            | Self::RestoreSettings { node, .. }
            | Self::ForgetSettings { node, .. }
            | Self::Freeze { node, .. }
            | Self::EndReceiver { node, .. }
            | Self::SetUpstream { node, .. }
            | Self::Reload { node }
            | Self::Stop { node, .. }
            | Self::Start { node, .. }
            | Self::EndOrphans { node, .. }
            | Self::ForbidReturn { node }
            | Self::AllowReturn { node }
            | Self::Rewind { node, .. }
            | Self::Clone { node, .. }
            | Self::SetSynchronous { node, .. }
            | Self::RestoreSynchronous { node, .. }
            | Self::SetSynchronizedSlots { node, .. }
            | Self::Checkpoint { node }
            | Self::Mark { node }
            | Self::UpdateRepmgr { node, .. }
            | Self::PauseRepmgrd { node, .. }
            | Self::Sql { node, .. }
            | Self::Exec {
                place: ExecPlace::Node(node),
                ..
            } => Some(node),
            Self::Exec { .. } | Self::Http { .. } => None,
        }
    }

    /// What doing it twice would mean.
    pub fn effect(&self) -> CustomEffect {
        match self {
            Self::Exec { effect, .. } | Self::Sql { effect, .. } | Self::Http { effect, .. } => {
                *effect
            }
            Self::Promote { .. } => CustomEffect::Once,
            _ => CustomEffect::Idempotent,
        }
    }
}

mod millis {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
