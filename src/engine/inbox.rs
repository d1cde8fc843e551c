//! What somebody elsewhere asks of a run that is under way.

use super::{RecordError, RunId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// A message to a run, as it was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its position among the messages to this run, from 1.
    pub number: u64,
    /// What it says.
    #[serde(flatten)]
    pub letter: Letter,
}

/// What somebody wrote to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// When: RFC 3339, UTC.
    pub at: String,
    /// Who: user and host, or the name behind a token.
    pub by: String,
    /// What for.
    pub reason: String,
    /// What is asked.
    #[serde(flatten)]
    pub ask: Ask,
}

/// What can be asked of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// To end; refused after the point of no return.
    Cancel,
    /// To let a step that waits for a person go on.
    Approve {
        /// The step's path.
        step: String,
    },
    /// To fail it.
    Deny {
        /// The step's path.
        step: String,
    },
}

/// What a person decided about a step that asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// It may go on.
    pub approved: bool,
    /// Who decided.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: String,
}

/// Where messages to runs are kept. What was read once is still there for whoever resumes the run.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Messages to this run whose number is above `after`, in order.
    async fn messages(&self, run: &RunId, after: u64) -> Result<Vec<Message>, RecordError>;
}
