//! How long a cluster took no writes, as far as it can honestly be told from here.

use crate::engine::{Envelope, Event, StepStatus};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;

/// The action that writes to a new primary and sees that it is kept.
const WRITES: &str = "verify_primary";

/// From the first sign of a loss to a write that the new primary has taken. The loss itself was a moment before the sign, and the
/// first write of a client comes when it has found the new primary: neither is known here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gap {
    /// The run that ended it.
    pub run: String,
    /// How long.
    pub seconds: f64,
}

/// When the run has seen its new primary take a write; none where it has not.
pub(super) fn first_write(events: &[Envelope]) -> Option<Timestamp> {
    let mut started: Option<Timestamp> = None;
    let mut writes = BTreeSet::new();
    for envelope in events {
        match &envelope.event {
            Event::RunStarted { started: at, .. } => started = at.parse().ok(),
            Event::StepStarted { path, action, .. } if action == WRITES => {
                writes.insert(path.clone());
            }
            Event::StepEnded {
                path,
                status: StepStatus::Ok,
                ..
            } if writes.contains(path) => {
                return started?.checked_add(envelope.at()).ok();
            }
            _ => {}
        }
    }
    None
}
