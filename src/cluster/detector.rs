//! What the site file asks of whoever watches a cluster: when it acts by itself, and when it does not.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a watch does about what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It looks, and says what it would have done.
    Observe,
    /// It asks a person, and waits for a while.
    Approve,
    /// It acts.
    Auto,
}

/// What a primary that somebody shut down cleanly means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnShutdown {
    /// An administrator is at work.
    Alert,
    /// The same as a crash.
    Act,
}

/// What becomes of an old primary whose host is there again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnReturn {
    /// A person brings it back.
    Alert,
    /// It is brought back as a standby.
    Rejoin,
}

/// When a watch acts by itself. The defaults are those that pgbaton is tested with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    /// What it does.
    pub mode: Mode,
    /// Between two looks while all is well.
    pub every: Duration,
    /// Between two new connections to a node while all is well.
    pub connect_every: Duration,
    /// How long an answer may take before it counts as silence.
    pub patience: Duration,
    /// How many looks in a row must come to the same, the first included. At least two.
    pub looks: u32,
    /// Between two looks at a suspicion.
    pub pause: Duration,
    /// How long a primary of which nothing is heard must be silent, its host included.
    pub silent: Duration,
    /// How long a server that is there, and does nothing, must do nothing.
    pub hangs: Duration,
    /// How long a commit may wait for a standby before that is told.
    pub stalled: Duration,
    /// What a clean shutdown means.
    pub on_shutdown: OnShutdown,
    /// What becomes of an old primary that is there again.
    pub on_return: OnReturn,
    /// After a run nothing is started by itself for so long, unless a person has acknowledged it.
    pub cooldown: Duration,
    /// The playbook for a primary that is dead.
    pub playbook: String,
    /// Its parameters.
    pub params: BTreeMap<String, String>,
    /// What is run in its place where the loss has this name, one of [`LOSSES`]; none: nothing is.
    pub playbooks: BTreeMap<String, Option<String>>,
}

/// The names of what a watch acts on.
pub const LOSSES: [&str; 4] = [
    "postgres_down_host_up",
    "primary_dead",
    "primary_dead_and_some_standbys",
    "primary_hangs",
];

/// The playbooks in whose place, in mode `approve`, a person is asked first. What else is run would begin unasked.
pub const ASKED_FIRST: [&str; 2] = ["failover", "restart"];

impl Detector {
    /// All playbooks that it may start for a loss, each once.
    pub fn starts(&self) -> BTreeSet<&str> {
        let own = self.playbooks.values().flatten().map(String::as_str);
        own.chain([self.playbook.as_str()]).collect()
    }

    /// What is run for a loss of this name; none where the site file wants nothing to be.
    pub fn playbook_for(&self, loss: &str) -> Option<&str> {
        match self.playbooks.get(loss) {
            Some(own) => own.as_deref(),
            None => Some(&self.playbook),
        }
    }
}

impl Default for Detector {
    fn default() -> Self {
        Self {
            mode: Mode::Observe,
            every: Duration::from_millis(500),
            connect_every: Duration::from_secs(10),
            patience: Duration::from_secs(1),
            looks: 2,
            pause: Duration::from_millis(50),
            silent: Duration::from_secs(2),
            hangs: Duration::from_secs(30),
            stalled: Duration::from_secs(5),
            on_shutdown: OnShutdown::Alert,
            on_return: OnReturn::Alert,
            cooldown: Duration::from_mins(10),
            playbook: "failover".to_owned(),
            params: BTreeMap::new(),
            playbooks: BTreeMap::new(),
        }
    }
}
