//! Telling people and programs outside: by webhook, by mail, by a command, as the site file has it.
//!
//! Whoever has news calls [`Notifier::tell`], which waits for nothing. Every target has a queue of its own and is served on
//! threads that nothing else runs on, so that one which hangs holds up neither another one nor what the news is about.

mod command;
mod email;
mod news;
mod office;
mod reveal;
mod webhook;
mod work;

pub use news::News;
pub use office::{Notifier, Told};
