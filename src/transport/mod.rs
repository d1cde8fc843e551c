//! How a command reaches a host: directly, by ssh, or by a site's own program.
//!
//! Every command has a deadline that the *host* enforces too, and every attempt ends in one of four ways that are kept
//! apart: the command exited; it certainly never started; the connection was lost while it ran; its time ran out.
//! This room imports nothing of ours.

mod capture;
mod command;
mod family;
mod http;
mod local;
mod quote;
mod records;
mod remote;
mod ssh;
mod template;

pub use command::{Command, Finished, Transport, TransportError};
pub use http::{HttpAnswer, HttpClient, HttpError, HttpSend};
pub use local::{Local, user_id, user_name};
pub use quote::{quote, quote_all};
pub use records::{Claim, Held, Late, RECORDS, Recorded, Watch};
pub use ssh::{Ssh, SshOptions};
pub use template::Template;
