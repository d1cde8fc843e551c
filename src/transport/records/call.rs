//! A call of a recorded operation through a transport.

use super::scripts::{CALL, END, GONE, NO_RECORD, REFUSED, SESSION, lean};
use super::{Late, Recorded};
use crate::transport::{Command, Finished, Transport, TransportError};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Beyond the deadline, so that the host can end the session and tell: two seconds of grace, two to kill, and the way.
const GRACE: Duration = Duration::from_secs(6);
/// Before a lost connection is tried again.
const PAUSE: Duration = Duration::from_millis(200);
/// What ending an operation may take.
const END_WITHIN: Duration = Duration::from_secs(15);
/// The line before the output.
const LINE: usize = 64;

impl Recorded {
    /// Does it, or takes part in what an earlier call with the same id did. When the future is dropped, the operation is
    /// ended on its host where [`Late::End`] says so; a runner that dies leaves it running.
    pub async fn run(
        &self,
        way: &Arc<dyn Transport>,
        command: Command,
    ) -> Result<Finished, TransportError> {
        command.check()?;
        let limit = command.deadline;
        let wrapped = self.wrapped(command)?;
        let end = Instant::now() + wrapped.deadline;
        let mut given_up = GivenUp {
            recorded: self,
            way,
            armed: self.late == Late::End,
        };
        let mut result = way.run(wrapped.clone()).await;
        if matches!(result, Err(TransportError::Lost { .. })) {
            sleep(PAUSE).await;
            let again = Command {
                deadline: end.saturating_duration_since(Instant::now()),
                ..wrapped.clone()
            };
            // Where it cannot be asked, the loss is what is known.
            if !again.deadline.is_zero()
                && let found @ (Ok(_) | Err(TransportError::Deadline { .. })) = way.run(again).await
            {
                result = found;
            }
        }
        // The runner before this one may be late in ending it: that is meant for the call that it made, not for this one.
        if self.again && self.repeatable && was_ended(&result) {
            let again = Command {
                deadline: end.saturating_duration_since(Instant::now()),
                ..wrapped
            };
            if !again.deadline.is_zero() {
                result = way.run(again).await;
            }
        }
        // Where not even the host told that its time is up, it is told once more. A lost connection ends nothing.
        given_up.armed &= matches!(result, Err(TransportError::Deadline { .. }));
        self.told(result, limit)
    }

    /// The command as the host gets it.
    fn wrapped(&self, command: Command) -> Result<Command, TransportError> {
        if command.stdin.contains(&0) {
            return Err(TransportError::NotStarted {
                why: "what the command is fed holds a zero byte".to_owned(),
            });
        }
        let mut stdin = command.stdin;
        let mut mark = String::new();
        if !stdin.is_empty() {
            mark = format!(
                "pgbaton-fed-{:016x}",
                RandomState::new().build_hasher().finish()
            );
            stdin.extend_from_slice(mark.as_bytes());
        }
        let (store, token) = match &self.fence {
            Some((store, token)) => (super::file_name(store), token.to_string()),
            None => (String::new(), String::new()),
        };
        let late = match self.late {
            Late::End => "end",
            Late::Finish => "finish",
        };
        let repeat = match (self.repeatable, self.again) {
            (true, false) => "repeatable",
            (true, true) => "repeatable-again",
            (false, false) => "once",
            (false, true) => "once-again",
        };
        let mut argv = script(CALL, &[&lean(SESSION)]);
        argv.extend(self.place());
        argv.extend([
            store,
            token,
            format!("{:.3}", command.deadline.as_secs_f64()),
        ]);
        argv.extend([late.to_owned(), repeat.to_owned()]);
        argv.extend([command.keep.to_string(), mark]);
        argv.extend(command.argv);
        Ok(Command {
            argv,
            stdin,
            env: command.env,
            deadline: command.deadline + GRACE,
            keep: command.keep.saturating_add(LINE),
        })
    }

