//! What the site file says about one cluster: its nodes and how to reach them.

use super::{Detector, NodeName, RepmgrTable, Service, SlotName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Which server software the cluster runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Product {
    /// PostgreSQL.
    Postgresql,
    /// KingbaseES.
    Kingbase,
}

impl Product {
    /// The port of a server that was told none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Postgresql => 5432,
            Self::Kingbase => 54_321,
        }
    }
}

/// One cluster: nodes and access.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// The cluster's name in the site file; the lease is on this name.
    pub cluster: String,
    /// The product.
    pub product: Product,
    /// The nodes, by name.
    pub nodes: BTreeMap<NodeName, Node>,
    /// How pgbaton logs in.
    pub sql: SqlAccess,
    /// How standbys log in to their upstream.
    pub replication: ReplicationAccess,
    /// How commits are to be synchronous.
    pub synchronous: Synchronous,
    /// repmgr's table of the nodes, where it is to be kept right.
    #[serde(default)]
    pub repmgr: Option<RepmgrTable>,
    /// What whoever watches it may do by itself.
    #[serde(default)]
    pub detector: Detector,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its number in tables, from 1, in the order of the site file unless given.
    pub id: u32,
    /// Host name, address, or the directory of a Unix socket (begins with `/`), for SQL and for replication.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Higher is preferred when positions tie.
    pub priority: i64,
    /// Site, data centre, rack.
    pub location: String,
    /// May it become primary?
    pub promote: PromotePolicy,
    /// The data directory on its host.
    pub data: PathBuf,
    /// The directory of the server's programs on its host.
    pub bin: PathBuf,
    /// How commands reach its host.
    pub transport: Transport,
    /// Where `pg_ctl start` writes the server's output; `<data>/pgbaton-start.log` when absent.
    pub log: Option<PathBuf>,
    /// What starts and stops it in place of `pg_ctl`.
    #[serde(default)]
    pub service: Option<Service>,
    /// Arguments of a site's command that keeps its service manager from starting the server again (rule 1).
    pub forbid_return: Option<Vec<String>>,
    /// Arguments of the command that takes `forbid_return` back.
    pub allow_return: Option<Vec<String>>,
}

/// Whether a node may be promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromotePolicy {
    /// It may.
    Allowed,
    /// It may not, but counts for what it holds.
    Never,
}

/// Where a secret is to be found. The secret itself is never kept here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretSource {
    /// A file whose contents, less a final newline, are the secret.
    File(PathBuf),
    /// An environment variable of pgbaton.
    Env(String),
}

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server offers it; the certificate is not checked.
    Prefer,
    /// Always; the certificate is not checked.
    Require,
    /// Always, with a certificate from a trusted authority.
    VerifyCa,
    /// As `verify-ca`, and the certificate must be for this host.
    VerifyFull,
}

/// How pgbaton logs in to every server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlAccess {
    /// User; needs the rights that `docs/rights.md` lists.
    pub user: String,
    /// Database.
    pub dbname: String,
    /// A file in the format of `.pgpass`.
    pub passfile: Option<PathBuf>,
    /// The password itself, from elsewhere.
    pub password: Option<SecretSource>,
    /// TLS.
    pub sslmode: SslMode,
    /// Certificate authorities in PEM.
    pub sslrootcert: Option<PathBuf>,
}

/// How a standby logs in to its upstream; becomes `primary_conninfo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationAccess {
    /// User.
    pub user: String,
    /// A passfile on the standby's host.
    pub passfile: Option<PathBuf>,
    /// Further connection parameters (`connect_timeout`, `keepalives_idle`, `sslmode`, …). `password` is refused.
    pub options: BTreeMap<String, String>,
}

/// How commits are to be synchronous on whichever node is primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synchronous {
    /// The shape of `synchronous_standby_names`.
    pub mode: SyncMode,
    /// How many standbys a commit waits for, in the modes `quorum` and `first`.
    pub acks: u32,
}

/// The shape of `synchronous_standby_names`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncMode {
    /// `ANY acks (…)`.
    Quorum,
    /// `FIRST acks (…)`, by priority.
    First,
    /// `ANY n (…)` with all n.
    All,
    /// Empty.
    Off,
    /// pgbaton leaves the setting alone.
    Unmanaged,
}

/// How a command reaches a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// It is this host; commands run as `user` where that is not the current one (needs root).
    Local {
        /// The operating-system user that owns the server.
        user: Option<String>,
    },
    /// By ssh, with the user's own configuration and keys.
    Ssh {
        /// The host, where it is not the node's.
        host: Option<String>,
        /// The user.
        user: Option<String>,
        /// The port.
        port: Option<u16>,
        /// A private key.
        identity: Option<PathBuf>,
        /// A configuration file in place of the user's own.
        config: Option<PathBuf>,
        /// A file of known hosts.
        known_hosts: Option<PathBuf>,
    },
    /// By a site's program: these arguments, then the command as one more.
    Template {
        /// Program and arguments; `{host}` is replaced.
        argv: Vec<String>,
    },
    /// Not at all: SQL only.
    None,
}

impl Node {
    /// The commands that start and stop it, where they are not `pg_ctl`'s.
    pub fn service_commands(&self) -> Vec<Vec<String>> {
        let service = self.service.iter();
        service.flat_map(|s| [s.stop(), s.start()]).collect()
    }

    /// All commands that the site file names for its server.
    pub fn commands(&self) -> Vec<Vec<String>> {
        let mut all = self.service_commands();
        all.extend(self.forbid_return.clone());
        all.extend(self.allow_return.clone());
        all
    }
}

impl Inventory {
    /// The node of this name.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// The node that listens at this host and port, as a receiver or a conninfo names it.
    pub fn node_at(&self, host: &str, port: u16) -> Option<&Node> {
        self.nodes
            .values()
            .find(|n| n.host == host && n.port == port)
    }

    /// The slot that `follower` uses on whatever upstream it has.
    pub fn slot_of(&self, follower: &NodeName) -> SlotName {
        follower.slot()
    }
}
