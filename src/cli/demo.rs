//! `pgbaton demo`.
use super::app::Context;
use super::args::DemoArgs;
use super::error::CommandError;
use super::exit_codes::Code;
pub(crate) async fn demo(_c: &Context, _a: &DemoArgs) -> Result<Code, CommandError> {
    Ok(Code::Ok)
}