    /// Base directory, cluster and id, as the scripts take them.
    fn place(&self) -> [String; 3] {
        let base = self.base.display().to_string();
        [base, self.cluster_file(), self.id_file()]
    }

    fn told(
        &self,
        result: Result<Finished, TransportError>,
        limit: Duration,
    ) -> Result<Finished, TransportError> {
        let result = match result {
            Ok(call) => match call.status {
                0 => read(call, limit),
                REFUSED => Err(TransportError::Refused {
                    why: call.complaint(),
                }),
                NO_RECORD => Err(TransportError::NotStarted {
                    why: format!("nothing was run: {}", call.complaint()),
                }),
                GONE => Err(TransportError::Lost {
                    why: call.complaint(),
                }),
                status => Err(TransportError::Lost {
                    why: format!(
                        "the shell that called it ended with {status}: {}",
                        call.complaint()
                    ),
                }),
            },
            Err(error) => Err(error),
        };
        self.doubted(result)
    }

    /// What this call did not start, the one before it may have.
    pub(super) fn doubted<T>(
        &self,
        result: Result<T, TransportError>,
    ) -> Result<T, TransportError> {
        match result {
            Err(TransportError::NotStarted { why }) if self.again => Err(TransportError::Lost {
                why: format!("it was called before, and how that ended cannot be asked: {why}"),
            }),
            other => other,
        }
    }
}

/// Whether its record says that it was ended because nobody wanted it any more.
fn was_ended(result: &Result<Finished, TransportError>) -> bool {
    matches!(result, Ok(call) if call.status == 0 && call.stdout.starts_with(b"ended"))
}

/// What a record says, from what the call printed of it.
fn read(call: Finished, limit: Duration) -> Result<Finished, TransportError> {
    let at = call.stdout.iter().position(|byte| *byte == b'\n');
    let line = at.map_or(&call.stdout[..], |at| &call.stdout[..at]);
    let line = String::from_utf8_lossy(line).into_owned();
    let output = at.map_or(&[][..], |at| &call.stdout[at + 1..]);
    ended(&line, output.to_vec(), call.stderr, call.truncated, limit)
}

/// How a session ended, by the line of its status.
pub(super) fn ended(
    line: &str,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    truncated: bool,
    limit: Duration,
) -> Result<Finished, TransportError> {
    let lost = |why: String| Err(TransportError::Lost { why });
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["exit", status, ref rest @ ..] => match status.parse() {
            Ok(status) => Ok(Finished {
                status,
                stdout,
                stderr,
                truncated: truncated || rest.contains(&"cut"),
            }),
            Err(_) => lost(format!("its record says `{line}`, which is no result")),
        },
        ["deadline", ..] => Err(TransportError::Deadline { after: limit }),
        ["ended", ..] => lost("it was ended on its host, because nobody wanted it any more".into()),
        _ => lost(format!("its record says `{line}`, which is no result")),
    }
}

fn script(script: &str, parameters: &[&str]) -> Vec<String> {
    let mut argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), lean(script)];
    argv.push("pgbaton".to_owned());
    argv.extend(parameters.iter().map(|&p| p.to_owned()));
    argv
}

/// Ends the operation on its host when the call is dropped: by a process of its own on this machine, by a call of its
/// own elsewhere. Should that not get through, the deadline on the host does it.
struct GivenUp<'a> {
    recorded: &'a Recorded,
    way: &'a Arc<dyn Transport>,
    armed: bool,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let mut argv = script(END, &[]);
        argv.extend(self.recorded.place());
        let end = Command::new(argv, END_WITHIN);
        if self.way.leave(&end) {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (way, recorded) = (Arc::clone(self.way), self.recorded.id.clone());
            runtime.spawn(async move {
                if let Err(error) = way.run(end).await {
                    tracing::warn!(%error, recorded, "an operation is left to its deadline");
                }
            });
        }
    }
}
