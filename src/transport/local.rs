//! Commands on this machine.

use super::capture::Tail;
use super::family::FamilyGuard;
use super::{Command, Finished, Transport, TransportError};
use async_trait::async_trait;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};

/// After a command has exited, a process that it left behind may hold its outputs open for ever.
const DRAIN: Duration = Duration::from_millis(200);

/// A command that may not take longer than this needs no second guard; it would cost as much time as a look at a host.
const BRIEF: Duration = Duration::from_secs(10);

/// What a command on a node is given of this process' environment. A server that is started keeps it for as long as it runs:
/// a `PGSERVICE` or a password of whoever runs pgbaton would decide how its walreceiver logs in.
const KEPT: [&str; 10] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_MESSAGES",
    "TZ",
    "TMPDIR",
];

/// Runs commands on this machine, as the current user or, when that is root, as another.
#[derive(Debug, Clone)]
pub struct Local {
    user: Option<String>,
    environment: Inherited,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inherited {
    All,
    Kept,
}

impl Local {
    /// Commands on a node of this machine: as `user`, as the current user when absent, with a bare environment.
    pub fn on_node(user: Option<String>) -> Self {
        Self {
            user,
            environment: Inherited::Kept,
        }
    }

    /// Commands of the site's where pgbaton runs: as the current user, with its environment.
    pub fn runner() -> Self {
        Self {
            user: None,
            environment: Inherited::All,
        }
    }

    /// The environment of a command: what is handed down, then the user's own.
    fn furnish(&self, process: &mut tokio::process::Command, user: Environment) {
        if self.environment == Inherited::Kept {
            let kept = KEPT
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?)));
            process.env_clear().envs(kept);
        }
        process.envs(user);
    }

    /// What has to stand before the program so that it runs as the user, and the environment that goes with it.
    fn become_user(&self) -> Result<(Vec<String>, Environment), TransportError> {
        let Some(user) = &self.user else {
            return Ok((Vec::new(), Vec::new()));
        };
        let account = Account::find(user);
        let me = rustix::process::geteuid().as_raw();
        if account.as_ref().is_some_and(|a| a.uid == me) {
            return Ok((Vec::new(), Vec::new()));
        }
        if me != 0 {
            return Err(TransportError::NotStarted {
                why: format!("only root can run commands as user `{user}` on this machine"),
            });
        }
        // `setpriv` executes the program at once; `runuser` asks PAM and stays as its parent, but also knows users
        // that are not in /etc/passwd.
        let Some(account) = account else {
            return Ok((words(&["runuser", "-u", user, "--"]), Vec::new()));
        };
        let prefix = vec![
            "setpriv".to_owned(),
            format!("--reuid={}", account.uid),
            format!("--regid={}", account.gid),
            "--init-groups".to_owned(),
            "--".to_owned(),
        ];
        let env = vec![
            ("HOME", account.home),
            ("USER", user.clone()),
            ("LOGNAME", user.clone()),
        ];
        Ok((prefix, env))
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&w| w.to_owned()).collect()
}

/// Names and values.
type Environment = Vec<(&'static str, String)>;

/// A line of `/etc/passwd`.
struct Account {
    uid: u32,
    gid: u32,
    home: String,
}

/// The id of a user of `/etc/passwd`. Reads that file.
pub fn user_id(user: &str) -> Option<u32> {
    Account::find(user).map(|account| account.uid)
}

/// The name of a user of `/etc/passwd`. Reads that file.
pub fn user_name(uid: u32) -> Option<String> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

impl Account {
    /// Reads a small local file, too quickly for a thread of its own.
    fn find(user: &str) -> Option<Self> {
        let text = std::fs::read_to_string("/etc/passwd").ok()?;
        text.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            match fields.as_slice() {
                [name, _, uid, gid, _, home, ..] if *name == user => Some(Self {
                    uid: uid.parse().ok()?,
                    gid: gid.parse().ok()?,
                    home: (*home).to_owned(),
                }),
                _ => None,
            }
        })
    }
}

