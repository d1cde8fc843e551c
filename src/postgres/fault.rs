//! What can go wrong on the way to a server, and what kind of trouble that is.

use super::secret::masked;
use crate::cluster::{NodeName, Outcome, Trouble, TroubleKind};
use std::time::Duration;

/// An error that the server itself reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ServerError {
    /// SQLSTATE.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) detail: String,
    pub(crate) hint: String,
}

/// Why a statement has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// No connection could be made; nothing was sent.
    #[error("no connection to {address}: {why}")]
    Unreachable { address: String, why: String },
    /// The server cannot be logged in to, or must not be: nothing was sent.
    #[error("no session on {address}: {why}")]
    Denied { address: String, why: String },
    /// The server refused the session.
    #[error("{address} refused the session: {}", told(.error))]
    Refused { address: String, error: ServerError },
    /// The server answered with an error.
    #[error("{}", told(.0))]
    Server(ServerError),
    /// The connection broke after the statement had been sent.
    #[error("the connection was lost before the answer came: {0}")]
    Lost(String),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Silent(Duration),
}

/// An error with its causes.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn told(error: &ServerError) -> String {
    let mut text = error.message.clone();
    if !error.detail.is_empty() {
        text = format!("{text} ({})", error.detail);
    }
    format!("{text} [{}]", error.code)
}

/// What a SQLSTATE means for us.
fn kind_of(code: &str) -> TroubleKind {
    match code {
        // insufficient_privilege
        "42501" => TroubleKind::Denied,
        // query_canceled: by our own statement_timeout, or by somebody
        "57014" => TroubleKind::Timeout,
        // cannot_connect_now, too_many_connections, admin_shutdown, crash_shutdown
        "57P03" | "53300" | "57P01" | "57P02" => TroubleKind::Unreachable,
        // object_not_in_prerequisite_state, object_in_use, duplicate_object, read_only_sql_transaction
        "55000" | "55006" | "42710" | "25006" => TroubleKind::Conflict,
        code if code.starts_with("28") => TroubleKind::Denied,
        code if code.starts_with("08") => TroubleKind::Unreachable,
        _ => TroubleKind::Failed,
    }
}

/// The session ended with this: what the statement did until then cannot be told.
fn ends_the_session(code: &str) -> bool {
    matches!(code, "57P01" | "57P02" | "57P05") || code.starts_with("08")
}

fn advice(fault: &Fault) -> Option<String> {
    let error = match fault {
        Fault::Server(error) | Fault::Refused { error, .. } => error,
        Fault::Denied { .. } => {
            return Some("check `sql` in the site file: password, passfile, sslmode".to_owned());
        }
        Fault::Unreachable { .. } => {
            return Some("check that the server runs, its host and port in the site file, listen_addresses and the network".to_owned());
        }
        Fault::Lost(_) | Fault::Silent(_) => return None,
    };
    let text = match error.code.as_str() {
        "28P01" => "check the password or the passfile in `sql` of the site file",
        "28000" => "check pg_hba.conf on the server for pgbaton's user and this machine's address",
        "42501" => {
            "give pgbaton's user the right that is missing; `pg_monitor` covers all that is only read"
        }
        "53300" => {
            "the server lives, but has no free connection: see max_connections and superuser_reserved_connections"
        }
        "57P03" => {
            "the server lives, but does not accept sessions: it starts up, shuts down or recovers"
        }
        _ if !error.hint.is_empty() => return Some(error.hint.clone()),
        _ => return None,
    };
    Some(text.to_owned())
}

