//! The conversation with a shell on another machine.
//!
//! The line that travels as the remote command is always the same: it says that it is there and waits for one line to
//! execute. So nothing of the real command shows up in process lists or meets the login shell of the account, and a
//! command that was never told to go provably never ran. The exit status comes back as text, which keeps the command's
//! own 255 and 127 apart from those of ssh and of the shell. `timeout` ends the command where it runs.

use super::capture::Tail;
use super::quote::quote_in_one_line;
use super::{Command, Finished, TransportError};
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// A host that does not answer in this time will not run the command; it has not been told to.
pub(super) const GREETING: Duration = Duration::from_secs(8);

/// One conversation; its word keeps our lines apart from the command's own.
pub(super) struct Conversation {
    word: String,
}

impl Conversation {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(COUNT.fetch_add(1, Ordering::Relaxed));
        Self {
            word: format!("{:016x}", hasher.finish()),
        }
    }

    /// The remote command line. No backslash and no newline, so that every login shell reads it alike.
    pub(super) fn line(&self) -> String {
        let word = &self.word;
        format!(
            "sh -c 'echo pgbaton-begin-{word}; echo pgbaton-begin-{word} >&2; IFS= read -r pgbaton && eval \"$pgbaton\"'"
        )
    }

    /// The one line that it waits for.
    fn go(&self, command: &Command) -> String {
        let word = &self.word;
        let seconds = command.deadline.as_secs_f64().ceil().max(1.0);
        let mut line = String::from(r"nl=$(printf '\nx'); nl=${nl%x}; ");
        for (name, value) in &command.env {
            let _ = write!(line, "{name}={}; export {name}; ", quote_in_one_line(value));
        }
        line.push_str("set --");
        for word in &command.argv {
            line.push(' ');
            line.push_str(&quote_in_one_line(word));
        }
        let _ = write!(
            line,
            "; unset pgbaton nl; \
             timeout -k 2 {seconds} sh -c '\"$@\"; s=$?; printf \"\\npgbaton-exit-{word} %s\\n\" \"$s\" >&2; exit \"$s\"' sh \"$@\"; \
             s=$?; printf '\\npgbaton-end-{word} %s\\n' \"$s\"; printf '\\npgbaton-end-{word} %s\\n' \"$s\" >&2; exit \"$s\"\n"
        );
        line
    }

    /// Runs the command at the other end of these three streams.
    pub(super) async fn run(
        &self,
        command: &Command,
        mut stdin: impl AsyncWrite + Unpin,
        stdout: impl AsyncRead + Unpin,
        stderr: impl AsyncRead + Unpin,
    ) -> Result<Finished, TransportError> {
        let started = Instant::now();
        let mut out = Stream::new(stdout, &self.word, command.keep);
        let mut err = Stream::new(stderr, &self.word, command.keep);
        let limit = GREETING.min(command.deadline);
        let greeted = tokio::time::timeout(limit, async {
            tokio::join!(out.greeting(), err.greeting())
        });
        match greeted.await {
            Ok((true, true)) => {}
            Ok(_) => {
                return Err(TransportError::NotStarted {
                    why: err.noise_or("the connection ended before the command was started"),
                });
            }
            Err(_) => {
                return Err(TransportError::NotStarted {
                    why: err.noise_or(&format!(
                        "no shell answered within {} s",
                        limit.as_secs_f64()
                    )),
                });
            }
        }
        let left = command.deadline.saturating_sub(started.elapsed());
        let talk = async {
            let say = async {
                // When the host is gone the streams end, and that is what is reported.
                if stdin.write_all(self.go(command).as_bytes()).await.is_ok() {
                    let _ = stdin.write_all(&command.stdin).await;
                    let _ = stdin.shutdown().await;
                }
                drop(stdin);
            };
            tokio::join!(say, out.to_end(), err.to_end());
        };
        if tokio::time::timeout(left, talk).await.is_err() {
            return Err(TransportError::Deadline {
                after: command.deadline,
            });
        }
        let (stdout, ended, _, cut_out) = out.finish();
        let (stderr, ended_too, exit, cut_err) = err.finish();
        match (exit, ended_too.or(ended)) {
            (Some(status), _) => Ok(Finished {
                status,
                stdout,
                stderr,
                truncated: cut_out || cut_err,
            }),
            (None, Some(124 | 137)) => Err(TransportError::Deadline {
                after: command.deadline,
            }),
            (None, Some(status @ 125..=127)) => Err(TransportError::NotStarted {
                why: format!(
                    "the host has no working `timeout` program (status {status}): {}",
                    String::from_utf8_lossy(&stderr).trim()
                ),
            }),
            (None, Some(status)) => Err(TransportError::Lost {
                why: format!("the command's shell was ended from outside (status {status})"),
            }),
            (None, None) => Err(TransportError::Lost {
                why: "the connection was lost while the command ran".to_owned(),
            }),
        }
    }
}

