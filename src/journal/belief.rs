//! How long a holder may believe in its lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// How long leases last. All else follows from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    ttl_ms: i64,
}

impl Term {
    pub(super) fn new(ttl: Duration) -> Self {
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 4);
        Self {
            ttl_ms: ttl_ms.clamp(10, i64::MAX / 4),
        }
    }

    pub(super) fn ttl_ms(self) -> i64 {
        self.ttl_ms
    }

    /// A holder believes in its lease for a little less than all others do.
    fn margin_ms(self) -> i64 {
        self.ttl_ms / 10
    }

    /// Three renewals may fail before a lease is lost.
    pub(super) fn renewal_ms(self) -> i64 {
        self.ttl_ms * 3 / 10
    }

    /// What is left to do when a renewal failed, is done soon.
    pub(super) fn again_ms(self) -> i64 {
        self.ttl_ms / 10
    }
}

/// Until when a holder may believe in its lease, by the clock that goes on while the machine or the process sleeps.
#[derive(Debug, Clone)]
pub(super) struct Belief(Arc<AtomicI64>);

impl Belief {
    pub(super) fn until(expires_ms: i64, term: Term) -> Self {
        Self(Arc::new(AtomicI64::new(expires_ms - term.margin_ms())))
    }

    pub(super) fn holds(&self) -> bool {
        now_ms() < self.0.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) {
        self.0.store(i64::MIN, Ordering::Release);
    }

    /// Whether it was ended: lost, or given back.
    pub(super) fn has_ended(&self) -> bool {
        self.0.load(Ordering::Acquire) == i64::MIN
    }

    pub(super) fn renew(&self, expires_ms: i64, term: Term) {
        let until = expires_ms - term.margin_ms();
        // One that was ended in the meantime stays so.
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                (now != i64::MIN).then_some(until)
            });
    }
}

/// Milliseconds since the machine started, time asleep included.
pub(super) fn now_ms() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec
        .saturating_mul(1000)
        .saturating_add(now.tv_nsec / 1_000_000)
}
