//! What only somebody asks who watches a cluster all the time.

use super::{Manager, NodeName, Observe, Trouble};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a new connection meets, up to the server's first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Knock {
    /// The server goes on with the login, or lets in at once.
    Opens,
    /// It starts up, shuts down or recovers (`57P03`).
    NotNow,
    /// It has no free connection (`53300`).
    Full,
    /// It lets nobody in under this name from here (class `28`).
    Denied,
    /// It answers with another error.
    Refuses,
    /// The host answers that nobody listens there.
    Closed,
    /// The connection is made and nothing is said: a server that hangs, or cannot keep up.
    Mute,
    /// Nothing answers.
    Silent,
}

impl Knock {
    /// A server said something: it is not dead.
    pub fn is_word(self) -> bool {
        !matches!(self, Self::Closed | Self::Mute | Self::Silent)
    }
}

/// How busy a running server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Sessions of clients.
    pub sessions: u32,
    /// How many there may be, reserved ones included.
    pub most: u32,
    /// Commits that wait for a standby.
    pub waiting: u32,
    /// For how many milliseconds the statement that waits longest has been running, by the server's clock.
    pub longest_ms: i64,
    /// The same for a statement that waits until its WAL is written to the disk.
    #[serde(default)]
    pub flushing_ms: i64,
}

/// The port, for a watch that goes on. Like [`Observe`], no method has an effect on data, and every one may be dropped.
#[async_trait]
pub trait Watch: Observe {
    /// What a new connection from here meets, within this time. It needs no password.
    async fn knock(&self, node: &NodeName, within: Duration) -> Result<Knock, Trouble>;

    /// Opens a session that nobody uses, and is back when it ends: milliseconds after its server was stopped or
    /// killed; where the way to it is cut, perhaps never. An error where it cannot be opened. Not bounded: to be raced.
    async fn vigil(&self, node: &NodeName) -> Result<(), Trouble>;

    /// How busy the node's server is.
    async fn load(&self, node: &NodeName) -> Result<Load, Trouble>;

    /// Who else acts on the node, as far as its server tells: by the names of its sessions, and by repmgr's own functions
    /// where the site file says where they are. Its host is not asked, so kbha is not seen.
    async fn acting(&self, node: &NodeName, within: Duration) -> Result<Vec<Manager>, Trouble>;

    /// Whether the disk below the node's data does what it is asked to within this time, by its host. Reads past the cache,
    /// and has what was written made durable; writes nothing.
    async fn disk_answers(&self, node: &NodeName, within: Duration) -> Result<bool, Trouble>;
}
