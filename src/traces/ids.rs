//! Ids of traces and spans, made of the run's own: whoever goes on with a run goes on with its trace.

use super::parent::Parent;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Those of one run.
#[derive(Debug)]
pub(super) struct Ids {
    trace: TraceId,
    seed: [u8; 32],
    /// How many spans a name has got so far: a nested playbook that is tried again has its steps again.
    given: HashMap<String, u32>,
}

impl Ids {
    /// `started` tells two runs apart that have one id in two journals.
    pub(super) fn of_run(run: &str, started: &str, parent: Option<Parent>) -> Self {
        let seed = Sha256::new()
            .chain_update("pgbaton")
            .chain_update([0])
            .chain_update(run)
            .chain_update([0])
            .chain_update(started)
            .finalize();
        let seed: [u8; 32] = seed.into();
        let own = || u128::from_be_bytes(front(&seed));
        let trace = parent.map_or_else(own, Parent::trace);
        Self {
            trace: TraceId::from_bytes(trace.max(1).to_be_bytes()),
            seed,
            given: HashMap::new(),
        }
    }

    /// A new one for this name.
    pub(super) fn next(&mut self, name: &str) -> SpanId {
        let given = self.given.entry(name.to_owned()).or_insert(0);
        let hash = Sha256::new()
            .chain_update(self.seed)
            .chain_update(given.to_be_bytes())
            .chain_update(name)
            .finalize();
        *given += 1;
        let hash: [u8; 32] = hash.into();
        // Zero means none.
        SpanId::from(u64::from_be_bytes(front(&hash)).max(1))
    }

    /// What a span of this id is known by.
    pub(super) fn context(&self, span: SpanId) -> SpanContext {
        let (flags, state) = (TraceFlags::SAMPLED, TraceState::NONE);
        SpanContext::new(self.trace, span, flags, false, state)
    }
}

fn front<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    let mut front = [0; N];
    front.copy_from_slice(&hash[..N]);
    front
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_run_has_the_same_ids_and_nothing_else_has() {
        let of = |run, started| {
            let mut ids = Ids::of_run(run, started, None);
            let first = ids.next("promote");
            (ids.trace, first, ids.next("promote"), ids.next("follow"))
        };
        let one = of("20261123-014607-7k3q", "2026-11-23T01:46:07Z");
        assert_eq!(one, of("20261123-014607-7k3q", "2026-11-23T01:46:07Z"));
        let other = of("20261123-014607-7k3q", "2026-11-24T01:46:07Z");
        assert_ne!(one.0, other.0);
        let spans = [one.1, one.2, one.3, other.1, other.2, other.3];
        for (at, span) in spans.iter().enumerate() {
            assert!(!spans[..at].contains(span));
        }
    }
}
