//! What is to happen in a scenario, and what has: shared by everything that watches one.

use super::fault::{Kind, Planned, Point};
use super::here::{Phase, here};
use super::invariant::{Invariant, Violation};
use super::own::{Aimed, Meets};
use super::scenario::Scenario;
use super::situation::Start;
use crate::cluster::{CustomEffect, Lsn, NodeName};
use crate::engine::{Envelope, Event, StepPath};
use crate::simulate::{At, Call, SimCluster, What, World};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// A fault that has met its call.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    pub(super) at: At,
    pub(super) kind: Kind,
    /// The node that it happened to.
    pub(super) node: Option<NodeName>,
}

/// Where a question was asked: in which phase of which step, or before the run of which node.
type Place = (Option<(StepPath, Phase)>, Option<NodeName>);

/// What a look at all positions found: nobody that counts may come beyond it until the promotion.
#[derive(Debug, Clone)]
pub(super) struct Compared {
    pub(super) nodes: Vec<NodeName>,
    pub(super) best: Lsn,
}

/// Clones share it. Never locked while the cluster is asked: the cluster asks back.
#[derive(Clone)]
pub(super) struct Script(Arc<Mutex<Inner>>);

pub(super) struct Inner {
    scenario: Scenario,
    /// Faults that still wait for their call.
    armed: Vec<Planned>,
    /// Those that wait for a call of a step.
    aimed: Aimed,
    /// Whether the calls are to be listed.
    survey: bool,
    met: BTreeSet<Place>,
    pub(super) points: Vec<Point>,
    pub(super) hits: Vec<Hit>,
    /// The run that is under way, from 1; what it replaces; and how many promotions there were before it.
    pub(super) run: usize,
    pub(super) old: NodeName,
    promotions: usize,
    pub(super) split: Option<(At, Vec<NodeName>)>,
    pub(super) compared: Option<Compared>,
    pub(super) violations: Vec<Violation>,
    /// The story, where it is to be told.
    story: Option<Vec<String>>,
    began: At,
    /// Fired when the runner under way dies.
    death: CancellationToken,
    /// How many records the first run has made.
    pub(super) records: u64,
}

/// What becomes of a record and of who writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Written,
    /// It is written, and then the runner dies.
    Last,
    /// The runner dies before it is written.
    Lost,
}

