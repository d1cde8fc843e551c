//! Runs playbooks: scopes, the DAG, attempts, rescue, undo, finally, cancellation, events.
//!
//! The engine knows no database and no terminal. What a step does is behind [`Action`]; what happened leaves through
//! [`Event`]s alone, which [`Recorder`] keeps and observers read.

mod action;
mod event;
mod lease;
mod path;
mod recorder;
mod run;

pub use action::{
    Action, Actions, Applied, Consequence, Done, EffectOutcome, Effects, Evidence, Failure,
    Forecast, Inputs, Probe, StepContext, Undone,
};
pub use event::{Envelope, Event, Outcome, ScopeKind, SkipReason, StepStatus, UndoStatus, Verdict};
pub use lease::{Held, Lease, LeaseError};
pub use path::{RunId, StepPath};
pub use recorder::{Durability, RecordError, Recorder};
pub use run::{Engine, Report, Request};
