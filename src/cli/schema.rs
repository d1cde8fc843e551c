//! `pgbaton schema`: what editors check and complete with.

use super::args::{SchemaArgs, SchemaOf};
use super::exit_codes::Code;
use super::screen;

pub(crate) fn schema(args: &SchemaArgs) -> Code {
    let schema = match args.of {
        SchemaOf::Playbook => crate::playbook::schema(&crate::actions::catalog()),
        SchemaOf::Overlay => crate::playbook::overlay_schema(&crate::actions::catalog()),
        SchemaOf::Site => crate::site::schema(),
    };
    screen::data(&format!("{schema:#}\n"));
    Code::Ok
}
