//! `run --detach`: the run goes on in a process of its own, whatever becomes of the terminal.

use super::app::Context;
use super::error::{CommandError, Kind};
use super::exit_codes::Code;
use super::screen;
use super::signals::Interrupts;
use crate::engine::RunId;
use crate::runs::{Records, fresh_run};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How often is looked whether the run has begun.
const LOOK: Duration = Duration::from_millis(20);

/// Starts this very command again without a terminal, and says the run's id once it stands in the journal. A command that
/// ends before is told as if it had not been detached.
pub(crate) async fn detach(
    context: &Context,
    interrupts: &Interrupts,
) -> Result<Code, CommandError> {
    let records = Records::open(context.global.site.as_deref())?;
    let run = fresh_run();
    let mut other = Other::start(&run)
        .map_err(|error| CommandError::failed("the run cannot be detached", &error))?;
    loop {
        let ended = other.ended();
        let ended =
            ended.map_err(|error| CommandError::failed("the detached run is lost", &error))?;
        if records.find(&run.0).await.is_ok() {
            say(context, &run.0);
            return Ok(Code::Ok);
        }
        if let Some(status) = ended {
            return Ok(other.told(context, status));
        }
        tokio::select! {
            biased;
            () = interrupts.cancel.cancelled() => {
                return Err(CommandError::new(
                    Kind::Interrupted,
                    "left before the run had begun; it may begin yet",
                )
                .hint(format!("`pgbaton runs show {run}` tells whether it did")));
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn say(context: &Context, run: &str) {
    if context.global.json {
        screen::data(&format!("{}\n", serde_json::json!({ "run": run })));
    } else {
        screen::data(&format!("{run}\n"));
        screen::note(&format!("`pgbaton runs follow {run}` looks on\n"));
    }
}

/// The process that runs it.
struct Other {
    child: Child,
    /// What it says before it has a journal.
    said: File,
    complained: File,
}

impl Other {
    fn start(run: &RunId) -> std::io::Result<Self> {
        let (said, complained) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let arguments = std::env::args_os().skip(1);
        let child = Command::new(std::env::current_exe()?)
            .args(arguments.filter(|argument| argument != "--detach"))
            .args(["--as-run", &run.0])
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(complained.try_clone()?)
            // Ctrl-C in this terminal is not meant for it.
            .process_group(0)
            .spawn()?;
        Ok(Self {
            child,
            said,
            complained,
        })
    }

    fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// It ended before it had a run of its own: an error, or a run that has its key already.
    fn told(mut self, context: &Context, status: ExitStatus) -> Code {
        screen::note(&text(&mut self.complained));
        let said = text(&mut self.said);
        if status.success() {
            say(context, said.trim());
        } else {
            screen::data(&said);
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        code.and_then(Code::of).unwrap_or(Code::Failed)
    }
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(0));
    // What cannot be read is missing from an error text at most.
    let _ = read.and_then(|_| file.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
