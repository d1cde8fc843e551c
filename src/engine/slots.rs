//! A place among the steps that may run at once.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Asks for places one after the other. Whoever asks keeps its turn while it waits.
pub(super) struct Slots {
    of: Option<Arc<Semaphore>>,
    asking: Option<BoxFuture<'static, Option<OwnedSemaphorePermit>>>,
    granted: Option<OwnedSemaphorePermit>,
}

/// A place; given back when dropped. Empty where there is no bound.
pub(super) type Slot = Option<OwnedSemaphorePermit>;

impl Slots {
    pub(super) fn of(semaphore: Option<&Arc<Semaphore>>) -> Self {
        Self {
            of: semaphore.cloned(),
            asking: None,
            granted: None,
        }
    }

    /// A place, if there is one now; otherwise [`Self::granted`] tells when to ask again.
    pub(super) fn take(&mut self) -> Option<Slot> {
        let Some(semaphore) = &self.of else {
            return Some(None);
        };
        if let Some(permit) = self.granted.take() {
            return Some(Some(permit));
        }
        let semaphore = Arc::clone(semaphore);
        let asking = self
            .asking
            .get_or_insert_with(|| Box::pin(async move { semaphore.acquire_owned().await.ok() }));
        match asking.now_or_never() {
            Some(permit) => {
                self.asking = None;
                Some(permit)
            }
            None => None,
        }
    }

    /// Nobody needs a place any more: gives back what was granted, so that nobody else starves for it.
    pub(super) fn release(&mut self) {
        self.asking = None;
        self.granted = None;
    }

    /// Whether a place was asked for and is not there yet.
    pub(super) fn asked(&self) -> bool {
        self.asking.is_some()
    }

    /// Ends when the place that was asked for is there. Can be dropped and called again.
    pub(super) async fn granted(&mut self) {
        if let Some(asking) = &mut self.asking {
            self.granted = asking.await;
            self.asking = None;
        }
    }
}
