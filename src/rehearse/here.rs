//! Which step is under way on this thread.
//!
//! A run is one task, and a call of the port is made while the step that makes it is polled. So a note on the thread,
//! set around every poll, tells of each call whose it is.

use crate::engine::StepPath;
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;

/// What a step is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Probe,
    Apply,
    Verify,
    Undo,
}

thread_local! {
    static HERE: RefCell<Option<(StepPath, Phase)>> = const { RefCell::new(None) };
}

/// The step that is polled now, if any.
pub(super) fn here() -> Option<(StepPath, Phase)> {
    HERE.with_borrow(Clone::clone)
}

/// Polls `work` as that step's.
pub(super) async fn within<T>(
    path: &StepPath,
    phase: Phase,
    mut work: Pin<Box<dyn Future<Output = T> + Send + '_>>,
) -> T {
    let mut note = Some((path.clone(), phase));
    poll_fn(|cx| {
        HERE.with_borrow_mut(|here| std::mem::swap(here, &mut note));
        let polled = work.as_mut().poll(cx);
        HERE.with_borrow_mut(|here| std::mem::swap(here, &mut note));
        polled
    })
    .await
}
