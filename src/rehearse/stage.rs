//! One run of a playbook on a simulated cluster, with everything that watches it.

use super::own::Answers;
use super::record::{Facts, Record};
use super::script::Script;
use super::subject::Subject;
use super::witness::Witnessed;
use crate::cluster::{Inventory, NodeName};
use crate::engine::{Actions, Envelope, Event, Failure, Inbox, Outcome, Report, Unresumable};
use crate::journal::MemoryRecorder;
use crate::playbook::{Checked, Map, TroubleKind};
use crate::runs::{
    RunsError, SimOrder, actions_on, bind_simulated, facts_of, resume_recorded, run_recorded,
};
use crate::simulate::{Acknowledged, At, NodeState, OrphanedSlot, SimCluster};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// What runs need besides what is run.
pub(super) struct Stage<'a> {
    pub(super) subject: &'a Subject,
    pub(super) inventory: &'a Inventory,
    pub(super) sim: &'a SimCluster,
    pub(super) script: &'a Script,
    pub(super) seed: u64,
    pub(super) story: bool,
    /// An account of the steps is wanted.
    pub(super) accounts: bool,
    /// Who is asked; none where nobody is, and every question is approved on the spot.
    pub(super) answers: Option<Answers>,
}

/// The world when a run began.
pub(super) struct Before {
    pub(super) at: At,
    pub(super) states: Vec<NodeState>,
    pub(super) half: Vec<(NodeName, String)>,
    pub(super) orphaned: Vec<OrphanedSlot>,
    pub(super) promotions: usize,
    /// Commits that the node that is replaced does not hold: whoever lost them, it was not this run.
    pub(super) missing: BTreeSet<(usize, usize)>,
}

/// A run that has ended, or was given up.
pub(super) struct Ended {
    pub(super) before: Before,
    /// Whom it replaces, if anybody.
    pub(super) old: NodeName,
    /// None: it did not end within its budget.
    pub(super) report: Option<Report>,
    pub(super) facts: Facts,
    /// The node that it promoted.
    pub(super) promoted: Option<NodeName>,
    pub(super) params: Map,
}

impl Stage<'_> {
    /// Runs `playbook` to its end, or to the end of its budget.
    pub(super) async fn run(
        &self,
        playbook: &Checked,
        given: &[(String, String)],
        old: &NodeName,
    ) -> Result<Ended, RunsError> {
        let before = self.before(old);
        self.script.run_begins(old.clone(), before.promotions);
        let (_, pinned) = facts_of(self.sim).await;
        let params = bind_simulated(playbook, given, &self.subject.vars, &pinned)?;
        let record = Record::new(self);
        let order = SimOrder {
            playbook: playbook.clone(),
            params: params.clone(),
            site_vars: self.subject.vars.clone(),
            pinned,
            // No clock: a replay must be the same run.
            started: jiff::Timestamp::UNIX_EPOCH,
            seed: self.seed,
            trigger: "rehearsal".to_owned(),
            payload: Map::new(),
            forecast: false,
            recorder: MemoryRecorder::new(),
            inbox: (self.answers.clone()).map(|answers| Arc::new(answers) as Arc<dyn Inbox>),
        };
        let report = self.conduct(order, &record).await;
        let promotions = self.sim.with(|w| w.completed_promotions());
        let own = promotions.get(before.promotions..).unwrap_or_default();
        Ok(Ended {
            old: old.clone(),
            promoted: own.first().map(|(_, node)| node.clone()),
            before,
            report,
            facts: record.facts(),
            params,
        })
    }

    /// Runs to the end, with as many runners as it takes. None: it did not end within its budget.
    async fn conduct(&self, order: SimOrder, record: &Record) -> Option<Report> {
        let limit = Subject::budget(&order.playbook);
        let mortal = self.script.may_die();
        let death = self.script.runner();
        let recorder = Arc::new(record.clone());
        let spare = mortal.then(|| order.clone());
        let run = run_recorded(self.inventory, self.actions(), order, recorder);
        let mut report = tokio::select! {
            biased;
            () = death.cancelled(), if mortal => None,
            report = tokio::time::timeout(limit, run) => Some(report.ok()?),
        };
        while report.is_none() {
            self.sim.pass(AWAY).await;
            let next = record.of_next_runner();
            let events = next.events();
            let death = self.script.runner();
            let (actions, order) = (self.actions(), spare.clone()?);
            let recorder = Arc::new(next);
            let run = resume_recorded(self.inventory, actions, order, recorder, &events);
            report = tokio::select! {
                biased;
                () = death.cancelled() => None,
                resumed = tokio::time::timeout(limit, run) => Some(match resumed.ok()? {
                    Ok(report) => report,
                    Err(why) => over(&events, &why),
                }),
            };
        }
        report
    }

    fn actions(&self) -> Arc<dyn Actions> {
        let actions = actions_on(self.sim);
        let actions = match &self.subject.alter {
            Some(alter) => alter(actions),
            None => actions,
        };
        Arc::new(Witnessed {
            actions,
            sim: self.sim.clone(),
            script: self.script.clone(),
        })
    }

    /// A run that did not start: its parameters could not be bound to what was seen.
    pub(super) fn refused(&self, why: &RunsError, old: &NodeName) -> Ended {
        let why = match why {
            RunsError::Params { errors, .. } => errors
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
            other => other.to_string(),
        };
        self.script
            .tell(self.sim.now(), || format!("the run does not start: {why}"));
        Ended {
            before: self.before(old),
            old: old.clone(),
            report: Some(Report {
                outcome: Outcome::Refused,
                failure: Some(Failure::refused(why)),
                at: None,
                outputs: Map::new(),
                debts: Vec::new(),
            }),
            facts: Facts::default(),
            promoted: None,
            params: Map::new(),
        }
    }

    fn before(&self, old: &NodeName) -> Before {
        self.sim.with(|w| Before {
            at: w.now(),
            states: w.states(),
            half: w.half_configured(),
            orphaned: w.orphaned_slots(),
            promotions: w.completed_promotions().len(),
            missing: w.missing_on(old).iter().map(index).collect(),
        })
    }
}

/// How long a run is without a runner.
const AWAY: Duration = Duration::from_secs(3);

/// A run that there is nothing of to resume: its runner died at the very end, or before the beginning.
fn over(events: &[Envelope], why: &Unresumable) -> Report {
    match events.last().map(|last| &last.event) {
        Some(Event::RunEnded {
            outcome,
            failure,
            at,
            outputs,
            debts,
        }) => Report {
            outcome: *outcome,
            failure: failure.clone(),
            at: at.clone(),
            outputs: outputs.clone(),
            debts: debts.clone(),
        },
        _ => Report {
            outcome: Outcome::Failed,
            failure: Some(Failure::new(TroubleKind::Failed, why.to_string())),
            at: None,
            outputs: Map::new(),
            debts: Vec::new(),
        },
    }
}

/// A commit's identity.
pub(super) fn index(commit: &Acknowledged) -> (usize, usize) {
    commit.index
}