#[async_trait]
impl Transport for Local {
    async fn run(&self, command: Command) -> Result<Finished, TransportError> {
        command.check()?;
        let (prefix, env) = self.become_user()?;
        let mut argv = prefix;
        // Our own deadline comes first; `timeout` is for the case that this process is gone by then.
        if command.deadline > BRIEF {
            let beyond = command.deadline.as_secs().saturating_add(2).to_string();
            argv.extend(words(&["timeout", "-k", "2", &beyond]));
        }
        argv.extend(command.argv.iter().cloned());
        let mut child = spawn_group(&argv, |c| {
            self.furnish(c, env);
            c.envs(&command.env);
        })?;
        let mut guard = FamilyGuard::new(child.id());
        let stdin = child.stdin.take();
        let mut out = Gather::new(child.stdout.take(), command.keep);
        let mut err = Gather::new(child.stderr.take(), command.keep);
        let work = async {
            let feed = feed(stdin, &command.stdin);
            let (status, ()) = {
                let gather = async { tokio::join!(out.all(), err.all()) };
                tokio::pin!(gather);
                let wait = async { tokio::join!(child.wait(), feed) };
                tokio::pin!(wait);
                let mut gathered = false;
                let ended = loop {
                    tokio::select! {
                        biased;
                        _ = &mut gather, if !gathered => gathered = true,
                        ended = &mut wait => break ended,
                    }
                };
                if !gathered {
                    let _ = tokio::time::timeout(DRAIN, &mut gather).await;
                }
                ended
            };
            status
        };
        let status = match tokio::time::timeout(command.deadline, work).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => {
                return Err(TransportError::Lost {
                    why: format!("the end of `{}` was not seen: {error}", command.argv[0]),
                });
            }
            Err(_) => {
                return Err(TransportError::Deadline {
                    after: command.deadline,
                });
            }
        };
        guard.release();
        let (stdout, cut_out) = out.tail.finish();
        let (stderr, cut_err) = err.tail.finish();
        Ok(Finished {
            status: code(status),
            stdout,
            stderr,
            truncated: cut_out || cut_err,
        })
    }

    fn leave(&self, command: &Command) -> bool {
        let Ok((mut argv, env)) = self.become_user() else {
            return false;
        };
        let seconds = command.deadline.as_secs().max(1).to_string();
        argv.extend(words(&["timeout", "-k", "2", &seconds]));
        argv.extend(command.argv.iter().cloned());
        let mut process = tokio::process::Command::new(&argv[0]);
        process
            .args(&argv[1..])
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.furnish(&mut process, env);
        process.spawn().is_ok()
    }
}

/// Starts a program as the leader of a process group of its own, with all three streams as pipes.
pub(super) fn spawn_group(
    argv: &[String],
    prepare: impl FnOnce(&mut tokio::process::Command),
) -> Result<Child, TransportError> {
    let (program, arguments) = argv.split_first().ok_or(TransportError::NotStarted {
        why: "the command is empty".to_owned(),
    })?;
    let mut process = tokio::process::Command::new(program);
    process
        .args(arguments)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    prepare(&mut process);
    process.spawn().map_err(|error| TransportError::NotStarted {
        why: format!("`{program}` cannot be started here: {error}"),
    })
}

/// The exit status as a shell would tell it.
pub(super) fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|s| 128 + s))
        .unwrap_or(-1)
}

async fn feed(stdin: Option<ChildStdin>, bytes: &[u8]) {
    if let Some(mut stdin) = stdin {
        // A program need not read what it is offered; its exit status tells what it thought of that.
        let _ = stdin.write_all(bytes).await;
        let _ = stdin.shutdown().await;
    }
}

/// One output, read to its end.
struct Gather<R> {
    from: Option<R>,
    tail: Tail,
}