impl Script {
    pub(super) fn new(
        scenario: &Scenario,
        old: NodeName,
        began: At,
        survey: bool,
        story: bool,
    ) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            scenario: scenario.clone(),
            armed: scenario.faults.clone(),
            aimed: Aimed::default(),
            survey,
            met: BTreeSet::new(),
            points: Vec::new(),
            hits: Vec::new(),
            run: 0,
            old,
            promotions: 0,
            split: None,
            compared: None,
            violations: Vec::new(),
            story: story.then(Vec::new),
            began,
            death: CancellationToken::new(),
            records: 0,
        })))
    }

    /// Another runner begins: fired when it dies.
    pub(super) fn runner(&self) -> CancellationToken {
        let mut inner = self.lock();
        inner.death = CancellationToken::new();
        inner.death.clone()
    }

    /// Whether a runner may die in this scenario: then the journal is needed.
    pub(super) fn may_die(&self) -> bool {
        let inner = self.lock();
        inner.aimed.may_die() || inner.armed.iter().any(|fault| fault.kind == Kind::Dies)
    }

    /// These faults wait for calls of steps, besides the scenario's own.
    pub(super) fn aim(&self, aimed: Aimed) {
        self.lock().aimed = aimed;
    }

    /// The faults at steps that met nothing, by number.
    pub(super) fn unmet(&self) -> Vec<usize> {
        self.lock().aimed.unmet()
    }

    /// A record is about to be written.
    pub(super) fn writes(&self, at: At, envelope: &Envelope) -> Fate {
        self.lock().writes(at, envelope)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Arms the faults, and watches the world after every change.
    pub(super) fn attend(&self, sim: &SimCluster) {
        let script = self.clone();
        sim.inject(|calls| calls.on_call(move |call| script.lock().meets(call)));
        let script = self.clone();
        sim.with(|w| w.watch(move |w| script.watch(w)));
    }

    /// A run begins that replaces `old`, if anybody.
    pub(super) fn run_begins(&self, old: NodeName, promotions: usize) {
        let mut inner = self.lock();
        inner.run += 1;
        inner.old = old;
        inner.promotions = promotions;
        inner.split = None;
        inner.compared = None;
        let run = inner.run;
        inner.tell_at(None, || format!("run {run} begins"));
    }

    /// No call meets anything any more.
    pub(super) fn disarm(&self) {
        let mut inner = self.lock();
        inner.armed.clear();
        inner.aimed = Aimed::default();
        inner.survey = false;
    }

    fn watch(&self, world: &World) {
        let mut inner = self.lock();
        if inner.split.is_some() || world.promotions() <= inner.promotions {
            return;
        }
        // Nearly always there is one, or none.
        if world.several_acknowledge() {
            let nodes = world.can_acknowledge();
            inner.split = Some((world.now(), nodes.clone()));
            inner.tell_at(Some(world.now()), || {
                format!("two can acknowledge writes: {}", list(&nodes))
            });
        }
    }

    /// Something did not hold.
    pub(super) fn violated(&self, at: At, invariant: Invariant, detail: impl Into<String>) {
        self.lock().violated(at, invariant, detail.into());
    }

    /// A line of the story.
    pub(super) fn tell(&self, at: At, line: impl FnOnce() -> String) {
        self.lock().tell_at(Some(at), line);
    }

    pub(super) fn story(&self) -> Vec<String> {
        self.lock().story.take().unwrap_or_default()
    }

    /// Something happened to one of these nodes at or after that moment.
    pub(super) fn was_hit(&self, nodes: &[&NodeName], since: At) -> bool {
        self.lock().hits.iter().any(|hit| {
            let theirs = hit.node.as_ref().is_some_and(|node| nodes.contains(&node));
            hit.kind.disrupts() && hit.at >= since && theirs
        })
    }
}

impl Inner {
    fn writes(&mut self, at: At, envelope: &Envelope) -> Fate {
        let number = envelope.seq + 1;
        if self.run == 1 {
            self.records = self.records.max(number);
        }
        if self.survey {
            match envelope.event {
                Event::EffectIntended { .. } => self.points.push(Point::Recorded(number)),
                Event::EffectSettled { .. } => self.points.push(Point::Unrecorded(number)),
                _ => {}
            }
        }
        let met = self.armed.iter().position(|fault| {
            fault.point == Point::Recorded(number) || fault.point == Point::Unrecorded(number)
        });
        let Some(index) = met else {
            return self.dies_at(at, &envelope.event);
        };
        let planned = self.armed.swap_remove(index);
        self.tell_at(Some(at), || {
            format!("FAULT {planned}: {}", planned.kind.sentence())
        });
        self.hits.push(Hit {
            at,
            kind: planned.kind,
            node: None,
        });
        self.death.cancel();
        match planned.point {
            Point::Unrecorded(_) => Fate::Lost,
            _ => Fate::Last,
        }
    }

    /// Where a test lets the runner die at a step: its intent is the last that it writes.
    fn dies_at(&mut self, at: At, event: &Event) -> Fate {
        let Event::EffectIntended { path, .. } = event else {
            return Fate::Written;
        };
        if self.run != 1 || !self.aimed.dies(path) {
            return Fate::Written;
        }
        self.tell_at(Some(at), || {
            format!("FAULT: step {path}: {}", Kind::Dies.sentence())
        });
        self.hits.push(Hit {
            at,
            kind: Kind::Dies,
            node: None,
        });
        self.death.cancel();
        Fate::Last
    }

