//! From the command line to an exit code.

use super::args::{Arguments, Command, Global};
use super::error::CommandError;
use super::exit_codes::Code;
use super::paint::Paint;
use super::{
    completions, demo, graph, import, incidents, lab, man, pause, plan, playbook, rehearse, run,
    runs, schema, serve, status, test, token, unpause, validate,
};
use super::{log, screen};
use crate::traces;
use clap::Parser;
use std::process::ExitCode;

/// What every command is given.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The options that apply to all.
    pub(crate) global: Global,
    /// How to write on standard output.
    pub(crate) paint: Paint,
}

/// Parses the command line, runs the command and gives its exit code.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are data on standard output, everything else is a usage error on standard error; a
            // stream that is gone changes nothing.
            let _ = error.print();
            return if error.use_stderr() {
                Code::Invalid.into()
            } else {
                Code::Ok.into()
            };
        }
    };
    let color = arguments.global.color;
    match act(arguments) {
        Ok(code) => match screen::lost() {
            // How a run ended stays what its exit code says.
            Some(error) if code == Code::Ok => {
                log::say(&format!("error: the output could not be written: {error}"));
                Code::Failed.into()
            }
            _ => code.into(),
        },
        Err(error) => {
            log::failed(&error, color);
            error.code().into()
        }
    }
}

fn act(arguments: Arguments) -> Result<Code, CommandError> {
    let Arguments { global, command } = arguments;
    log::to_stderr(&global, matches!(command, Command::Serve))?;
    let context = Context {
        paint: Paint::of(global.color, &std::io::stdout()),
        global,
    };
    match command {
        Command::Validate(args) => validate::validate(&context, &args),
        Command::Graph(args) => graph::graph(&context, &args),
        Command::Playbook(command) => playbook::playbook(&context, &command),
        Command::Import(command) => wait_for(import::import(&context, command)),
        Command::Schema(args) => Ok(schema::schema(&args)),
        Command::Completions(args) => Ok(completions::completions(&args)),
        Command::Man(args) => man::man(&args),
        Command::Plan(args) => wait_for(plan::plan(&context, args)),
        Command::Rehearse(args) => rehearse::rehearse(&context, &args),
        Command::Test(args) => test::test(&context, &args),
        Command::Run(args) => wait_for(run::run(&context, args)),
        Command::Runs(command) => wait_for(runs::runs(&context, command)),
        Command::Serve => wait_for(serve::serve(&context)),
        Command::Incidents(args) => wait_for(incidents::incidents(&context, &args)),
        Command::Pause(args) => wait_for(pause::pause(&context, &args)),
        Command::Unpause => wait_for(unpause::unpause(&context)),
        Command::Token(args) => token::token(&context, &args),
        Command::Status(args) => wait_for(status::status(&context, &args)),
        Command::Lab(command) => wait_for(lab::lab(&context, command)),
        Command::Demo(args) => wait_for(demo::demo(&context, &args)),
    }
}

fn wait_for(
    command: impl Future<Output = Result<Code, CommandError>>,
) -> Result<Code, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CommandError::failed("the program cannot start its threads", &e))?;
    let code = runtime.block_on(async {
        let code = command.await;
        traces::post_the_rest().await;
        code
    });
    // A thread that hangs in a name lookup or on a dead disk must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    code
}
