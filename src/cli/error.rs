//! The one error of the command line: a kind that decides the exit code, a sentence, its causes, and what to do.

use super::exit_codes::Code;
use super::paint::Paint;
use super::text;
use crate::document::Diagnostics;
use crate::engine::LeaseError;
use crate::journal::HistoryError;
use crate::playbook::ParamError;
use crate::runs::{Change, RunsError};
use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;

/// What kind of failure; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file, a parameter or an argument cannot be used; nothing was touched.
    Invalid,
    /// A safety rule refuses; nothing was touched.
    Refused,
    /// Another run holds the cluster.
    Busy,
    /// Interrupted by a signal.
    Interrupted,
    /// Anything else.
    Failed,
}

/// Why a command could not do its work.
#[derive(Debug)]
pub(crate) struct CommandError {
    /// Decides the exit code.
    pub(crate) kind: Kind,
    /// One line, a lower-case fragment.
    pub(crate) message: String,
    /// What led to it, outermost first.
    pub(crate) causes: Vec<String>,
    /// What to do next.
    pub(crate) hints: Vec<String>,
    /// What is wrong with a document, shown before the message.
    pub(crate) diagnostics: Diagnostics,
}

impl CommandError {
    /// An error of this kind.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            diagnostics: Diagnostics::default(),
        }
    }

    /// Something given cannot be used.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// Something was tried and failed; `source` and what it names become the causes.
    pub(crate) fn failed(message: impl Into<String>, source: &(dyn Error + 'static)) -> Self {
        Self::new(Kind::Failed, message).caused_by(source)
    }

    /// The same with advice.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same with what led to it.
    #[must_use]
    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// The same with an error and everything that it names as its causes.
    #[must_use]
    pub(crate) fn caused_by(mut self, source: &(dyn Error + 'static)) -> Self {
        self.causes.extend(chain(source));
        self
    }

    /// Which exit code it means.
    pub(crate) fn code(&self) -> Code {
        match self.kind {
            Kind::Invalid => Code::Invalid,
            Kind::Refused => Code::Refused,
            Kind::Busy => Code::Busy,
            Kind::Interrupted => Code::Cancelled,
            Kind::Failed => Code::Failed,
        }
    }

    /// For people, on standard error; ends with a newline. Wrapped where `columns` are given.
    pub(crate) fn render(&self, paint: Paint, columns: Option<usize>) -> String {
        let mut out = super::diagnostics::render(&self.diagnostics, paint);
        if !out.is_empty() {
            out.push('\n');
        }
        let mut say = |lead: &str, name: Cow<'_, str>, what: &str| {
            // The width of all the names is at most that of `because:`.
            let room = columns.map_or(usize::MAX, |c| c.saturating_sub(11).max(30));
            for (index, line) in what.lines().enumerate() {
                let indent = &line[..line.len() - line.trim_start().len()];
                for (part, words) in text::wrap(line, room).iter().enumerate() {
                    let lead = if index + part == 0 {
                        format!("{lead}{name} ")
                    } else {
                        format!("{lead}  {indent}")
                    };
                    let _ = writeln!(out, "{lead}{words}");
                }
            }
        };
        say("", paint.bad("error:"), &self.message);
        for cause in &self.causes {
            say("  ", Cow::Borrowed("because:"), cause);
        }
        for hint in &self.hints {
            say("  ", paint.good("hint:"), hint);
        }
        out
    }
}

