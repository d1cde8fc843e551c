//! `pgbaton token`: makes a token for the API, and the line that lets it in.

use super::app::Context;
use super::args::TokenArgs;
use super::error::CommandError;
use super::exit_codes::Code;
use super::screen;
use crate::server::{TokenError, fresh_token};
use serde_json::json;

pub(crate) fn token(context: &Context, args: &TokenArgs) -> Result<Code, CommandError> {
    let expires = args.valid_for.map(|valid| {
        let valid = jiff::SignedDuration::try_from(valid).ok()?;
        jiff::Timestamp::now().checked_add(valid).ok()
    });
    let expires = match expires {
        None => None,
        Some(Some(end)) => Some(end),
        Some(None) => {
            return Err(CommandError::invalid("no calendar goes as far as that")
                .hint("give a shorter time with --valid-for"));
        }
    };
    let fresh = fresh_token(&args.name, args.role, expires).map_err(|error| match error {
        TokenError::Name(_) => CommandError::invalid(error.to_string())
            .hint("use at most 63 letters, digits, `_`, `-` and `.`"),
        TokenError::Randomness(_) => CommandError::failed("no token was made", &error),
    })?;
    if context.global.json {
        let said = json!({ "token": fresh.token, "line": fresh.line });
        screen::data(&format!("{said}\n"));
    } else {
        screen::data(&format!("{}\n", fresh.token));
        // The remark is a comment there, so that both lines can be appended to the file as they are.
        screen::note(&format!(
            "# for the file that `api.tokens` names; the token itself is shown once, on standard output\n{}\n",
            fresh.line
        ));
    }
    Ok(Code::Ok)
}
