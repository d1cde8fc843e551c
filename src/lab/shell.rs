//! Running the server's programs: bounded, as the servers' user, with what they said in the error.

use super::LabError;
use super::user::ServerUser;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// A program that is to run as the servers' user. It is killed when the future that runs it is dropped.
pub(super) fn command(program: &Path, user: &ServerUser) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        // The caller's PGDATA, PGPORT and the like are not about our servers.
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if user.differs() {
        command.uid(user.uid).gid(user.gid).env("HOME", "/");
    }
    command
}

/// Runs it to its end. `what` completes "failed to …".
pub(super) async fn run(command: Command, what: &str, bound: Duration) -> Result<(), LabError> {
    run_with(command, "", what, bound).await
}

/// Runs it to its end with this on its standard input.
pub(super) async fn run_with(
    mut command: Command,
    input: &str,
    what: &str,
    bound: Duration,
) -> Result<(), LabError> {
    let program = Path::new(command.as_std().get_program())
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let finished = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends without reading says why.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(bound, finished).await {
        Err(_) => {
            return Err(LabError::Late {
                what: what.to_owned(),
                after: bound,
                output: String::new(),
            });
        }
        Ok(Err(source)) => {
            return Err(LabError::Spawn {
                what: what.to_owned(),
                program,
                source,
            });
        }
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(());
    }
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(LabError::Command {
        what: what.to_owned(),
        program,
        status: output.status.to_string(),
        output: last_lines(&said, 8),
    })
}

/// The end of a text.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// The end of a server's log; empty where there is none.
pub(super) fn log_tail(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    last_lines(&String::from_utf8_lossy(&bytes), 8)
}