/// An error and everything that led to it; a cause that only repeats the text before it is left out.
pub(super) fn chain(source: &(dyn Error + 'static)) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut next = Some(source);
    while let Some(error) = next {
        let text = error.to_string();
        if !causes.last().is_some_and(|last| last.contains(&text)) {
            causes.push(text);
        }
        next = error.source();
    }
    causes
}

impl From<RunsError> for CommandError {
    fn from(error: RunsError) -> Self {
        let message = error.to_string();
        match error {
            RunsError::Invalid { diagnostics, .. } => {
                let mut invalid = Self::invalid(message);
                invalid.diagnostics = diagnostics;
                invalid
            }
            RunsError::Params { playbook, errors } => {
                let mut invalid = Self::invalid(message);
                // Each with its own advice: several in a row could not be told apart.
                let cause = |error: &ParamError| match &error.help {
                    Some(help) => format!("{error}\n{help}"),
                    None => error.to_string(),
                };
                invalid.causes = errors.iter().map(cause).collect();
                invalid.hint(format!(
                    "`pgbaton playbook show {playbook}` shows its parameters"
                ))
            }
            RunsError::NotFound { help, .. } => {
                let mut invalid = Self::invalid(message);
                invalid.hints.extend(help);
                invalid
            }
            RunsError::Lease(lease) => match lease {
                LeaseError::Busy { .. } => Self::new(Kind::Busy, message)
                    .hint("one run at a time changes a cluster; wait until that one has ended"),
                LeaseError::Unavailable { .. } => Self::new(Kind::Failed, message),
            },
            RunsError::Contradicted { ref node, .. } => {
                let then = format!(
                    "nothing was done; where {node} is to stay the primary, `pgbaton run follow -p node=… -p upstream={node}` attaches each standby again; where it is not, start a new run"
                );
                Self::new(Kind::Refused, message).hint(then)
            }
            RunsError::Unresumable { .. } | RunsError::Unheard { .. } => Self::invalid(message),
            RunsError::SameKey { ref run, .. } => {
                let look = format!("`pgbaton runs show {run}` tells what became of it");
                Self::new(Kind::Busy, message).hint(look)
            }
            RunsError::History(HistoryError::Unknown { .. } | HistoryError::Ambiguous { .. }) => {
                Self::invalid(message).hint("`pgbaton runs list` shows the latest")
            }
            RunsError::History(_) => Self::new(Kind::Failed, message),
            RunsError::Store(_) | RunsError::Record(_) => Self::new(Kind::Failed, message)
                .hint("without a journal nothing is done, and nothing was"),
            RunsError::Simulation(ref source) => Self::failed(message, source),
            RunsError::Moved { changes } => {
                let mut refused = Self::new(Kind::Refused, message);
                let cause = |c: &Change| format!("{}: {} → {}", c.fact, c.then, c.now);
                refused.causes = changes.iter().map(cause).collect();
                refused.hint("nothing was done; look at a new plan, then run that")
            }
            RunsError::Hopeless { .. } => Self::new(Kind::Refused, message)
                .hint("nothing was done; put right what would stop it, then make a new plan"),
            RunsError::Journal { ref source, .. } => {
                let mut failed = Self::failed(message, source);
                failed
                    .hints
                    .push("without a journal nothing is done; make the place writable".to_owned());
                failed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_do_not_repeat_each_other() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open x: {inner}")]
        struct Outer {
            #[source]
            inner: std::io::Error,
        }
        let outer = Outer {
            inner: std::io::Error::other("disk on fire"),
        };
        let error = CommandError::failed("nothing was written", &outer).hint("buy a disk");
        assert_eq!(
            error.render(Paint::plain(), None),
            "error: nothing was written\n  because: cannot open x: disk on fire\n  hint: buy a disk\n"
        );
    }

    #[test]
    fn on_a_terminal_sentences_are_wrapped_and_lines_kept() {
        let error = CommandError::new(
            Kind::Failed,
            "failed to start `n1`:\n  FATAL: no\n  LOG: down",
        )
        .hint("look at the log of the server, then try again with more patience");
        assert_eq!(
            error.render(Paint::plain(), Some(50)),
            "error: failed to start `n1`:\n    FATAL: no\n    LOG: down\n  \
             hint: look at the log of the server, then try\n    again with more patience\n"
        );
    }

    #[test]
    fn a_busy_cluster_is_exit_code_5_and_bad_input_2() {
        let busy = RunsError::Lease(LeaseError::Busy {
            cluster: "orders".into(),
            holder: "r1".into(),
        });
        assert_eq!(CommandError::from(busy).code(), Code::Busy);
        let missing = RunsError::NotFound {
            what: "no site file".into(),
            help: Some("give --site".into()),
        };
        let error = CommandError::from(missing);
        assert_eq!(error.code(), Code::Invalid);
        assert_eq!(error.hints, ["give --site"]);
    }
}
