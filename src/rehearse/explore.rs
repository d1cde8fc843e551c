//! All scenarios, on all cores.

use super::fault::{Kind, Planned, Point};
use super::invariant::{Invariant, Violation};
use super::play::{Played, Want, play};
use super::scenario::Scenario;
use super::shrink::shrink;
use super::situation::Situation;
use super::subject::Subject;
use super::tally::Tally;
use crate::runs::RunsError;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How much is tried.
#[derive(Debug, Clone, Default)]
pub struct Effort {
    /// In which situations; all that suit the subject unless given.
    pub situations: Option<Vec<Situation>>,
    /// Two faults at effects, besides one at a time.
    pub pairs: bool,
    /// This many random seeds with several faults.
    pub seeds: u64,
    /// Random seeds for this long.
    pub for_long: Option<Duration>,
    /// Of the calls that a fault can meet, every so-many-th only; all when 0 or 1.
    pub every: usize,
    /// How many threads; one for each core unless given.
    pub threads: Option<usize>,
}

/// What broke an invariant, boiled down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The invariant that broke, with the fewest faults.
    pub violation: Violation,
    /// How many scenarios broke it in this way.
    pub count: u64,
}

/// What an exploration found.
#[derive(Debug, Clone, Default)]
pub struct Explored {
    /// All runs.
    pub tally: Tally,
    /// What broke, worst first; one for each way in which it did.
    pub findings: Vec<Finding>,
    /// How long it took.
    pub took: Duration,
    /// In no situation did a playbook that promotes reach its goal, not even without faults.
    pub never_promotes: bool,
}

/// The seed of scenarios that are not random.
const SEED: u64 = 1;

/// Plays everything that `effort` asks for.
pub fn explore(subject: &Subject, effort: &Effort) -> Result<Explored, RunsError> {
    let began = Instant::now();
    let situations = effort
        .situations
        .clone()
        .unwrap_or_else(|| Situation::of(subject));
    let mut found = Found::default();
    let plain: Vec<Scenario> = situations
        .iter()
        .map(|situation| Scenario {
            situation: *situation,
            seed: SEED,
            faults: Vec::new(),
        })
        .collect();
    let mut singles = Vec::new();
    let mut promoted = false;
    for scenario in &plain {
        let played = play(subject, scenario, Want::Points)?;
        promoted |= played.promoted;
        singles.extend(with_one_more(scenario, &played.points, effort.every));
        found.take(scenario, &played);
    }
    let threads = effort
        .threads
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get));
    let single = |found: &mut Found, scenario: &Scenario| single(subject, effort, found, scenario);
    found.add(in_parallel(threads, |number| {
        let scenario = singles.get(usize::try_from(number).ok()?)?;
        Some(move |found: &mut Found| single(found, scenario))
    })?);
    let until = effort.for_long.map(|long| Instant::now() + long);
    found.add(in_parallel(threads, |number| {
        let wanted = number < effort.seeds || until.is_some_and(|until| Instant::now() < until);
        let scenario = Scenario::random(&situations, number + 1).filter(|_| wanted)?;
        Some(move |found: &mut Found| {
            let played = play(subject, &scenario, Want::Outcome)?;
            found.take(&scenario, &played);
            Ok(())
        })
    })?);
    Ok(Explored {
        findings: found.boiled_down(subject),
        tally: found.tally,
        took: began.elapsed(),
        never_promotes: subject.promotes() && !promoted,
    })
}

fn single(
    subject: &Subject,
    effort: &Effort,
    found: &mut Found,
    scenario: &Scenario,
) -> Result<(), RunsError> {
    let effect = |scenario: &Scenario| {
        scenario
            .faults
            .iter()
            .all(|f| matches!(f.point, Point::Effect(_)))
    };
    let pairs = effort.pairs && effect(scenario);
    let want = if pairs { Want::Points } else { Want::Outcome };
    let played = play(subject, scenario, want)?;
    found.take(scenario, &played);
    if pairs {
        let pairs = with_one_more(scenario, &played.points, effort.every);
        for pair in pairs.iter().filter(|pair| effect(pair)) {
            let played = play(subject, pair, Want::Outcome)?;
            found.take(pair, &played);
        }
    }
    Ok(())
}

/// The scenario with every kind of fault at every later point.
fn with_one_more(scenario: &Scenario, points: &[Point], every: usize) -> Vec<Scenario> {
    let last = scenario.faults.last().map(|f| f.point);
    let from = last.and_then(|last| points.iter().position(|p| *p == last));
    let points = points.iter().skip(from.map_or(0, |at| at + 1));
    let points = points.step_by(every.max(1));
    points
        .flat_map(|point| {
            Kind::ALL.map(|kind| Planned {
                point: *point,
                kind,
            })
        })
        .filter(|planned| planned.kind.fits(planned.point))
        .map(|planned| {
            let mut more = scenario.clone();
            more.faults.push(planned);
            more
        })
        .collect()
}

/// Hands out numbers from 0 until there is no work for one, to as many threads.
fn in_parallel<W>(
    threads: usize,
    work: impl Fn(u64) -> Option<W> + Sync,
) -> Result<Found, RunsError>
where
    W: FnOnce(&mut Found) -> Result<(), RunsError>,
{
    let next = AtomicU64::new(0);
    let worker = || {
        let mut found = Found::default();
        while let Some(work) = work(next.fetch_add(1, Ordering::Relaxed)) {
            work(&mut found)?;
        }
        Ok(found)
    };
    let results: Vec<Result<Found, RunsError>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        let joined = handles.into_iter().map(|handle| {
            handle
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        joined.collect()
    });
    let mut all = Found::default();
    for result in results {
        all.add(result?);
    }
    Ok(all)
}

/// What one thread has found so far.
#[derive(Default)]
struct Found {
    tally: Tally,
    /// By invariant and by the words of what was seen, without its numbers: the least scenario, and how many there were.
    ways: BTreeMap<(Invariant, String), (Violation, u64)>,
}

impl Found {
    fn take(&mut self, scenario: &Scenario, played: &Played) {
        self.tally.count(scenario, played);
        for violation in &played.violations {
            self.violation(violation.clone(), 1);
        }
    }

    fn violation(&mut self, violation: Violation, count: u64) {
        let words: String = violation
            .detail
            .chars()
            .filter(|c| !c.is_ascii_digit())
            .collect();
        let key = (violation.invariant, words);
        let rank = |v: &Violation| (v.scenario.faults.len(), v.scenario.clone());
        match self.ways.get_mut(&key) {
            Some((least, counted)) => {
                *counted += count;
                if rank(&violation) < rank(least) {
                    *least = violation;
                }
            }
            None => {
                self.ways.insert(key, (violation, count));
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.tally.add(&other.tally);
        for (violation, count) in other.ways.into_values() {
            self.violation(violation, count);
        }
    }

    /// One for each way, with the fewest faults. Ways that turn out to be one are counted together.
    fn boiled_down(&self, subject: &Subject) -> Vec<Finding> {
        let mut least = Self::default();
        for (violation, count) in self.ways.values() {
            least.violation(shrink(subject, violation), *count);
        }
        let ways = least.ways.into_values();
        ways.map(|(violation, count)| Finding { violation, count })
            .collect()
    }
}
