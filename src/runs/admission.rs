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
        let begun = Instant::now();
        let patience = self.order.wait.unwrap_or_default();
        // The holder may have this very key and not have said so yet.
        let keyed = if self.order.key.is_some() {
            SAYS_ITS_KEY
        } else {
            Duration::ZERO
        };
        let mut waited = false;
        loop {
            let busy = match store.acquire(self.cluster, self.run).await {
                Ok(lease) => return Ok((Arc::from(lease), waited)),
                Err(busy @ LeaseError::Busy { .. }) => busy,
                Err(error) => return Err(error.into()),
            };
            if let Some(earlier) = self.same_key(store).await? {
                return Err(earlier);
            }
            if begun.elapsed() >= patience.max(keyed) || self.says_another_key(store, &busy).await {
                return Err(busy.into());
            }
            if !waited && !patience.is_zero() {
                tracing::info!(%busy, "waiting");
            }
            waited = true;
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(busy.into()),
                () = sleep(LOOK) => {}
            }
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