    /// What a test has for a call of a step.
    fn aimed_at(&mut self, call: &Call<'_>) -> Option<crate::simulate::Fault> {
        let (path, _) = here().filter(|_| self.run == 1)?;
        let sort = match call.what {
            // A program, statement or request that only looks: a step's probe, or a step that says `effect: read`.
            What::Perform(operation) if operation.effect() == CustomEffect::Read => Meets::Question,
            What::Perform(_) => Meets::Effect,
            What::Observe(_) => Meets::Question,
        };
        let kind = self.aimed.meets(&path, sort)?;
        let fault = kind.of(call, &self.old)?;
        self.tell_at(Some(call.at), || {
            format!("FAULT {}: {}", described(call), kind.sentence())
        });
        let node = match kind {
            Kind::Back => Some(self.old.clone()),
            _ => call.node.cloned(),
        };
        self.hits.push(Hit {
            at: call.at,
            kind,
            node,
        });
        Some(fault)
    }

    fn meets(&mut self, call: &Call<'_>) -> Option<crate::simulate::Fault> {
        if let Some(fault) = self.aimed_at(call) {
            return Some(fault);
        }
        let point = Point::of(call);
        if self.survey {
            self.note(point, call);
        }
        let index = self.armed.iter().position(|fault| fault.point == point)?;
        if self.hides_the_new_primary(call) {
            return None;
        }
        let planned = self.armed.swap_remove(index);
        let fault = planned.kind.of(call, &self.old)?;
        let node = match planned.kind {
            Kind::Back => Some(self.old.clone()),
            _ => call.node.cloned(),
        };
        self.tell_at(Some(call.at), || {
            format!(
                "FAULT {planned}: {}: {}",
                described(call),
                planned.kind.sentence()
            )
        });
        self.hits.push(Hit {
            at: call.at,
            kind: planned.kind,
            node,
        });
        Some(fault)
    }

    /// Somebody has promoted a standby behind pgbaton's back, and this is the first look at it. A run that does not see
    /// it cannot know that it is no standby any more; it is shown to every run.
    fn hides_the_new_primary(&self, call: &Call<'_>) -> bool {
        self.scenario.situation.start == Start::Promoted
            && here().is_none()
            && call.node == Some(&self.old)
    }

    /// Every effect, and the first question of every phase of every step; before the run, the first to every node.
    fn note(&mut self, point: Point, call: &Call<'_>) {
        let new = match call.what {
            What::Perform(_) => true,
            What::Observe(_) => {
                let at = here();
                let node = if at.is_none() {
                    call.node.cloned()
                } else {
                    None
                };
                self.met.insert((at, node))
            }
        };
        if new {
            self.points.push(point);
        }
    }

    fn violated(&mut self, at: At, invariant: Invariant, detail: String) {
        self.tell_at(Some(at), || format!("VIOLATED {invariant}: {detail}"));
        let violation = Violation {
            invariant,
            detail,
            run: self.run,
            at_ms: u64::try_from(at.since(self.began).as_millis()).unwrap_or(u64::MAX),
            scenario: self.scenario.clone(),
        };
        self.violations.push(violation);
    }

    fn tell_at(&mut self, at: Option<At>, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            let when = at.map_or_else(
                || " ".repeat(10),
                |at| format!("+{:8.3}s", at.since(self.began).as_secs_f64()),
            );
            story.push(format!("{when}  {}", line()));
        }
    }
}

/// A call, for people.
fn described(call: &Call<'_>) -> String {
    let step = here().map_or_else(String::new, |(path, _)| format!("step {path}, "));
    let node = call
        .node
        .map_or_else(String::new, |node| format!(" on {node}"));
    match call.what {
        What::Perform(operation) => {
            let named = serde_json::to_value(operation).unwrap_or_default();
            let name = named["operation"]
                .as_str()
                .unwrap_or("operation")
                .to_owned();
            format!("{step}`{name}`{node}")
        }
        What::Observe(name) => format!("{step}question `{name}`{node}"),
    }
}

/// Names with commas between.
pub(super) fn list(nodes: &[NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    names.join(", ")
}
