//! One file per command; argument parsing and rendering only.
//!
//! The low-level arguments (`args`) only collect; each command's file decides; `error` and `exit_codes` turn what came of
//! it into an exit code. What a run looks like is folded from its events alone (`console`).

mod api;
mod app;
mod args;
mod completions;
mod console;
mod demo;
mod detach;
mod diagnostics;
mod diff;
mod error;
mod exit_codes;
mod graph;
mod import;
mod incidents;
mod keep;
mod lab;
mod library;
mod log;
mod man;
mod merged;
mod paint;
mod pause;
mod plan;
mod playbook;
mod rehearse;
mod report;
mod run;
mod runs;
mod schema;
mod screen;
mod serve;
mod signals;
mod status;
mod test;
mod text;
mod token;
mod topology_table;
mod unpause;
mod validate;

pub use app::main;
pub use args::arguments;