impl Fault {
    /// The SQLSTATE, when the server told one.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Server(error) | Self::Refused { error, .. } => Some(&error.code),
            _ => None,
        }
    }

    /// Nothing was sent: it may be sent on another session.
    pub(crate) fn is_unsent(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// The session is over; what the statement did until then cannot be told.
    pub(crate) fn ends_the_session(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Server(error) => ends_the_session(&error.code),
            _ => false,
        }
    }

    /// The same without the server's words: they may repeat a secret that was in the statement.
    #[must_use]
    pub(crate) fn without_words(self) -> Self {
        match self {
            Self::Server(error) => Self::Server(ServerError {
                code: error.code,
                message: "the server refused the statement (its message is left out: it may hold a secret)".to_owned(),
                ..ServerError::default()
            }),
            other => other,
        }
    }

    /// The same with these values masked in the server's words.
    #[must_use]
    pub(crate) fn without(self, values: &[Option<String>]) -> Self {
        let Self::Server(error) = self else {
            return self;
        };
        let mask = |text| masked(text, values.iter().flatten().map(String::as_str));
        Self::Server(ServerError {
            code: error.code,
            message: mask(error.message),
            detail: mask(error.detail),
            hint: mask(error.hint),
        })
    }

    fn kind(&self) -> TroubleKind {
        match self {
            Self::Unreachable { .. } | Self::Lost(_) => TroubleKind::Unreachable,
            Self::Denied { .. } => TroubleKind::Denied,
            Self::Refused { error, .. } | Self::Server(error) => kind_of(&error.code),
            Self::Silent(_) => TroubleKind::Timeout,
        }
    }

    fn trouble(&self, kind: TroubleKind, node: &NodeName, what: &str) -> Trouble {
        let trouble = Trouble::on(kind, node, format!("{what}: {self}"));
        match advice(self) {
            Some(text) => trouble.with_help(text),
            None => trouble,
        }
    }

    /// The fault of a question to a server that no site file names.
    pub(crate) fn about(&self, what: &str) -> Trouble {
        Trouble::here(self.kind(), format!("{what}: {self}"))
    }

    /// The fault of a question.
    pub(crate) fn when_asking(&self, node: &NodeName, what: &str) -> Trouble {
        self.trouble(self.kind(), node, what)
    }

    /// The fault of an effect: once it was sent, only the server's own refusal tells that it did not happen.
    pub(crate) fn when_doing(&self, node: &NodeName, what: &str) -> Outcome {
        if self.ends_the_session() || matches!(self, Self::Silent(_)) {
            Outcome::Unknown(
                self.trouble(TroubleKind::Unknown, node, what).with_help(
                    "look at the node before anything is repeated: it may have happened",
                ),
            )
        } else {
            Outcome::Failed(self.when_asking(node, what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: &str) -> Fault {
        Fault::Server(ServerError {
            code: code.into(),
            message: "hunter2".into(),
            ..ServerError::default()
        })
    }

    #[test]
    fn kinds_come_from_codes_and_an_effect_is_unknown_only_once_it_was_sent() {
        let node = NodeName::parse("n1").unwrap();
        let address = || "h:1".to_owned();
        for (fault, kind, unknown) in [
            (server("28P01"), TroubleKind::Denied, false),
            (server("42501"), TroubleKind::Denied, false),
            (server("57P03"), TroubleKind::Unreachable, false),
            (server("57014"), TroubleKind::Timeout, false),
            (server("55006"), TroubleKind::Conflict, false),
            (server("22012"), TroubleKind::Failed, false),
            (server("57P01"), TroubleKind::Unreachable, true),
            (Fault::Lost("reset".into()), TroubleKind::Unreachable, true),
            (
                Fault::Silent(Duration::from_secs(1)),
                TroubleKind::Timeout,
                true,
            ),
            (
                Fault::Unreachable {
                    address: address(),
                    why: "refused".into(),
                },
                TroubleKind::Unreachable,
                false,
            ),
            (
                Fault::Denied {
                    address: address(),
                    why: "no password".into(),
                },
                TroubleKind::Denied,
                false,
            ),
        ] {
            assert_eq!(fault.when_asking(&node, "x").kind, kind, "{fault}");
            let outcome = fault.when_doing(&node, "x");
            assert_eq!(matches!(outcome, Outcome::Unknown(_)), unknown, "{fault}");
        }
        assert!(
            !server("22023")
                .without_words()
                .to_string()
                .contains("hunter2")
        );
    }
}
