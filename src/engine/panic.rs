//! A panic in foreign code (an action, an expression) becomes a failure.

use super::Failure;
use crate::playbook::TroubleKind;
use futures_util::FutureExt;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Awaits; a panic is a failure that names `what`.
pub(super) async fn caught<T>(what: &str, work: impl Future<Output = T>) -> Result<T, Failure> {
    // What the future had borrowed mutably is dropped with it or is locked state that checks before it writes.
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .map_err(|payload| failure(what, payload.as_ref()))
}

/// Calls; a panic is a failure that names `what`.
pub(super) fn caught_now<T>(what: &str, work: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| failure(what, payload.as_ref()))
}

fn failure(what: &str, payload: &(dyn Any + Send)) -> Failure {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message");
    Failure::new(TroubleKind::Failed, format!("{what} panicked: {message}"))
        .with_help("this is a fault of the program; report it with the run's journal")
}
