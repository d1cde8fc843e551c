//! What runs side by side within one part of a run.

use futures_util::future::{Either, Pending, pending};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};

/// Futures that run side by side. All of them are polled by whoever awaits [`Running::next`]; dropping it drops them.
pub(super) struct Running<F: Future> {
    /// One of them never ends. A `FuturesUnordered` all of whose futures were polled at once asks to be polled again,
    /// whether or not one of them has anything to do: with a single step under way each wake would poll the run twice.
    futures: FuturesUnordered<Either<F, Pending<F::Output>>>,
}

impl<F: Future> Running<F> {
    pub(super) fn new() -> Self {
        let mut futures = FuturesUnordered::new();
        futures.push(Either::Right(pending()));
        // Polled here, it is never polled again.
        let _ = futures.next().now_or_never();
        Self { futures }
    }

    pub(super) fn push(&self, future: F) {
        self.futures.push(Either::Left(future));
    }

    pub(super) fn len(&self) -> usize {
        self.futures.len() - 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next one that ends; waits for ever where nothing runs.
    pub(super) async fn next(&mut self) -> F::Output {
        match self.futures.next().await {
            Some(output) => output,
            // Not reached: the one that never ends is among them.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_waits_for_one_that_has_nothing_to_do_is_not_woken_by_having_looked() {
        let count = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut running = Running::new();
        running.push(std::future::pending::<()>());
        assert_eq!(running.len(), 1);
        let next = pin!(running.next());
        let looked = next.poll(&mut Context::from_waker(&waker));
        assert_eq!(looked, Poll::Pending);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn each_one_that_ends_is_told_once_and_then_nothing_is_left() {
        let mut running = Running::new();
        running.push(std::future::ready(7));
        let mut context = Context::from_waker(Waker::noop());
        {
            let next = pin!(running.next());
            assert_eq!(next.poll(&mut context), Poll::Ready(7));
        }
        assert!(running.is_empty());
        let next = pin!(running.next());
        assert_eq!(next.poll(&mut context), Poll::Pending);
    }
}