impl<R: AsyncRead + Unpin> Gather<R> {
    fn new(from: Option<R>, keep: usize) -> Self {
        Self {
            from,
            tail: Tail::new(keep),
        }
    }

    async fn all(&mut self) {
        let Some(from) = &mut self.from else { return };
        let mut chunk = vec![0; 16 * 1024];
        while let Ok(read) = from.read(&mut chunk).await {
            if read == 0 {
                return;
            }
            self.tail.push(&chunk[..read]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_command_on_a_node_does_not_get_what_only_pgbaton_was_told() {
        // Cargo sets this for every test.
        let told = |local: Local| async move {
            let script = "echo \"${CARGO_MANIFEST_DIR:+told} $PATH\"";
            let command = Command::script(script, &[], Duration::from_secs(10));
            local.run(command).await.unwrap().out()
        };
        assert!(told(Local::runner()).await.starts_with("told /"));
        assert!(told(Local::on_node(None)).await.starts_with(" /"));
    }

    #[tokio::test]
    async fn status_outputs_input_and_environment_pass_through() {
        let command = Command::script(r#"cat; echo "$X $1" >&2; exit 255"#, &["a b"], LONG)
            .with_stdin("fed")
            .with_env([("X".to_owned(), "$(y)".to_owned())].into());
        let finished = Local::runner().run(command).await.unwrap();
        assert_eq!(finished.status, 255);
        assert_eq!(finished.stdout, b"fed");
        assert_eq!(finished.stderr, b"$(y) a b\n");
    }

    fn runs(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[tokio::test]
    async fn the_deadline_ends_the_children_and_spares_a_server_that_was_started() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        // One child in the group, one in a group of its own, and one that became a server.
        let script = r#"cd "$1"; sleep 300 & echo $! >child
            timeout 300 sh -c 'echo $$ >group; sleep 300; :' &
            setsid sh -c 'echo $$ >server; exec sleep 300' & wait"#;
        let command = Command::script(script, &[path], Duration::from_millis(900));
        let error = Local::runner().run(command).await.unwrap_err();
        assert!(matches!(error, TransportError::Deadline { .. }), "{error}");
        let pid = |name| std::fs::read_to_string(dir.path().join(name)).unwrap();
        // A signal is sent at once and takes effect soon.
        let end = std::time::Instant::now() + LONG;
        while runs(&pid("child")) || runs(&pid("group")) {
            assert!(
                std::time::Instant::now() < end,
                "a child outlived the deadline"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let server = pid("server");
        assert!(runs(&server));
        let server = rustix::process::Pid::from_raw(server.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(server, rustix::process::Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn a_process_left_behind_does_not_hold_the_command_up() {
        let command = Command::script("sleep 5 & echo done", &[], LONG);
        let finished = tokio::time::timeout(Duration::from_secs(4), Local::runner().run(command))
            .await
            .expect("the outputs held open must not be waited for")
            .unwrap();
        assert_eq!(finished.stdout, b"done\n");
    }

    #[tokio::test]
    async fn only_the_end_of_a_long_output_is_kept() {
        let mut command = Command::script("seq 1 100000", &[], LONG);
        command.keep = 7;
        let finished = Local::runner().run(command).await.unwrap();
        assert_eq!(finished.stdout, b"100000\n");
        assert!(finished.truncated);
    }

    #[tokio::test]
    async fn what_cannot_be_a_command_never_starts() {
        for argv in [vec![], vec![String::new()], vec!["a\0b".to_owned()]] {
            let error = Local::runner()
                .run(Command::new(argv, LONG))
                .await
                .unwrap_err();
            assert!(matches!(error, TransportError::NotStarted { .. }));
        }
    }

    #[test]
    fn what_a_command_is_fed_is_not_shown() {
        let command = Command::new(["psql"], LONG)
            .with_stdin("hunter2")
            .with_env([("PGPASSWORD".to_owned(), "hunter2".to_owned())].into());
        assert!(!format!("{command:?}").contains("hunter2"));
    }
}
