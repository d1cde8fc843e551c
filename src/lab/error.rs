//! What can go wrong with a lab, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

/// Why a lab could not be made, found, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The name cannot be used.
    #[error(
        "`{name}` is not a usable lab name: 1 to 32 lower-case letters, digits, `-` and `_`, beginning with a letter or digit"
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// Options that make no cluster.
    #[error("a lab cannot be made like this: {why}")]
    Options {
        /// Which rule they break.
        why: String,
    },
    /// No server programs on this machine.
    #[error("no PostgreSQL server programs (12 or newer) were found; looked in {}", tried.join(", "))]
    Programs {
        /// Where was looked.
        tried: Vec<String>,
    },
    /// Root needs another user to run servers as, and there is none.
    #[error(
        "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it as"
    )]
    NoUser,
    /// The servers' user cannot get at the lab's directory.
    #[error("the servers run as `{user}`, who cannot enter {}", at.display())]
    Unreachable {
        /// The user.
        user: String,
        /// The directory that stops it.
        at: PathBuf,
    },
    /// The directory for labs belongs to somebody else.
    #[error("{} is not a directory of this user", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
    },
    /// There is such a lab already.
    #[error("a lab `{name}` exists already in {}", dir.display())]
    Exists {
        /// Its name.
        name: String,
        /// Its directory.
        dir: PathBuf,
    },
    /// There is no such lab.
    #[error("there is no lab `{name}`")]
    Missing {
        /// What was asked for.
        name: String,
        /// Those that there are.
        labs: Vec<String>,
    },
    /// Another process is making or removing this lab.
    #[error("another process is at work on the lab `{name}`")]
    Busy {
        /// Its name.
        name: String,
    },
    /// There is no such node.
    #[error("the lab `{lab}` has no node `{node}`; it has {}", nodes.join(", "))]
    UnknownNode {
        /// The lab.
        lab: String,
        /// What was asked for.
        node: String,
        /// Those that there are.
        nodes: Vec<String>,
    },
    /// No free ports.
    #[error("no {wanted} free ports were found between {from} and {to} on 127.0.0.1")]
    Ports {
        /// How many are needed.
        wanted: usize,
        /// First port looked at.
        from: u16,
        /// One past the last.
        to: u16,
    },
    /// No free network.
    #[error("no free network was found among 10.64.0.0/24 to 10.127.255.0/24")]
    Networks,
    /// What hosts need is not here.
    #[error("nodes cannot have hosts of their own here: {why}")]
    Needs {
        /// What is missing.
        why: String,
        /// What to do about it.
        todo: String,
    },
    /// A fault of a network that the lab does not have.
    #[error("the nodes of the lab `{lab}` have no hosts of their own whose network could be cut")]
    NoHosts {
        /// The lab.
        lab: String,
    },
    /// Something about a file or directory.
    #[error("failed to {what} {}", path.display())]
    File {
        /// What was tried, like `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The record of a lab is not ours, or of a later version.
    #[error("{} is not a lab's record that this version can read", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A program said no.
    #[error("failed to {what}: {program} ended with {status}{}", tail(output))]
    Command {
        /// What was tried.
        what: String,
        /// The program.
        program: String,
        /// Its exit status in words.
        status: String,
        /// The end of what it wrote, or of the server's log.
        output: String,
    },
    /// A program cannot be started.
    #[error("failed to {what}: {program} cannot be started")]
    Spawn {
        /// What was tried.
        what: String,
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// Something took too long.
    #[error("failed to {what} within {:.0} s{}", after.as_secs_f64(), tail(output))]
    Late {
        /// What was tried.
        what: String,
        /// The bound.
        after: Duration,
        /// What is known about the reason; may be empty.
        output: String,
    },
    /// A server refused a statement.
    #[error("failed to {what}")]
    Sql {
        /// What was tried.
        what: String,
        /// Why.
        source: tokio_postgres::Error,
    },
    /// The node is not in a state in which this fault makes sense.
    #[error("cannot {fault} `{node}`: {why}")]
    State {
        /// The fault.
        fault: &'static str,
        /// The node.
        node: String,
        /// How it is.
        why: &'static str,
    },
    /// Processes that would not end.
    #[error("processes of the lab `{name}` could not be ended: {}", pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Left {
        /// The lab.
        name: String,
        /// Their process ids.
        pids: Vec<i32>,
    },
    /// A task of ours was cancelled by the runtime.
    #[error("the runtime ended before the lab was dealt with")]
    Runtime(#[source] tokio::task::JoinError),
}

impl LabError {
    /// What to do about it, where there is something to say.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Programs { .. } => "install them (Debian: `apt-get install postgresql-15`), or set PGBATON_PG_BIN to the directory of `initdb` and `pg_ctl`".to_owned(),
            Self::Networks => "routes of this machine cover them (`ip route`); a lab without --hosts needs none".to_owned(),
            Self::Needs { todo, .. } => todo.clone(),
            Self::NoHosts { .. } => "make one with `pgbaton lab up --hosts`".to_owned(),
            Self::NoUser => "create a user `postgres`, or run pgbaton as a user other than root".to_owned(),
            Self::Unreachable { .. } => "set PGBATON_LAB_DIR to a directory that every user can enter, such as /var/tmp/labs".to_owned(),
            Self::Foreign { .. } => "set PGBATON_LAB_DIR to a directory of your own".to_owned(),
            Self::Exists { name, .. } => format!("remove it with `pgbaton lab down --name {name}`, or choose another name with --name"),
            Self::Missing { labs, .. } if labs.is_empty() => "there are none at all; `pgbaton lab up` makes one".to_owned(),
            Self::Missing { labs, .. } => format!("there are: {}", labs.join(", ")),
            Self::Busy { .. } => "wait for it to finish, or end it, and try again".to_owned(),
            Self::Record { path, .. } => format!("if it is a lab of yours, end its servers and remove {}", path.parent().unwrap_or(path).display()),
            Self::Left { .. } => "look at them with `ps -fp PID`; a process in the kernel's `D` state ends when its disk answers".to_owned(),
            _ => return None,
        })
    }
}

/// The end of a program's output on lines of its own, or nothing.
fn tail(output: &str) -> String {
    let output = output.trim_end();
    if output.is_empty() {
        return String::new();
    }
    format!("\n  {}", output.replace('\n', "\n  "))
}
