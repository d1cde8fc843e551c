//! What tells a scope to stop, and how it is passed on.

use super::shared::Shared;
use super::{Failure, StepPath};
use crate::playbook::TroubleKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The switches of one scope.
pub(super) struct Control {
    /// Ends everything in the scope: cancelled, or out of time.
    pub(super) token: CancellationToken,
    /// How many steps and items may run at once; none when unbounded.
    pub(super) slots: Option<Arc<Semaphore>>,
    /// What comes after the run's own steps (rescue, undo, finally) goes on when the run was cancelled.
    pub(super) after: bool,
    stopping: AtomicBool,
    expired: OnceLock<Failure>,
    /// The scope that this one stands in, and whether something on the way absorbs a failure.
    outer: Option<(Arc<Control>, bool)>,
}

/// Why work was ended from outside.
pub(super) enum Stop {
    /// The run was cancelled.
    Cancelled,
    /// A budget was used up.
    Expired(Failure),
}

impl Control {
    /// Of the top level, or of a rescue or finally of the run.
    pub(super) fn top(after: bool, slots: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            token: CancellationToken::new(),
            slots: semaphore(slots),
            after,
            stopping: AtomicBool::new(false),
            expired: OnceLock::new(),
            outer: None,
        })
    }

    /// Of a scope within this one. `absorbs`: a failure in it may be made up for before it reaches this scope.
    pub(super) fn within(self: &Arc<Self>, absorbs: bool, slots: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            token: self.token.child_token(),
            slots: semaphore(slots),
            after: self.after,
            stopping: AtomicBool::new(false),
            expired: OnceLock::new(),
            outer: Some((Arc::clone(self), absorbs)),
        })
    }

    /// Nothing new starts here, nor in the scopes around that are sure to fail with this one.
    pub(super) fn fail(&self, shared: &Shared, path: &StepPath, failure: &Failure) {
        let mut here = self;
        loop {
            here.stopping.store(true, Ordering::Release);
            match &here.outer {
                Some((_, true)) => return,
                Some((outer, false)) => here = outer,
                None => {
                    if !here.after {
                        shared.doom(|| format!("step `{path}` failed: {}", failure.message));
                    }
                    return;
                }
            }
        }
    }

    /// The budget is used up: what runs is ended.
    pub(super) fn expire(&self, shared: &Shared, path: &StepPath, failure: Failure) {
        self.fail(shared, path, &failure);
        let _ = self.expired.set(failure);
        self.token.cancel();
    }

    /// Whether this scope's own budget is used up.
    pub(super) fn has_expired(&self) -> bool {
        self.expired.get().is_some()
    }

    /// Whether nothing new may start here.
    pub(super) fn nothing_new(&self, shared: &Shared) -> bool {
        self.stopping.load(Ordering::Acquire)
            || self.token.is_cancelled()
            || (!self.after && shared.lost.why().is_some())
    }

    /// Why what runs here was ended.
    pub(super) fn stop(&self) -> Stop {
        let mut here = Some(self);
        while let Some(control) = here {
            if let Some(failure) = control.expired.get() {
                return Stop::Expired(failure.clone());
            }
            here = control.outer.as_ref().map(|(outer, _)| outer.as_ref());
        }
        Stop::Cancelled
    }
}

impl Stop {
    /// As the failure of what was ended.
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Cancelled => Failure::new(TroubleKind::Failed, "cancelled"),
            Self::Expired(failure) => failure,
        }
    }
}

fn semaphore(slots: Option<usize>) -> Option<Arc<Semaphore>> {
    slots.map(|slots| Arc::new(Semaphore::new(slots.clamp(1, Semaphore::MAX_PERMITS))))
}
