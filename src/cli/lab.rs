//! `pgbaton lab`.
use super::app::Context;
use super::args::LabCommand;
use super::error::CommandError;
use super::exit_codes::Code;
pub(crate) async fn lab(_c: &Context, _a: LabCommand) -> Result<Code, CommandError> {
    Ok(Code::Ok)
}
