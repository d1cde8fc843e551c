//! Why a call has no answer, and what that is to whoever asked or acted: the same as on the live side.

use crate::cluster::{NodeName, Outcome, Trouble, TroubleKind};
use std::time::Duration;

/// Why a statement or a command has no answer.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// Nothing was sent.
    Unsent(TroubleKind, String),
    /// The server or the host answered with an error.
    Refused(TroubleKind, String),
    /// The connection broke after it was sent.
    Lost(String),
    /// No answer in time.
    Silent(Duration),
    /// It was asked for and is not there yet.
    Pending(String),
    /// Nobody knows more than what was told when the world was seeded.
    Recorded(Trouble),
}

impl Fault {
    pub(super) fn unreachable(why: impl Into<String>) -> Self {
        Self::Unsent(TroubleKind::Unreachable, why.into())
    }

    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self::Refused(TroubleKind::Failed, why.into())
    }

    pub(super) fn conflict(why: impl Into<String>) -> Self {
        Self::Refused(TroubleKind::Conflict, why.into())
    }

    fn kind(&self) -> TroubleKind {
        match self {
            Self::Unsent(kind, _) | Self::Refused(kind, _) => *kind,
            Self::Lost(_) => TroubleKind::Unreachable,
            Self::Silent(_) | Self::Pending(_) => TroubleKind::Timeout,
            Self::Recorded(trouble) => trouble.kind,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Unsent(_, why) | Self::Refused(_, why) | Self::Pending(why) => why.clone(),
            Self::Lost(why) => format!("the connection was lost before the answer came: {why}"),
            Self::Silent(limit) => format!("no answer within {} s", limit.as_secs_f64()),
            Self::Recorded(trouble) => trouble.message.clone(),
        }
    }

    /// The fault of a question.
    pub(super) fn when_asking(self, node: &NodeName, what: &str) -> Trouble {
        if let Self::Recorded(trouble) = self {
            return trouble;
        }
        Trouble::on(self.kind(), node, format!("{what}: {}", self.text()))
    }

    /// The fault of an effect: once it was sent, only a refusal tells that it did not happen.
    pub(super) fn when_doing(self, node: &NodeName, what: &str) -> Outcome {
        let unknown = |kind, text| Outcome::Unknown(Trouble::on(kind, node, text));
        let text = format!("{what}: {}", self.text());
        match self {
            Self::Lost(_) | Self::Silent(_) => match unknown(TroubleKind::Unknown, text) {
                Outcome::Unknown(trouble) => Outcome::Unknown(trouble.with_help(
                    "look at the node before anything is repeated: it may have happened",
                )),
                other => other,
            },
            Self::Pending(_) => unknown(TroubleKind::Timeout, text),
            other => Outcome::Failed(other.when_asking(node, what)),
        }
    }
}

/// A failure after earlier parts is not "it did not happen".
pub(super) fn partly(done: usize, of: usize, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed(trouble) if done > 0 => Outcome::Unknown(Trouble {
            kind: TroubleKind::Unknown,
            message: format!("{done} of {of} parts were done, then: {}", trouble.message),
            ..trouble
        }),
        other => other,
    }
}
