//! Carries events to the recorder in batches, and from there to the observers.

use super::{Durability, Envelope, RecordError, Recorder, RunId};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How many events go to the recorder at once at most.
const BATCH: usize = 1024;

/// How long the recorder may take for one batch before it counts as lost.
const PATIENCE: Duration = Duration::from_mins(1);

/// One event on its way, and who waits until it is durable. It goes in a box: events are large, and a channel moves what goes
/// through it several times.
pub(super) struct Entry {
    pub(super) envelope: Envelope,
    pub(super) durable: Option<oneshot::Sender<Result<(), RecordError>>>,
}

/// Whether events can still be recorded; set once, by the writer.
#[derive(Clone, Default)]
pub(super) struct Lost(Arc<OnceLock<RecordError>>);

impl Lost {
    /// Why nothing can be recorded any more.
    pub(super) fn why(&self) -> Option<&RecordError> {
        self.0.get()
    }

    /// For when the writer itself is gone.
    pub(super) fn gone(&self) -> RecordError {
        self.0
            .get_or_init(|| RecordError {
                place: "of this run".to_owned(),
                why: "its writer has ended unexpectedly".to_owned(),
            })
            .clone()
    }
}

/// Writes until all senders are gone. Observers see an event only after it was recorded; once a batch was not, nothing
/// more is recorded and nothing more is seen, so that what is seen is always what a resume would find.
pub(super) async fn write(
    recorder: Arc<dyn Recorder>,
    run: RunId,
    mut entries: mpsc::UnboundedReceiver<Box<Entry>>,
    observers: Vec<mpsc::UnboundedSender<Arc<Envelope>>>,
    lost: Lost,
) {
    let mut batch = Vec::new();
    let mut waiting = Vec::new();
    let mut incoming = Vec::new();
    while entries.recv_many(&mut incoming, BATCH).await > 0 {
        for entry in incoming.drain(..) {
            let Entry { envelope, durable } = *entry;
            batch.push(envelope);
            waiting.extend(durable);
        }
        let durability = if waiting.is_empty() {
            Durability::Ordered
        } else {
            Durability::Synced
        };
        let result = if let Some(error) = lost.why() {
            Err(error.clone())
        } else {
            let at_work = recorder.record(&run, &batch, durability);
            let answer = tokio::time::timeout(PATIENCE, at_work).await;
            answer.unwrap_or_else(|_| Err(silent()))
        };
        if let Err(error) = &result {
            let _ = lost.0.set(error.clone());
            batch.clear();
        }
        for envelope in batch.drain(..) {
            if observers.is_empty() {
                continue;
            }
            let envelope = Arc::new(envelope);
            for observer in &observers {
                // An observer that went away misses nothing that matters to the run.
                let _ = observer.send(Arc::clone(&envelope));
            }
        }
        for waiter in waiting.drain(..) {
            let _ = waiter.send(result.clone());
        }
    }
}

fn silent() -> RecordError {
    RecordError {
        place: "of this run".to_owned(),
        why: format!("it did not answer within {} s", PATIENCE.as_secs()),
    }
}
