//! A scenario, played: a run with its faults, a look at what it left, healing, and what must be possible then.

use super::checks::check;
use super::fault::Point;
use super::invariant::Violation;
use super::outside::Willing;
use super::own::{Account, Aimed, Meant};
use super::progress::demand;
use super::scenario::Scenario;
use super::script::Script;
use super::situation::Start;
use super::stage::{Ended, Stage};
use super::subject::Subject;
use crate::cluster::{Inventory, Operation, Render, Rendered};
use crate::engine::Outcome;
use crate::runs::{RunsError, on_paused_clock};
use crate::simulate::SimCluster;
use std::sync::Arc;
use std::time::Duration;

/// How a scenario went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// How the first run ended; none when it did not.
    pub outcome: Option<Outcome>,
    /// It promoted somebody.
    pub promoted: bool,
    /// The longest time without an acknowledged write, where somebody was promoted.
    pub gap: Duration,
    /// What did not hold.
    pub violations: Vec<Violation>,
    /// Calls that a fault can meet, where they were asked for.
    pub points: Vec<Point>,
    /// How many faults met a call or a record.
    pub met: usize,
    /// How many records the first run made.
    pub records: u64,
    /// What happened, line by line, where it was asked for.
    pub story: Vec<String>,
}

/// What is wanted besides the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Want {
    /// Nothing.
    #[default]
    Outcome,
    /// The calls of the first run that a fault can meet.
    Points,
    /// The story.
    Story,
}

/// Until what a run did has settled: reloads are heard, standbys that were told to follow have connected.
const SETTLES: Duration = Duration::from_secs(6);

/// How often the client writes once the run has ended.
const UNHURRIED: Duration = Duration::from_secs(1);

/// Plays it, on a runtime of its own. A pure function of its arguments.
pub fn play(subject: &Subject, scenario: &Scenario, want: Want) -> Result<Played, RunsError> {
    play_with(subject, scenario, want, None).map(|(played, _)| played)
}

/// The same; with `meant`, its faults meet it besides, its people answer, and an account of its steps is given.
pub(super) fn play_with(
    subject: &Subject,
    scenario: &Scenario,
    want: Want,
    meant: Option<&Meant<'_>>,
) -> Result<(Played, Account), RunsError> {
    let played = on_paused_clock(perform(subject, scenario, want, meant));
    played.map_err(|error| RunsError::NotFound {
        what: format!("no runtime for a simulation: {error}"),
        help: None,
    })?
}

async fn perform(
    subject: &Subject,
    scenario: &Scenario,
    want: Want,
    meant: Option<&Meant<'_>>,
) -> Result<(Played, Account), RunsError> {
    let names = subject.names();
    let inventory = Arc::new(scenario.situation.inventory(subject));
    let world = scenario.situation.world(&inventory, &names, scenario.seed);
    let outside = Willing::default();
    let sim = SimCluster::new(Arc::clone(&inventory), world, Arc::new(Unseen))
        .with_outside(Arc::new(outside));
    scenario.situation.begin(&sim, &names).await;
    let old = old_primary(scenario, &names).ok_or_else(|| RunsError::NotFound {
        what: "a cluster without nodes cannot be rehearsed".to_owned(),
        help: None,
    })?;
    let story = want == Want::Story;
    let script = Script::new(
        scenario,
        old.clone(),
        sim.now(),
        want == Want::Points,
        story,
    );
    script.aim(Aimed::new(meant.map_or(&[], |meant| meant.faults)));
    let answers = meant.and_then(|meant| meant.answers.clone());
    script.attend(&sim);
    let mut stage = Stage {
        subject,
        inventory: &inventory,
        sim: &sim,
        script: &script,
        seed: scenario.seed,
        story,
        accounts: meant.is_some(),
        answers: answers.clone(),
    };
    let mut given = subject.given();
    if scenario.situation.start == Start::HostWaived {
        for name in ["waive_fence", "accept_loss"] {
            given.push((name.to_owned(), "rehearsal: accepted".to_owned()));
        }
    }
    let ended = stage.run(&subject.playbook, &given, &old).await;
    let ended = match ended {
        // Parameters that nobody could bind anywhere are a mistake; those that hang on facts which could not be read are
        // a refusal like any other.
        Err(error) if scenario.situation.start == Start::Healthy && scenario.faults.is_empty() => {
            return Err(error);
        }
        Err(error) => stage.refused(&error, &old),
        Ok(ended) => ended,
    };
    // A commit that waits ends a gap by itself; what else is still to come needs writes, but no precision.
    sim.with(|w| w.pace(UNHURRIED));
    sim.pass(SETTLES).await;
    check(&stage, &ended);
    let gap = sim.with(|w| w.longest_gap());
    let account = meant.map(|_| Account {
        steps: ended.facts.walked.clone().unwrap_or_default(),
        says: said(&ended),
        nodes: sim.with(|w| w.states()),
        unmet: script.unmet(),
        unusable: Vec::new(),
        unasked: answers.map_or_else(Vec::new, |answers| answers.unasked()),
    });
    // Whoever tries it again is let.
    stage.answers = None;
    demand(&stage, &ended).await?;
    let inner = script.lock();
    let played = Played {
        outcome: ended.report.as_ref().map(|r| r.outcome),
        promoted: ended.promoted.is_some(),
        gap,
        violations: inner.violations.clone(),
        points: inner.points.clone(),
        met: inner.hits.len(),
        records: inner.records,
        story: Vec::new(),
    };
    drop(inner);
    let played = Played {
        story: script.story(),
        ..played
    };
    Ok((played, account.unwrap_or_default()))
}

/// Why a run failed, and what it left to do.
fn said(ended: &Ended) -> Vec<String> {
    let Some(report) = &ended.report else {
        return Vec::new();
    };
    let failure = report.failure.iter();
    let mut said: Vec<String> = failure.map(|failure| failure.message.clone()).collect();
    said.extend(report.debts.iter().cloned());
    said
}

/// Whom a run would replace.
fn old_primary(
    scenario: &Scenario,
    names: &[crate::cluster::NodeName],
) -> Option<crate::cluster::NodeName> {
    let promoted = scenario.situation.start == Start::Promoted;
    names.get(usize::from(promoted)).cloned()
}

/// Nobody reads what an operation would look like.
struct Unseen;

impl Render for Unseen {
    fn render(&self, _inventory: &Inventory, _operation: &Operation) -> Vec<Rendered> {
        Vec::new()
    }
}
