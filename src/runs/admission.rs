//! Whether a run may begin: one at a time changes a cluster, and a key begins one run however often it comes.

use super::{Order, RunsError};
use crate::engine::{Held, LeaseError, RunId};
use crate::journal::{Announced, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long the run that holds the cluster may take to say which key it has.
const SAYS_ITS_KEY: Duration = Duration::from_secs(3);

/// How often is looked whether the cluster is free.
const LOOK: Duration = Duration::from_millis(100);

/// Who asks.
pub(super) struct Applicant<'a> {
    pub(super) run: &'a RunId,
    pub(super) cluster: &'a str,
    pub(super) order: &'a Order,
    /// It may change something, so it needs the cluster for itself.
    pub(super) changes: bool,
    pub(super) cancel: &'a CancellationToken,
}

/// The lease under which the run may begin; none for one that changes nothing.
pub(super) struct Admitted {
    pub(super) lease: Option<Arc<dyn Held>>,
    /// Another run had to end first: what was seen of the cluster before is old.
    pub(super) waited: bool,
}

impl Applicant<'_> {
    pub(super) async fn admit(&self, store: &dyn Store) -> Result<Admitted, RunsError> {
        if let Some(earlier) = self.same_key(store).await? {
            return Err(earlier);
        }
        let (lease, waited) = if self.changes {
            let (lease, waited) = self.lease(store).await?;
            (Some(lease), waited)
        } else {
            (None, false)
        };
        if let Some(key) = &self.order.key {
            let announced = store.announce(self.run, self.cluster, key).await?;
            if let Announced::Before(run) = announced {
                return Err(RunsError::SameKey {
                    key: key.clone(),
                    run,
                });
            }
        }
        Ok(Admitted { lease, waited })
    }

    /// Takes the lease; where another run has it, waits as long as the order says.
    async fn lease(&self, store: &dyn Store) -> Result<(Arc<dyn Held>, bool), RunsError> {
        // The holder may have this very key and not have said so yet.
        let keyed = if self.order.key.is_some() {
            SAYS_ITS_KEY
        } else {
            Duration::ZERO
        };
        let mut turn = Turn::within(self.order.wait.unwrap_or_default().max(keyed));
        loop {
            let busy = match store.acquire(self.cluster, self.run).await {
                Ok(lease) => return Ok((Arc::from(lease), turn.waited)),
                Err(busy @ LeaseError::Busy { .. }) => busy,
                Err(error) => return Err(error.into()),
            };
            if let Some(earlier) = self.same_key(store).await? {
                return Err(earlier);
            }
            if self.says_another_key(store, &busy).await {
                return Err(busy.into());
            }
            turn.next(busy, self.cancel).await?;
        }
    }

    /// The holder has begun, under another key or none: without `--wait` there is nothing to wait for.
    async fn says_another_key(&self, store: &dyn Store, busy: &LeaseError) -> bool {
        let (LeaseError::Busy { holder, .. }, None) = (busy, self.order.wait) else {
            return false;
        };
        let holder = store.run(holder).await;
        holder.is_ok_and(|holder| holder.key != self.order.key)
    }

    async fn same_key(&self, store: &dyn Store) -> Result<Option<RunsError>, RunsError> {
        let Some(key) = &self.order.key else {
            return Ok(None);
        };
        let earlier = store.by_key(self.cluster, key).await?;
        Ok(earlier.map(|earlier| RunsError::SameKey {
            key: key.clone(),
            run: earlier.run,
        }))
    }
}

/// Takes a cluster's lease for a run that is gone on with; where somebody has it, waits for so long.
pub(super) async fn take_over(
    store: &dyn Store,
    cluster: &str,
    run: &RunId,
    wait: Duration,
    cancel: &CancellationToken,
) -> Result<Arc<dyn Held>, RunsError> {
    let mut turn = Turn::within(wait);
    loop {
        match store.acquire(cluster, run).await {
            Ok(lease) => return Ok(Arc::from(lease)),
            Err(busy @ LeaseError::Busy { .. }) => turn.next(busy, cancel).await?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waiting for a cluster that another run holds.
struct Turn {
    begun: Instant,
    patience: Duration,
    waited: bool,
}

impl Turn {
    fn within(patience: Duration) -> Self {
        Self {
            begun: Instant::now(),
            patience,
            waited: false,
        }
    }

    /// Waits a moment, or gives up.
    async fn next(
        &mut self,
        busy: LeaseError,
        cancel: &CancellationToken,
    ) -> Result<(), RunsError> {
        if self.begun.elapsed() >= self.patience {
            return Err(busy.into());
        }
        self.waited = true;
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(busy.into()),
            () = sleep(LOOK) => Ok(()),
        }
    }
}
