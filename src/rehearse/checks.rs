//! The invariants that are held against the end of a run.

use super::invariant::Invariant;
use super::script::list;
use super::stage::{Ended, Stage, index};
use crate::cluster::{Lsn, NodeName};
use crate::engine::{Outcome, Report};
use crate::playbook::Value;
use crate::simulate::{NodeState, SimCluster};

/// Goes through all of them, some moments after the run has ended.
pub(super) fn check(stage: &Stage<'_>, ended: &Ended) {
    let check = Check {
        stage,
        ended,
        states: stage.sim.with(|w| w.states()),
    };
    check.ends();
    check.one_primary();
    check.one_promotion();
    check.nothing_lost();
    check.stopped();
    check.half_configured();
    check.orphaned();
    if let Some(report) = &ended.report
        && matches!(report.outcome, Outcome::Ok | Outcome::Degraded)
    {
        check.success(report);
    }
}

struct Check<'a> {
    stage: &'a Stage<'a>,
    ended: &'a Ended,
    states: Vec<NodeState>,
}

impl Check<'_> {
    fn sim(&self) -> &SimCluster {
        self.stage.sim
    }

    fn violated(&self, invariant: Invariant, detail: String) {
        let now = self.sim().now();
        self.stage.script.violated(now, invariant, detail);
    }

    fn state(&self, node: &NodeName) -> Option<&NodeState> {
        self.states.iter().find(|s| s.name == *node)
    }

    /// It was promoted on somebody's word, not on what was seen.
    fn on_somebodys_word(&self) -> bool {
        let proof = self.ended.facts.proof_about(&self.ended.old);
        matches!(proof, Some("waived" | "external"))
    }

    fn ends(&self) {
        match &self.ended.report {
            None => self.violated(
                Invariant::Ends,
                "the run was still under way when its budget was spent".to_owned(),
            ),
            Some(report) => {
                let says_why = report
                    .failure
                    .as_ref()
                    .is_some_and(|f| !f.message.trim().is_empty());
                if matches!(
                    report.outcome,
                    Outcome::Failed | Outcome::Refused | Outcome::Held
                ) && !says_why
                {
                    self.violated(
                        Invariant::Ends,
                        "the run did not reach its goal and does not say why".to_owned(),
                    );
                }
            }
        }
    }

    fn one_primary(&self) {
        let split = self.stage.script.lock().split.clone();
        if let Some((at, nodes)) = split.filter(|_| !self.on_somebodys_word()) {
            let detail = format!("{} could acknowledge writes at once", list(&nodes));
            self.stage
                .script
                .violated(at, Invariant::OnePrimary, detail);
        }
    }

    fn one_promotion(&self) {
        let promotions = self.sim().with(|w| w.completed_promotions());
        let own: Vec<NodeName> = promotions
            .iter()
            .skip(self.ended.before.promotions)
            .map(|(_, node)| node.clone())
            .collect();
        if own.len() > 1 || self.ended.facts.intended.len() > 1 {
            let detail = format!("the run promoted {}", list(&own));
            self.violated(Invariant::OnePromotion, detail);
        }
    }

    /// Counted are commits that the replaced node held when the run began or acknowledged since, and that the promoted
    /// node does not hold. They may lie within the loss that the run told; a person may have accepted whatever it is; a
    /// fence that was waived fences nothing.
    fn nothing_lost(&self) {
        let Some(new) = &self.ended.promoted else {
            return;
        };
        let facts = &self.ended.facts;
        if self.on_somebodys_word() || facts.loss_accepted {
            return;
        }
        let mut missing = self.sim().with(|w| w.missing_on(new));
        missing.retain(|commit| !self.ended.before.missing.contains(&index(commit)));
        let Some(last) = missing.iter().map(|c| c.lsn).max() else {
            return;
        };
        let best = self
            .stage
            .script
            .lock()
            .compared
            .as_ref()
            .map_or(Lsn(0), |c| c.best);
        let beyond = last.bytes_since(best);
        if beyond > facts.loss.unwrap_or(0) {
            let synchronous = missing.iter().filter(|c| c.synchronous).count();
            let detail = format!(
                "{} acknowledged commits ({synchronous} of them synchronous) are not on {new}; they reach {beyond} bytes beyond \
                 what was compared, and the run told a loss of {}",
                missing.len(),
                facts.loss.unwrap_or(0)
            );
            self.violated(Invariant::NothingLost, detail);
        }
    }

    /// A node that ran and was not replaced runs, unless a fault ended it or the run names it.
    fn stopped(&self) {
        for before in self.ended.before.states.iter().filter(|s| s.running) {
            let node = &before.name;
            let replaced = self.ended.promoted.is_some() && *node == self.ended.old;
            let runs = self.state(node).is_some_and(|s| s.running);
            let hit = self.stage.script.was_hit(&[node], self.ended.before.at);
            if !runs && !replaced && !hit && !self.ended.facts.names(node.as_str()) {
                let detail =
                    format!("{node} ran before and does not run now, and the run does not name it");
                self.violated(Invariant::Named, detail);
            }
        }
    }

    fn half_configured(&self) {
        for (node, why) in self.sim().with(|w| w.half_configured()) {
            let was = self.ended.before.half.iter().any(|(n, _)| *n == node);
            let own = node == self.ended.old;
            if !was && !own && !self.ended.facts.names(node.as_str()) {
                let detail = format!("{node} is left half configured and not named: {why}");
                self.violated(Invariant::Named, detail);
            }
        }
    }

    /// A slot is the run's when it was not there before. Those on a node that is being replaced are its own affair.
    fn orphaned(&self) {
        for slot in self.sim().with(|w| w.orphaned_slots()) {
            let before = &self.ended.before;
            let was = before.orphaned.contains(&slot)
                || before
                    .states
                    .iter()
                    .any(|s| s.name == slot.node && s.slots.contains(&slot.slot));
            let facts = &self.ended.facts;
            let user = self
                .stage
                .inventory
                .nodes
                .keys()
                .find(|n| n.slot() == slot.slot);
            let named = facts.names(slot.slot.as_str())
                || user.is_some_and(|n| facts.names(n.as_str()))
                || facts.names(slot.node.as_str());
            if !was && !named {
                let detail = format!(
                    "slot {} on {} is used by nobody and not named",
                    slot.slot, slot.node
                );
                self.violated(Invariant::Named, detail);
            }
        }
    }

    /// The run says that its goal is reached.
    fn success(&self, report: &Report) {
        if let Some(new) = &self.ended.promoted {
            self.has_primary(new);
            for state in &self.ended.before.states {
                if state.running && state.standby && state.name != *new {
                    self.is_attached(&state.name, new);
                }
            }
        } else if report.outcome == Outcome::Ok
            && let (Some(node), Some(upstream)) = (self.param("node"), self.param("upstream"))
        {
            self.is_attached(&node, &upstream);
        }
    }

    fn param(&self, name: &str) -> Option<NodeName> {
        let text = self.ended.params.get(name).and_then(Value::as_str)?;
        NodeName::parse(text).ok()
    }

    fn has_primary(&self, new: &NodeName) {
        let writes = self.state(new).is_some_and(|s| s.running && !s.standby);
        let seen = self.ended.facts.writes.iter();
        let seen = seen.filter(|(_, node, _)| node == new.as_str()).count();
        if !writes && seen == 0 {
            let detail = format!(
                "the run succeeded, {new} is no running primary, and no write was seen there"
            );
            self.violated(Invariant::Evidence, detail);
        }
    }

    /// It streams from the new primary, or from a standby that does; or it, or a standby above it, is named; or it did when
    /// its step looked.
    fn is_attached(&self, node: &NodeName, upstream: &NodeName) {
        let mut chain = vec![node.clone()];
        while let Some(above) = chain.last().and_then(|up| self.above(up)) {
            if above == *upstream && self.streams(&chain) {
                return;
            }
            if chain.contains(&above) {
                break;
            }
            chain.push(above);
        }
        if chain.iter().any(|n| self.ended.facts.names(n.as_str())) {
            return;
        }
        let seen = self.ended.facts.writes.iter().rev();
        let seen = seen
            .filter(|(path, _, _)| {
                path.0.contains(&format!("[{node}]")) || self.ended.promoted.is_none()
            })
            .map(|(_, _, at)| *at)
            .next();
        let nodes: Vec<&NodeName> = chain.iter().chain([upstream]).collect();
        let hit_since = |at| self.stage.script.was_hit(&nodes, at);
        // One that follows whom it followed before was left where it is: what happened above it is no step's fault.
        let set_to = |states: &[NodeState]| {
            let state = states.iter().find(|s| s.name == *node);
            state.map(|s| s.set_to.clone())
        };
        let untouched = set_to(&self.states) == set_to(&self.ended.before.states);
        let excused = match seen {
            Some(at) => hit_since(at),
            None => untouched && hit_since(self.ended.before.at),
        };
        if !excused {
            let detail = format!(
                "the run succeeded, and {node} does not stream from {upstream} and is not named"
            );
            self.violated(Invariant::Evidence, detail);
        }
    }

    /// What a node streams from, or else is set to.
    fn above(&self, node: &NodeName) -> Option<NodeName> {
        let state = self.state(node)?;
        state.streams_from.clone().or_else(|| {
            let (host, port) = state.set_to.as_ref()?;
            let inventory = self.stage.inventory;
            inventory.node_at(host, *port).map(|n| n.name.clone())
        })
    }

    /// All of them stream from somebody.
    fn streams(&self, nodes: &[NodeName]) -> bool {
        let streams = |node| self.state(node).is_some_and(|s| s.streams_from.is_some());
        nodes.iter().all(streams)
    }
}
