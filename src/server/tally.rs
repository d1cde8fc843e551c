//! Runs in numbers, counted from the journal: whoever started and ran them, this process or another.

use crate::engine::Outcome;
use crate::journal::{Filter, RunSummary, Standing};
use crate::runs::{Records, RunsError};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// How many of the latest runs are looked at each time. One that began longer ago is not counted when it ends.
const LATEST: u32 = 1000;

/// The upper ends of the classes of durations, in seconds.
pub(super) const CLASSES: [f64; 12] = [
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86_400.0,
];

/// What a run counts as.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Class {
    pub(super) cluster: String,
    pub(super) playbook: String,
}

/// How runs of one class went.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Count {
    /// Those that have ended, by outcome.
    pub(super) ended: BTreeMap<&'static str, u64>,
    /// Those that took no longer than each of [`CLASSES`].
    pub(super) within: [u64; CLASSES.len()],
    /// How long all took together, in seconds.
    pub(super) seconds: f64,
}

/// Runs that have ended since the server began, and those that have not.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbers {
    pub(super) counts: BTreeMap<Class, Count>,
    /// By cluster and standing.
    pub(super) unended: BTreeMap<(String, &'static str), u64>,
    /// Whether runs could be recorded the last time; none before the first look.
    pub(super) journal: Option<bool>,
}

/// Counts.
#[derive(Default)]
pub(super) struct Tally {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    numbers: Numbers,
    /// Those that have ended and are counted, as far as they may be listed again; none before the first look.
    counted: Option<HashSet<String>>,
}

impl Tally {
    /// Looks into the journal.
    pub(super) async fn look(&self, records: &Records) {
        let latest = Filter {
            limit: Some(LATEST),
            ..Filter::default()
        };
        let runs = match records.usable().await {
            Ok(()) => records.list(&latest).await,
            Err(error) => Err(error),
        };
        self.take(runs);
    }

    fn take(&self, runs: Result<Vec<RunSummary>, RunsError>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match runs {
            Ok(runs) => inner.take(&runs),
            Err(error) => {
                tracing::debug!(%error, "runs cannot be counted");
                inner.numbers.journal = Some(false);
            }
        }
    }

    /// Whether runs could be recorded the last time; none before the first look.
    pub(super) fn journal(&self) -> Option<bool> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.numbers.journal
    }

    pub(super) fn numbers(&self) -> Numbers {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.numbers.clone()
    }
}

impl Inner {
    fn take(&mut self, runs: &[RunSummary]) {
        let before = self.counted.take();
        let mut counted = HashSet::new();
        let mut unended = BTreeMap::new();
        for run in runs {
            let standing = match run.standing {
                Standing::Ended(outcome) => {
                    let id = run.run.to_string();
                    // What had ended before the first look was counted by whoever served then.
                    if before.as_ref().is_some_and(|before| !before.contains(&id)) {
                        self.count(run, outcome);
                    }
                    counted.insert(id);
                    continue;
                }
                Standing::UnderWay => "under_way",
                Standing::Interrupted => "interrupted",
            };
            *unended.entry((run.cluster.clone(), standing)).or_insert(0) += 1;
        }
        self.counted = Some(counted);
        self.numbers.unended = unended;
        self.numbers.journal = Some(true);
    }

    fn count(&mut self, run: &RunSummary, outcome: Outcome) {
        let class = Class {
            cluster: run.cluster.clone(),
            playbook: run.playbook.clone(),
        };
        let count = self.numbers.counts.entry(class).or_default();
        *count.ended.entry(outcome.as_str()).or_insert(0) += 1;
        let seconds = took(run).unwrap_or_default();
        count.seconds += seconds;
        for (within, end) in count.within.iter_mut().zip(CLASSES) {
            if seconds <= end {
                *within += 1;
            }
        }
    }
}

fn took(run: &RunSummary) -> Option<f64> {
    let started: jiff::Timestamp = run.started.parse().ok()?;
    let ended: jiff::Timestamp = run.ended.as_deref()?.parse().ok()?;
    Some(ended.duration_since(started).as_secs_f64().max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::RunId;

    fn run(id: &str, standing: Standing) -> RunSummary {
        let ended = matches!(standing, Standing::Ended(_));
        RunSummary {
            run: RunId(id.into()),
            cluster: "orders".to_owned(),
            playbook: "failover".to_owned(),
            version: None,
            trigger: "cli".to_owned(),
            key: None,
            started: "2026-11-23T01:46:07.000Z".to_owned(),
            ended: ended.then(|| "2026-11-23T01:46:07.400Z".to_owned()),
            last_seq: 3,
            standing,
        }
    }

    #[test]
    fn a_run_is_counted_once_when_it_has_ended_and_never_one_of_before() {
        let mut inner = Inner::default();
        let old = run("a", Standing::Ended(Outcome::Failed));
        inner.take(&[run("b", Standing::UnderWay), old.clone()]);
        assert!(inner.numbers.counts.is_empty());
        let way = ("orders".to_owned(), "under_way");
        assert_eq!(inner.numbers.unended[&way], 1);
        for _ in 0..2 {
            inner.take(&[run("b", Standing::Ended(Outcome::Ok)), old.clone()]);
        }
        assert!(inner.numbers.unended.is_empty());
        let count = inner.numbers.counts.values().next().unwrap();
        assert_eq!(count.ended, BTreeMap::from([("ok", 1)]));
        assert_eq!(&count.within[..3], [0, 1, 1], "it took 0.4 s");
        assert!((count.seconds - 0.4).abs() < 1e-9);
    }
}
