//! Commands through a site's own program (`sys_securecmd`, `kubectl exec`, …).

use super::family::FamilyGuard;
use super::local::{code, spawn_group};
use super::remote::Conversation;
use super::{Command, Finished, Transport, TransportError};
use async_trait::async_trait;
use std::time::Duration;

/// Runs `argv` on this machine with one more argument: a line for the shell at the other end. The program has to pass
/// standard input on.
#[derive(Debug, Clone)]
pub struct Template {
    argv: Vec<String>,
}

impl Template {
    /// `{host}` in the arguments becomes `host`.
    pub fn new(argv: &[String], host: &str) -> Self {
        Self {
            argv: argv.iter().map(|a| a.replace("{host}", host)).collect(),
        }
    }
}

#[async_trait]
impl Transport for Template {
    async fn run(&self, command: Command) -> Result<Finished, TransportError> {
        command.check()?;
        let conversation = Conversation::new();
        let mut argv = self.argv.clone();
        argv.push(conversation.line());
        let mut child = spawn_group(&argv, |_| {})?;
        let mut guard = FamilyGuard::new(child.id());
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(TransportError::NotStarted {
                why: "the program's streams could not be opened".to_owned(),
            });
        };
        let result = conversation.run(&command, stdin, stdout, stderr).await;
        if !matches!(result, Err(TransportError::Deadline { .. }))
            && let Ok(Ok(status)) = tokio::time::timeout(Duration::from_secs(1), child.wait()).await
        {
            guard.release();
            if let Err(TransportError::NotStarted { why }) = result {
                let program = self.argv.first().map_or("", String::as_str);
                return Err(TransportError::NotStarted {
                    why: format!("{why} (`{program}` exited with {})", code(status)),
                });
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// As ssh does: the last argument is a line for a login shell at the other end.
    fn shell(shell: &str) -> Template {
        Template::new(&[shell.to_owned(), "-c".to_owned()], "h")
    }

    #[tokio::test]
    async fn the_commands_own_status_is_told_whatever_it_is() {
        for status in [0, 1, 124, 125, 126, 127, 137, 255] {
            let script = format!("echo out; echo err >&2; exit {status}");
            let finished = shell("sh").run(Command::script(&script, &[], LONG)).await;
            let finished = finished.unwrap();
            assert_eq!(finished.status, status);
            assert_eq!(finished.stdout, b"out\n");
            assert_eq!(finished.stderr, b"err\n");
        }
    }

    #[tokio::test]
    async fn arguments_input_and_environment_arrive_unchanged() {
        let odd = "a'b \"c\" $d `e` \\ \n * ~ é";
        let command = Command::script(r#"printf '%s|%s|' "$1" "$X"; cat"#, &[odd], LONG)
            .with_stdin("line 1\nline 2")
            .with_env([("X".to_owned(), odd.to_owned())].into());
        let finished = shell("bash").run(command).await.unwrap();
        assert_eq!(finished.out(), format!("{odd}|{odd}|line 1\nline 2"));
    }

    #[tokio::test]
    async fn a_program_that_exits_first_started_nothing() {
        let refused = Template::new(
            &[
                "sh".into(),
                "-c".into(),
                "echo no route to {host} >&2; exit 255".into(),
                "x".into(),
            ],
            "db1",
        );
        let error = refused.run(Command::new(["true"], LONG)).await.unwrap_err();
        let TransportError::NotStarted { why } = &error else {
            panic!("{error:?}")
        };
        assert!(
            why.contains("no route to db1") && why.contains("255"),
            "{why}"
        );
    }

    #[tokio::test]
    async fn the_host_enforces_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = r#"echo $$ >"$1"; exec sleep 300"#;
        let command = Command::script(script, &[file.to_str().unwrap()], Duration::from_secs(1));
        let error = shell("sh").run(command).await.unwrap_err();
        assert!(
            matches!(error, TransportError::Deadline { .. }),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn a_connection_that_breaks_while_the_command_runs_is_lost() {
        // The command ends everything that stands between it and us, as a host that vanishes would.
        let script = r#"
            parent() { while IFS=' ' read -r name value; do [ "$name" != PPid: ] || echo "$value"; done <"/proc/$1/status"; }
            wrapper=$PPID
            ender=$(parent "$wrapper")
            kill -9 "$(parent "$ender")" "$ender" "$wrapper" $$"#;
        let script = script.replace("IFS=' '", "IFS='\t'");
        let error = shell("sh")
            .run(Command::script(&script, &[], LONG))
            .await
            .unwrap_err();
        assert!(matches!(error, TransportError::Lost { .. }), "{error:?}");
    }
}
