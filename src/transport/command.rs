//! What is asked of a transport, and what comes back.

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A program with arguments, run without a shell of its own. `Debug` shows neither what it is fed nor its environment.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments. They can be seen in the host's process list: never put a secret here.
    pub argv: Vec<String>,
    /// What it reads from standard input.
    pub stdin: Vec<u8>,
    /// Environment, added to what the host gives. Not visible in process lists on the way.
    pub env: BTreeMap<String, String>,
    /// It is ended after this long, on the host too.
    pub deadline: Duration,
    /// At most this many bytes of each output are kept: the last ones.
    pub keep: usize,
}

impl Command {
    /// A command without input; it keeps 1 MiB of each output.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>, deadline: Duration) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            stdin: Vec::new(),
            env: BTreeMap::new(),
            deadline,
            keep: 1 << 20,
        }
    }

    /// A POSIX shell script with positional parameters.
    pub fn script(script: &str, parameters: &[&str], deadline: Duration) -> Self {
        let mut argv = vec!["sh", "-c", script, "sh"];
        argv.extend_from_slice(parameters);
        Self::new(argv, deadline)
    }

    /// The same, fed with this.
    #[must_use]
    pub fn with_stdin(mut self, stdin: impl Into<Vec<u8>>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// The same with an environment.
    #[must_use]
    pub fn with_env(mut self, env: BTreeMap<String, String>) -> Self {
        self.env = env;
        self
    }

    /// What cannot be handed to any host, found before anything is sent.
    pub(super) fn check(&self) -> Result<(), TransportError> {
        let refuse = |why: String| Err(TransportError::NotStarted { why });
        if self.argv.first().is_none_or(String::is_empty) {
            return refuse("the command is empty".to_owned());
        }
        if self.argv.iter().any(|a| a.contains('\0')) || self.env.values().any(|v| v.contains('\0'))
        {
            return refuse("the command holds a zero byte".to_owned());
        }
        let named = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        match self.env.keys().find(|name| !named(name)) {
            Some(name) => refuse(format!(
                "`{name}` cannot be the name of an environment variable"
            )),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("argv", &self.argv)
            .field("stdin", &format_args!("{} bytes", self.stdin.len()))
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// A command that ran to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its own exit status; 128 + n when signal n ended it.
    pub status: i32,
    /// The end of its output.
    pub stdout: Vec<u8>,
    /// The end of its error output.
    pub stderr: Vec<u8>,
    /// More was written than was kept.
    pub truncated: bool,
}

impl Finished {
    /// It exited with 0.
    pub fn success(&self) -> bool {
        self.status == 0
    }

    /// A signal ended it.
    pub fn was_killed(&self) -> bool {
        (129..=192).contains(&self.status)
    }

    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The last lines of what it complained about, for an error text: standard error, else standard output.
    pub fn complaint(&self) -> String {
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let lines: Vec<&str> = text
                .lines()
                .map(str::trim)
                .filter(|l| !l.is_empty())
                .collect();
            lines[lines.len().saturating_sub(4)..].join("; ")
        };
        let error = text(&self.stderr);
        if error.is_empty() {
            text(&self.stdout)
        } else {
            error
        }
    }
}

/// Why there is no exit status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The command certainly never ran.
    #[error("{why}")]
    NotStarted {
        /// Why.
        why: String,
    },
    /// The host refused: somebody with a higher fencing token was there. It never ran.
    #[error("{why}")]
    Refused {
        /// Why.
        why: String,
    },
    /// It was started, and nobody can tell how it ended.
    #[error("{why}")]
    Lost {
        /// Why.
        why: String,
    },
    /// It was started, and was ended when its time was up; what it did until then stays done.
    #[error("no end after {}", seconds(*after))]
    Deadline {
        /// The limit.
        after: Duration,
    },
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// A way to run commands on one host.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Runs a command. Ends by its deadline. When the future is dropped, a command on this machine is ended; one on
    /// another machine is left to the deadline there.
    async fn run(&self, command: Command) -> Result<Finished, TransportError>;

    /// Starts a command that nobody waits for and that outlives this process. False where that cannot be done.
    fn leave(&self, _command: &Command) -> bool {
        false
    }

    /// Opens what would otherwise be opened by the first command.
    async fn warm(&self) -> Result<(), TransportError> {
        Ok(())
    }
}
