//! How an attempt to observe or to change something ends.

use super::NodeName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The three ways in which an operation ends. `Unknown` is never treated as failed: the effect may have happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It happened; with what it returned.
    Done(Value),
    /// It did not happen.
    Failed(Trouble),
    /// Nobody can tell: the connection was lost or time ran out after it had been sent.
    Unknown(Trouble),
}

/// What kind of trouble; `retry.if` and rescues see these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// No connection to the server or host.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// Not permitted: rights, password, or a safety rule.
    Denied,
    /// It was tried and failed.
    Failed,
    /// The world is in a state in which this must not be done.
    Conflict,
    /// Everything worked and the goal is still not reached.
    Unmet,
    /// It was sent and nobody can tell whether it happened.
    Unknown,
}

impl TroubleKind {
    /// The name as the language writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Conflict => "conflict",
            Self::Unmet => "unmet",
            Self::Unknown => "unknown",
        }
    }
}

/// What went wrong, where, and what to do next. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}{message}", node.as_ref().map(|n| format!("{n}: ")).unwrap_or_default())]
pub struct Trouble {
    /// The kind.
    pub kind: TroubleKind,
    /// The node it happened on or on the way to.
    pub node: Option<NodeName>,
    /// What failed and what was tried: a lower-case fragment that fits after "failed to …: ".
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
}

impl Trouble {
    /// A trouble of this kind on this node.
    pub fn on(kind: TroubleKind, node: &NodeName, message: impl Into<String>) -> Self {
        Self {
            kind,
            node: Some(node.clone()),
            message: message.into(),
            help: None,
        }
    }

    /// A trouble that belongs to no node.
    pub fn here(kind: TroubleKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            node: None,
            message: message.into(),
            help: None,
        }
    }

    /// The same with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
