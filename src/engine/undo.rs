//! Taking back what the run did, newest first.

use super::action::Undone;
use super::effects::{Guard, settle_open};
use super::panic::caught;
use super::shared::{Shared, Undoable};
use super::{Event, StepContext, StepPath, UndoStatus};
use crate::playbook::{EffectClass, format_duration};
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Undoes every step that has something to take back; each within the limit of its attempts. An undo that fails does
/// not keep the others from being tried.
pub(super) async fn undo_all(shared: &Arc<Shared>) {
    for path in shared.read(super::state::RunState::to_undo) {
        if shared.lost.why().is_some() {
            return;
        }
        shared.emit(Event::UndoStarted { path: path.clone() });
        let undoable = shared.lock().undoables.get(&path).cloned();
        let undone = match undoable {
            Some(undoable) => undo(shared, &path, undoable).await,
            None => Undone::Failed("nobody knows how to take it back".to_owned()),
        };
        settle_open(shared, &path, "the undo ended while this was under way");
        let (status, what) = match undone {
            Undone::Done(what) => (UndoStatus::Done, what),
            Undone::Nothing => (UndoStatus::Nothing, "nothing to take back".to_owned()),
            Undone::Failed(what) => (UndoStatus::Failed, what),
        };
        shared.emit(Event::UndoEnded { path, status, what });
    }
}

async fn undo(shared: &Arc<Shared>, path: &StepPath, undoable: Undoable) -> Undone {
    let done = shared.read(|state| state.done_by(&path.0));
    let attempts = shared.read(|state| state.step(&path.0).map_or(1, |step| step.attempts));
    let Undoable {
        action,
        inputs,
        limit,
    } = undoable.clone();
    let over = CancellationToken::new();
    let deadline = Instant::now() + limit;
    let guard = Guard {
        shared: Arc::clone(shared),
        path: path.clone(),
        control: None,
        over: over.clone(),
        inherited: None,
        class: EffectClass::Idempotent,
        undoable,
    };
    let context = StepContext {
        path: path.clone(),
        run: shared.run.clone(),
        attempt: attempts,
        inputs,
        limit,
        deadline,
        cancel: over.clone(),
        effects: Arc::new(guard),
    };
    let work = caught("`undo`", action.undo(&context, &done));
    let undone = tokio::time::timeout_at(deadline, work).await;
    over.cancel();
    match undone {
        Ok(Ok(undone)) => undone,
        Ok(Err(panic)) => Undone::Failed(panic.message),
        Err(_) => Undone::Failed(format!("it did not end within {}", format_duration(limit))),
    }
}

/// What is left because nothing could be undone: the journal was lost.
pub(super) fn left_behind(shared: &Shared) -> Vec<String> {
    let inner = shared.lock();
    let mut paths = inner.state.to_undo();
    paths.reverse();
    let mut debts = Vec::new();
    for path in paths {
        for done in inner.state.done_by(&path.0) {
            let how = if done.certain { "was" } else { "may have been" };
            debts.push(format!(
                "`{path}` {how} done and is not undone: {}",
                done.forecast.summary
            ));
        }
    }
    debts
}