/// One stream of the conversation: noise, greeting, contents, end.
struct Stream<R> {
    from: R,
    begin: Vec<u8>,
    end: Vec<u8>,
    exit: Vec<u8>,
    noise: Vec<u8>,
    tail: Tail,
    keep: usize,
    /// The last bytes seen, in which a mark that arrived in pieces can be found.
    recent: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Stream<R> {
    fn new(from: R, word: &str, keep: usize) -> Self {
        Self {
            from,
            begin: format!("pgbaton-begin-{word}\n").into_bytes(),
            end: format!("\npgbaton-end-{word} ").into_bytes(),
            exit: format!("\npgbaton-exit-{word} ").into_bytes(),
            noise: Vec::new(),
            // Room for the marks themselves beside what is to be kept.
            tail: Tail::new(keep.saturating_add(256)),
            keep,
            recent: Vec::new(),
        }
    }

    /// Waits for the greeting; false when the stream ended without.
    async fn greeting(&mut self) -> bool {
        let mut chunk = [0; 4096];
        loop {
            if let Some(at) = find(&self.noise, &self.begin) {
                let rest = self.noise.split_off(at + self.begin.len());
                self.noise.clear();
                self.take(&rest);
                return true;
            }
            match self.from.read(&mut chunk).await {
                Ok(read) if read > 0 && self.noise.len() < 1 << 20 => {
                    self.noise.extend_from_slice(&chunk[..read]);
                }
                _ => return false,
            }
        }
    }

    fn noise_or(&self, otherwise: &str) -> String {
        let noise = String::from_utf8_lossy(&self.noise);
        let lines: Vec<&str> = noise
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        match lines.last() {
            Some(line) => format!("{otherwise}: {line}"),
            None => otherwise.to_owned(),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.tail.push(bytes);
        self.recent.extend_from_slice(bytes);
        let excess = self.recent.len().saturating_sub(256);
        self.recent.drain(..excess);
    }

    /// Reads until the mark of the end, or until the stream ends. A process that holds the stream open is not waited for.
    async fn to_end(&mut self) {
        let mut chunk = vec![0; 16 * 1024];
        while !self.ended() {
            match self.from.read(&mut chunk).await {
                Ok(read) if read > 0 => self.take(&chunk[..read]),
                _ => return,
            }
        }
    }

    fn ended(&self) -> bool {
        find(&self.recent, &self.end)
            .is_some_and(|at| self.recent[at + self.end.len()..].contains(&b'\n'))
    }

    /// Contents, status at the end, status of the command, and whether something was cut.
    fn finish(self) -> (Vec<u8>, Option<i32>, Option<i32>, bool) {
        let (mut text, cut) = self.tail.finish();
        let status = |text: &[u8], mark: &[u8]| {
            let at = rfind(text, mark)?;
            let line = text[at + mark.len()..].split(|b| *b == b'\n').next()?;
            let status = std::str::from_utf8(line).ok()?.trim().parse::<i32>().ok()?;
            Some((at, status))
        };
        let end = status(&text, &self.end);
        if let Some((at, _)) = end {
            text.truncate(at);
        }
        let exit = status(&text, &self.exit);
        if let Some((at, _)) = exit {
            text.truncate(at);
        }
        let excess = text.len().saturating_sub(self.keep);
        text.drain(..excess);
        (
            text,
            end.map(|(_, s)| s),
            exit.map(|(_, s)| s),
            cut || excess > 0,
        )
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|w| w == what)
}

fn rfind(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).rposition(|w| w == what)
}
