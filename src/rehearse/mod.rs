//! Rehearsals: a playbook against every fault that can be thought of, on simulated clusters.
//!
//! A [`Scenario`] is a situation, a seed, and faults that meet certain calls of the run; playing it ([`play`]) is a pure
//! function of the [`Subject`] and the scenario. [`explore`] plays all of them, on all cores, and boils down what broke an
//! invariant to the fewest faults that still break it.
//!
//! How it is put together: `situation` builds the world in which a run begins; `fault` names the calls and what meets
//! them; `script` arms them and keeps what happened; `witness` stands around every action and asks the world whether a
//! step that says ok has its goal reached; `record` reads the run's events while they happen; `checks` holds the end of a
//! run against the invariants; `play` puts them in order: run, heal, run again.

mod checks;
mod explore;
mod fault;
mod invariant;

mod here;
mod named;
mod outside;
mod own;
mod play;
mod progress;
mod record;
mod scenario;
mod script;
mod shrink;
mod situation;
mod stage;
mod subject;
mod tally;
mod witness;

pub use explore::{Effort, Explored, Finding, explore};
pub use fault::{Kind, Planned, Point};
pub use invariant::{Invariant, Violation};
pub use own::{
    Account, Aim, Answer, Case, Drilled, Expect, Meets, Miss, Suite, Walked, drill, load_suite,
    verdict,
};
pub use play::{Played, Want, play};
pub use scenario::{Scenario, ScenarioError};
pub use shrink::shrink;
pub use situation::{Commits, Situation, Start};
pub use subject::{Alter, Subject};
pub use tally::{Cell, Column, Tally, word};
