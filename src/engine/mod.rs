//! Runs playbooks: scopes, the DAG, attempts, rescue, undo, finally, cancellation, events.
//!
//! The engine knows no database and no terminal. What a step does is behind [`Action`]; what happened leaves through
//! [`Event`]s alone, which [`Recorder`] keeps and observers read. A run's state is a fold over its events,
//! [`RunState`]; expressions, the undo list and the report all read that one state.
//!
//! How it is put together, outermost first: `run` (the phases of a run) drives a `scope` (the DAG of one block), which
//! starts a `step`, which goes over its items (`each`) or makes `attempts`, each an `attempt` of an action or a `nested`
//! playbook, which is a scope again. All of it is one task: no part outlives the part that started it. Failures travel
//! up as return values; what must stop travels down as tokens (`control`).

mod action;
mod attempt;
mod attempts;
mod control;
mod debt;
mod each;
mod effects;
mod event;
mod fault;
mod fold;
mod graph;
mod inbox;
mod lease;
mod names;
mod nested;
mod outcome;
mod panic;
mod past;
mod path;
mod pins;
mod prepare;
mod recorder;
mod requests;
mod retry;
mod run;
mod running;
mod scope;
mod shared;
mod slots;
mod state;
mod step;
mod undo;
mod writer;

pub use action::{
    Action, Actions, Applied, Before, Consequence, Done, EffectOutcome, Effects, Evidence, Failure,
    Forecast, Inputs, Intent, Probe, QUESTION, StepContext, Undone,
};
pub use debt::{Owed, PAID};
pub use event::{Envelope, Event, Outcome, ScopeKind, SkipReason, StepStatus, UndoStatus, Verdict};
pub use fold::IllegalEvent;
pub use inbox::{Ask, Decision, Inbox, Letter, Message};
pub use lease::{Held, Lease, LeaseError};
pub use past::Unresumable;
pub use path::{RunId, StepPath};
pub use pins::{Pinned, Pins};
pub use recorder::{Durability, RecordError, Recorder};
pub use run::{Engine, Report, Request, Resume};
pub use state::{EffectState, RunState, ScopeEnded, ScopeState, Settled, StepState, UndoState};
