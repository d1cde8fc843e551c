//! One run per cluster.

use super::RunId;
use async_trait::async_trait;

/// Grants the right to change a cluster.
#[async_trait]
pub trait Lease: Send + Sync {
    /// Takes the lease on `cluster` for `run`; does not wait.
    async fn acquire(&self, cluster: &str, run: &RunId) -> Result<Box<dyn Held>, LeaseError>;
}

/// A lease that is held; dropping it gives it back.
pub trait Held: Send + Sync {
    /// Grows with every acquisition of the same cluster's lease; hosts refuse lower ones.
    fn token(&self) -> u64;

    /// Whether it is still held. A runner that lost it starts no new operation.
    fn is_valid(&self) -> bool;
}

/// Why a lease was not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Another run has it.
    #[error("cluster {cluster} is held by run {holder}")]
    Busy {
        /// The cluster.
        cluster: String,
        /// The other run.
        holder: String,
    },
    /// It cannot be told.
    #[error("the lease on cluster {cluster} cannot be taken: {why}")]
    Unavailable {
        /// The cluster.
        cluster: String,
        /// Why.
        why: String,
    },
}
