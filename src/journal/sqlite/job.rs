//! What the thread is asked to do, and what it hands out.

use super::super::belief::Belief;
use super::append::Batch;
use super::lease::Grant;
use super::notes::{Earlier, Name, Row};
use crate::engine::{Held, RunId};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long whoever gives a lease back waits until others see it; usually it is less than a millisecond.
const PATIENCE: Duration = Duration::from_millis(100);

pub(super) type Answer<T> = oneshot::Sender<Result<T, String>>;

/// Work for the thread.
pub(super) enum Job {
    /// Append events of a run of this process.
    Record(serde_json::Result<Batch>, RunId, Answer<()>),
    /// Append a whole run that comes from elsewhere.
    Import(Batch, Answer<()>),
    /// Keep the idempotency key of a run that is about to begin; answers with the earlier run that has it.
    Announce(Announcement, Answer<Option<RunId>>),
    /// Take a lease.
    Take(Wish, Answer<Taken>),
    /// Give it back, and say so.
    GiveBack(Grant, Sender<()>),
    /// Keep a message to a run; answers with its number.
    Post(RunId, String, Answer<u64>),
    /// The messages to a run above this number.
    Messages(RunId, u64, Answer<Vec<(u64, String)>>),
    /// Keep a note; answers whether it was kept.
    Keep(Row, Earlier, Answer<bool>),
    /// Take a note away; answers whether it was there.
    Discard(Name, Answer<bool>),
    /// Copy the log into the file.
    Tidy(Answer<()>),
}

pub(super) struct Announcement {
    pub(super) run: RunId,
    pub(super) cluster: String,
    pub(super) key: String,
}

pub(super) struct Wish {
    pub(super) cluster: String,
    pub(super) run: RunId,
    /// Where it is given back.
    pub(super) jobs: Sender<Job>,
}

pub(super) enum Taken {
    Held(HeldInStore),
    Busy(String),
}

/// A lease that is held. The thread renews it, and has it back when this is dropped, be it on the way to whoever wanted
/// it and has given up waiting.
pub(super) struct HeldInStore {
    grant: Grant,
    belief: Belief,
    jobs: Sender<Job>,
    patience: Duration,
}

impl HeldInStore {
    pub(super) fn new(grant: Grant, belief: Belief, jobs: Sender<Job>) -> Self {
        Self {
            grant,
            belief,
            jobs,
            patience: PATIENCE,
        }
    }

    pub(super) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// For the thread itself, which must not wait for what it would have to do.
    pub(super) fn drop_at_once(mut self) {
        self.patience = Duration::ZERO;
    }
}

impl Held for HeldInStore {
    fn token(&self) -> u64 {
        u64::try_from(self.grant.token).unwrap_or(0)
    }

    /// A comparison of clocks: a process that slept past the end of its lease knows before it has asked anybody.
    fn is_valid(&self) -> bool {
        self.belief.holds()
    }
}

impl Drop for HeldInStore {
    fn drop(&mut self) {
        self.belief.end();
        let (done, given_back) = channel();
        // When the thread is gone or at something long, the lease runs out.
        if self
            .jobs
            .send(Job::GiveBack(self.grant.clone(), done))
            .is_ok()
        {
            let _ = given_back.recv_timeout(self.patience);
        }
    }
}
