//! A failure with the place where it happened.

use super::{Consequence, Failure, StepPath};

/// A failure and the step that it happened in, however deep.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub(super) path: StepPath,
    pub(super) failure: Failure,
}

impl Fault {
    /// Where it happened, unless it was here itself.
    pub(super) fn below(&self, here: &StepPath) -> Option<StepPath> {
        (self.path != *here).then(|| self.path.clone())
    }

    /// The same from what the journal tells of it.
    pub(super) fn recorded(
        here: &StepPath,
        failure: Option<&Failure>,
        at: Option<&StepPath>,
    ) -> Option<Self> {
        failure.map(|failure| Self {
            path: at.unwrap_or(here).clone(),
            failure: failure.clone(),
        })
    }

    /// Of two failures the one that decides: what a safety rule or a person must decide outweighs, then the first.
    pub(super) fn decisive(first: Option<Self>, second: Self) -> Self {
        let weight = |fault: &Self| match fault.failure.consequence {
            Consequence::Fail => 0,
            Consequence::Hold => 1,
            Consequence::Refuse => 2,
        };
        match first {
            Some(first) if weight(&first) >= weight(&second) => first,
            _ => second,
        }
    }
}
