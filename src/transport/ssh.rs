//! Commands by ssh, over one connection for each host that is kept open.

use super::remote::{Conversation, GREETING};
use super::{Command, Finished, Transport, TransportError};
use async_trait::async_trait;
use openssh::{Session, Stdio};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How a host is reached; what is absent is left to the user's own ssh configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SshOptions {
    /// Host name, address, or a name from the ssh configuration.
    pub host: String,
    /// User.
    pub user: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// A private key; only this one is offered then.
    pub identity: Option<PathBuf>,
    /// A configuration file in place of the user's own.
    pub config: Option<PathBuf>,
    /// A file of known hosts.
    pub known_hosts: Option<PathBuf>,
}

/// For so long a host that was silent is taken to be silent still. A failover has several questions for a dead host, one
/// right after the other, and would wait for each in turn; a step that tries again later tries in earnest.
const SILENT: Duration = Duration::from_secs(1);

/// Runs commands on one host by ssh. Host keys are checked as the ssh configuration says; nothing is ever asked for.
pub struct Ssh {
    options: SshOptions,
    connect: Duration,
    master: Mutex<Master>,
}

/// The connection that all commands share.
#[derive(Default)]
struct Master {
    open: Option<Arc<Session>>,
    /// When the host was last waited for in vain, and what was said of it.
    silent: Option<(Instant, String)>,
}

impl Ssh {
    /// A connection that takes longer than `connect` is given up.
    pub fn new(options: SshOptions, connect: Duration) -> Self {
        Self {
            options,
            connect,
            master: Mutex::default(),
        }
    }

    /// The open connection, or a new one. The flag tells whether it is new.
    async fn session(&self) -> Result<(Arc<Session>, bool), TransportError> {
        let mut master = self.master.lock().await;
        if let Some(session) = &master.open {
            return Ok((Arc::clone(session), false));
        }
        if let Some((at, why)) = &master.silent
            && at.elapsed() < SILENT
        {
            return Err(TransportError::NotStarted { why: why.clone() });
        }
        let began = Instant::now();
        let connected = self.connect().await;
        // Whoever refuses does so at once, and may be asked again at once.
        master.silent = match &connected {
            Err(TransportError::NotStarted { why }) if began.elapsed() >= self.connect / 2 => {
                Some((Instant::now(), why.clone()))
            }
            _ => None,
        };
        let session = Arc::new(connected?);
        master.open = Some(Arc::clone(&session));
        Ok((session, true))
    }

    /// Gives up a connection that does not work, unless somebody has replaced it already.
    async fn forget(&self, broken: &Arc<Session>) {
        let mut master = self.master.lock().await;
        if master.open.as_ref().is_some_and(|s| Arc::ptr_eq(s, broken)) {
            master.open = None;
        }
    }

    async fn connect(&self) -> Result<Session, TransportError> {
        let refuse = |why: String| TransportError::NotStarted { why };
        let dir = tempfile::Builder::new()
            .prefix("pgb")
            .tempdir_in(control_root())
            .map_err(|error| {
                refuse(format!(
                    "no directory for the ssh control socket could be made: {error}"
                ))
            })?;
        let mut ssh = self.master_command(dir.path());
        // `-f` puts ssh into the background once it is logged in, so its exit tells that the connection stands; before
        // that, giving up ends it.
        let output = tokio::time::timeout(self.connect, ssh.output())
            .await
            .map_err(|_| {
                refuse(format!(
                    "no ssh connection to {} within {} s",
                    self.options.host,
                    self.connect.as_secs_f64()
                ))
            })?
            .map_err(|error| refuse(format!("ssh cannot be started here: {error}")))?;
        if output.status.success() {
            return Ok(Session::new_native_mux(dir));
        }
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        let told = lines[lines.len().saturating_sub(3)..].join("; ");
        Err(refuse(format!(
            "no ssh connection to {}: {told}",
            self.options.host
        )))
    }

    fn master_command(&self, dir: &Path) -> tokio::process::Command {
        let o = &self.options;
        let mut ssh = tokio::process::Command::new("ssh");
        ssh.kill_on_drop(true)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .arg("-E")
            .arg(dir.join("log"))
            .arg("-S")
            .arg(dir.join("master"))
            .args(["-M", "-f", "-N", "-T", "-a", "-x"])
            .args(["-o", "BatchMode=yes", "-o", "ClearAllForwardings=yes"])
            // A runner that was killed leaves no connection behind for ever.
            .args(["-o", "ControlPersist=600"])
            .args(["-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=3"])
            .arg("-o")
            .arg(format!(
                "ConnectTimeout={}",
                self.connect.as_secs_f64().ceil().max(1.0)
            ));
        if let Some(config) = &o.config {
            ssh.arg("-F").arg(config);
        }
        if let Some(user) = &o.user {
            ssh.arg("-l").arg(user);
        }
        if let Some(port) = o.port {
            ssh.arg("-p").arg(port.to_string());
        }
        if let Some(identity) = &o.identity {
            ssh.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(identity);
        }
        if let Some(known) = &o.known_hosts {
            ssh.arg("-o")
                .arg(format!("UserKnownHostsFile=\"{}\"", known.display()));
        }
        ssh.arg("--").arg(&o.host);
        ssh
    }

    async fn converse(
        &self,
        session: &Arc<Session>,
        command: &Command,
    ) -> Result<Finished, TransportError> {
        let conversation = Conversation::new();
        let mut process = session.raw_command(conversation.line());
        process
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let limit = GREETING.min(command.deadline);
        let mut child = tokio::time::timeout(limit, process.spawn())
            .await
            .map_err(|_| TransportError::NotStarted {
                why: format!(
                    "no ssh channel to {} within {} s",
                    self.options.host,
                    limit.as_secs_f64()
                ),
            })?
            .map_err(|error| TransportError::NotStarted {
                why: format!("no ssh channel to {}: {error}", self.options.host),
            })?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (
            child.stdin().take(),
            child.stdout().take(),
            child.stderr().take(),
        ) else {
            return Err(TransportError::NotStarted {
                why: "the ssh channel has no streams".to_owned(),
            });
        };
        conversation.run(command, stdin, stdout, stderr).await
    }
}

/// A short, private place: the path of a control socket must fit into about a hundred bytes.
fn control_root() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.is_dir() && dir.as_os_str().len() < 60)
        .unwrap_or_else(|| PathBuf::from("/tmp"))
}

#[async_trait]
impl Transport for Ssh {
    async fn run(&self, command: Command) -> Result<Finished, TransportError> {
        command.check()?;
        let (session, new) = self.session().await?;
        let result = self.converse(&session, &command).await;
        match result {
            Err(TransportError::NotStarted { .. }) => {
                self.forget(&session).await;
                // A connection that was open before may have died since; the command has not been told to go.
                if new {
                    return result;
                }
                let (session, _) = self.session().await?;
                let again = self.converse(&session, &command).await;
                if matches!(again, Err(TransportError::NotStarted { .. })) {
                    self.forget(&session).await;
                }
                again
            }
            Err(TransportError::Lost { .. }) => {
                self.forget(&session).await;
                result
            }
            other => other,
        }
    }

    async fn warm(&self) -> Result<(), TransportError> {
        self.session().await.map(|_| ())
    }
}
