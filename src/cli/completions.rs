//! `pgbaton completions`.

use super::args::{Arguments, CompletionsArgs};
use super::exit_codes::Code;
use super::screen;
use clap::CommandFactory;

pub(crate) fn completions(args: &CompletionsArgs) -> Code {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut Arguments::command(),
        "pgbaton",
        &mut script,
    );
    screen::data(&String::from_utf8_lossy(&script));
    Code::Ok
}
