//! What all parts of a run share: its state, and the one way in which events come about.

use super::past::Past;
use super::state::{ByPath, RunState};
use super::writer::{Entry, Lost};
use super::{Action, Envelope, Event, Failure, Held, Inputs, RecordError, RunId};
use crate::playbook::TroubleKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Shared by the scheduler and by the guards of all steps. The lock is held for a moment only, never over I/O.
pub(super) struct Shared {
    pub(super) run: RunId,
    pub(super) lease: Option<Arc<dyn Held>>,
    pub(super) lost: Lost,
    /// Whether somebody can answer a question of this run.
    pub(super) can_be_asked: bool,
    begun: Instant,
    /// How long the run took before this runner took it over.
    before: Duration,
    inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub(super) state: RunState,
    /// The main part of the run has failed or ended: no point of no return may be passed any more.
    pub(super) doomed: Option<String>,
    /// The point of no return is durable.
    pub(super) passed_for_sure: bool,
    /// What calling a step's undo needs; only for steps that intended an effect.
    pub(super) undoables: ByPath<Undoable>,
    /// An event that the state refused: a fault of the engine itself.
    pub(super) bug: Option<String>,
    next: u64,
    /// None once the run has ended, so that the writer ends even if an action keeps its guard.
    writer: Option<mpsc::UnboundedSender<Box<Entry>>>,
}

/// What calling a step's undo needs.
#[derive(Clone)]
pub(super) struct Undoable {
    pub(super) action: Arc<dyn Action>,
    pub(super) inputs: Arc<Inputs>,
    pub(super) limit: Duration,
}

impl Shared {
    pub(super) fn new(
        run: RunId,
        lease: Option<Arc<dyn Held>>,
        writer: mpsc::UnboundedSender<Box<Entry>>,
        lost: Lost,
        past: Past,
        undoables: ByPath<Undoable>,
        can_be_asked: bool,
    ) -> Self {
        Self {
            run,
            lease,
            lost,
            can_be_asked,
            begun: Instant::now(),
            before: past.at,
            inner: Mutex::new(Inner {
                doomed: None,
                passed_for_sure: past.state.point_of_no_return().is_some(),
                undoables,
                bug: None,
                next: past.events,
                state: past.state,
                writer: Some(writer),
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic cannot leave the state half changed: `apply` checks before it writes.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the state.
    pub(super) fn read<T>(&self, question: impl FnOnce(&RunState) -> T) -> T {
        question(&self.lock().state)
    }

    /// An event that need not be durable before the engine goes on.
    pub(super) fn emit(&self, event: Event) {
        self.emit_in(&mut self.lock(), event, None);
    }

    /// An event that must be durable before the engine goes on.
    pub(super) async fn emit_synced(&self, event: Event) -> Result<(), RecordError> {
        let (done, durable) = oneshot::channel();
        self.emit_in(&mut self.lock(), event, Some(done));
        self.durable(durable).await
    }

    /// Waits for the writer's word.
    pub(super) async fn durable(
        &self,
        durable: oneshot::Receiver<Result<(), RecordError>>,
    ) -> Result<(), RecordError> {
        durable.await.unwrap_or_else(|_| Err(self.lost.gone()))
    }

    /// The same under a lock that is held already, so that a check and its event cannot be separated.
    pub(super) fn emit_in(
        &self,
        inner: &mut Inner,
        event: Event,
        durable: Option<oneshot::Sender<Result<(), RecordError>>>,
    ) -> bool {
        let at = self.before + self.begun.elapsed();
        if let Err(error) = inner.state.apply(&event, at) {
            tracing::error!(%error, ?event, "the engine made an illegal event");
            inner.bug.get_or_insert_with(|| error.to_string());
            return false;
        }
        let entry = Box::new(Entry {
            envelope: Envelope {
                v: 1,
                seq: inner.next,
                at_ms: at.as_secs_f64() * 1000.0,
                event,
            },
            durable,
        });
        inner.next += 1;
        if inner
            .writer
            .as_ref()
            .is_none_or(|writer| writer.send(entry).is_err())
        {
            self.lost.gone();
        }
        true
    }

    /// No event comes after this.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.writer = None;
        inner.undoables.clear();
    }

    /// No point of no return may be passed any more, because of this.
    pub(super) fn doom(&self, why: impl FnOnce() -> String) {
        self.lock().doomed.get_or_insert_with(why);
    }

    /// Why the run cannot go on, when it is the engine's or the journal's fault.
    pub(super) fn broken(&self) -> Option<Failure> {
        if let Some(error) = self.lost.why() {
            return Some(journal_lost(error));
        }
        self.lock().bug.as_ref().map(|bug| {
            Failure::new(
                TroubleKind::Failed,
                format!("the engine contradicted itself: {bug}"),
            )
            .with_help("report this with the run's journal")
        })
    }
}

/// What a lost journal means for whoever wanted an effect.
pub(super) fn journal_lost(error: &RecordError) -> Failure {
    Failure::new(
        TroubleKind::Failed,
        format!("{error}; without it nothing may be changed"),
    )
    .with_help("make room or repair the place of the journal, look at the cluster, and run again")
}
