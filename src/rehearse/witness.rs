//! Stands around every action: notes whose calls are whose, and asks the world whether a step that says ok has its goal
//! reached.

use super::here::{Phase, within};
use super::invariant::Invariant;
use super::script::{Compared, Script};
use crate::cluster::NodeName;
use crate::engine::{
    Action, Actions, Applied, Done, Failure, Forecast, Inputs, Probe, StepContext, Undone,
};
use crate::playbook::{Map, Signature, Value};
use crate::simulate::{At, NodeState, SimCluster};
use async_trait::async_trait;
use std::sync::{Arc, Mutex, PoisonError};

/// All actions, each with its witness.
pub(super) struct Witnessed {
    pub(super) actions: Arc<dyn Actions>,
    pub(super) sim: SimCluster,
    pub(super) script: Script,
}

impl Actions for Witnessed {
    fn find(&self, name: &str) -> Option<Arc<dyn Action>> {
        Some(Arc::new(Witness {
            action: self.actions.find(name)?,
            sim: self.sim.clone(),
            script: self.script.clone(),
            began: Mutex::new(None),
        }))
    }
}

struct Witness {
    action: Arc<dyn Action>,
    sim: SimCluster,
    script: Script,
    /// When the newest attempt began. One of these is made for every step or item.
    began: Mutex<Option<At>>,
}

#[async_trait]
impl Action for Witness {
    fn signature(&self) -> &Signature {
        self.action.signature()
    }

    async fn probe(&self, step: &StepContext) -> Probe {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.sim.now());
        within(&step.path, Phase::Probe, self.action.probe(step)).await
    }

    async fn plan(&self, step: &StepContext) -> Vec<Forecast> {
        self.action.plan(step).await
    }

    async fn apply(&self, step: &StepContext) -> Applied {
        within(&step.path, Phase::Apply, self.action.apply(step)).await
    }

    async fn verify(&self, step: &StepContext, outputs: Map) -> Result<Map, Failure> {
        let mut told = within(&step.path, Phase::Verify, self.action.verify(step, outputs)).await;
        // An own step is not executed: what it is said to give is what it gives.
        if let (Ok(outputs), Some(assumed)) = (&mut told, &step.inputs.assume) {
            outputs.extend(assumed.clone());
        }
        if let Ok(outputs) = &told {
            self.look(step, outputs);
        }
        told
    }

    async fn undo(&self, step: &StepContext, done: &[Done]) -> Undone {
        within(&step.path, Phase::Undo, self.action.undo(step, done)).await
    }
}

impl Witness {
    fn look(&self, step: &StepContext, outputs: &Map) {
        let action = self.signature().name;
        let claim = claim(action);
        let compares = action == "choose";
        // Most steps say nothing of a node, and a look at all of them costs something.
        if claim.is_none() && !compares {
            return;
        }
        let began = *self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let (states, acknowledge) = self.sim.with(|w| (w.states(), w.can_acknowledge()));
        let view = View {
            inputs: &step.inputs,
            outputs,
            states: &states,
            acknowledge: &acknowledge,
            inventory: crate::cluster::Observe::inventory(&self.sim),
        };
        if compares {
            self.compared(&view, step);
        }
        let missed = claim.and_then(|claim| {
            let node = view.node()?;
            claim(&view, view.state(&node)?)
        });
        let Some(missed) = missed else {
            return;
        };
        // What happened to a node after the step had looked at it is not the step's fault.
        let since = began.unwrap_or_default();
        let nodes: Vec<NodeName> = [view.node(), view.input("upstream"), view.input("from")]
            .into_iter()
            .flatten()
            .collect();
        if !self
            .script
            .was_hit(&nodes.iter().collect::<Vec<_>>(), since)
        {
            let detail = format!("step {} ({action}) says ok, and {missed}", step.path);
            self.script
                .violated(self.sim.now(), Invariant::GoalReached, detail);
        }
    }

    /// Positions were compared: whoever counts must not be able to grow.
    fn compared(&self, view: &View<'_>, step: &StepContext) {
        let absent = view.list("absent");
        let Some(old) = view.input("old_primary") else {
            return;
        };
        let counted: Vec<&NodeState> = view
            .states
            .iter()
            .filter(|s| s.running && s.standby && s.name != old)
            .filter(|s| !absent.iter().any(|name| *name == s.name.as_str()))
            .collect();
        for state in &counted {
            let receives = state.streams_from.as_ref() == Some(&old);
            if receives || view.points_at(state, &old) {
                let detail = format!(
                    "step {} compared {} while it may still receive from {old}",
                    step.path, state.name
                );
                self.script
                    .violated(self.sim.now(), Invariant::FrozenBeforeCompared, detail);
            }
        }
        if let Some(Value::Lsn(best)) = view.outputs.get("position") {
            self.script.lock().compared = Some(Compared {
                nodes: counted.iter().map(|s| s.name.clone()).collect(),
                best: *best,
            });
        }
    }
}

/// The world beside what a step was told and what it says.
struct View<'a> {
    inputs: &'a Inputs,
    outputs: &'a Map,
    states: &'a [NodeState],
    acknowledge: &'a [NodeName],
    inventory: &'a crate::cluster::Inventory,
}

impl View<'_> {
    fn node(&self) -> Option<NodeName> {
        NodeName::parse(self.inputs.node.as_deref()?).ok()
    }

    fn input(&self, name: &str) -> Option<NodeName> {
        NodeName::parse(self.inputs.get(name).as_str()?).ok()
    }

    fn list(&self, name: &str) -> Vec<&str> {
        match self.outputs.get(name) {
            Some(Value::List(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    fn says(&self, name: &str) -> bool {
        self.outputs.get(name) == Some(&Value::Boolean(true))
    }

    fn runs_or_returns(&self, state: &NodeState) -> bool {
        state.running || self.acknowledge.contains(&state.name) || !state.signal
    }

    fn points_at(&self, state: &NodeState, node: &NodeName) -> bool {
        let about = self.inventory.node(node);
        about.is_some_and(|n| state.set_to == Some((n.host.clone(), n.port)))
    }

    fn state(&self, node: &NodeName) -> Option<&NodeState> {
        self.states.iter().find(|s| s.name == *node)
    }
}

/// What is not as an action says that it is, on the node of its step; none when all is well, or nothing can be told.
type Claim = fn(&View<'_>, &NodeState) -> Option<String>;

/// What an action says when it says ok; none where it says nothing of the node.
fn claim(action: &str) -> Option<Claim> {
    Some(match action {
        "freeze" => |view, state| {
            let receives = state.streams_from.is_some() || state.set_to.is_some();
            let wrong = view.says("frozen") && receives;
            wrong.then(|| format!("{} can still receive", state.name))
        },
        "set_upstream" => |view, state| {
            let upstream = view.input("upstream")?;
            let wrong = !view.says("restart_required") && !view.points_at(state, &upstream);
            wrong.then(|| format!("{} is not set to follow {upstream}", state.name))
        },
        "retire" => |view, state| {
            view.runs_or_returns(state)
                .then(|| format!("{} runs, or can come back as a primary", state.name))
        },
        "rewind" | "clone" => |_, state| {
            let wrong = state.half_rewound || !state.signal;
            wrong.then(|| {
                format!(
                    "{} is half rewound, or can come back as a primary",
                    state.name
                )
            })
        },
        "stop" => |_, state| state.running.then(|| format!("{} runs", state.name)),
        "start" => |_, state| (!state.running).then(|| format!("{} does not run", state.name)),
        "promote" | "verify_primary" => |_, state| {
            let wrong = !state.running || state.standby;
            wrong.then(|| format!("{} is no running primary", state.name))
        },
        "create_slot" => |view, state| {
            // It says so where it made none.
            if view.outputs.get("there") == Some(&Value::Boolean(false)) {
                return None;
            }
            let slot = view.input("for")?.slot();
            let wrong = !state.slots.contains(&slot);
            wrong.then(|| format!("{} has no slot {slot}", state.name))
        },
        "drop_slot" => |view, state| {
            let slot = view.input("for")?.slot();
            let wrong = state.slots.contains(&slot);
            wrong.then(|| format!("{} still has the slot {slot}", state.name))
        },
        "verify_attach" => |view, state| {
            let upstream = view.input("upstream")?;
            let wrong = state.streams_from.as_ref() != Some(&upstream);
            wrong.then(|| format!("{} does not stream from {upstream}", state.name))
        },
        "settle_settings" => |_, state| {
            let wrong = !state.saved.is_empty();
            wrong.then(|| format!("settings are still kept on {}", state.name))
        },
        "fence" => |view, state| match view.outputs.get("proof").and_then(Value::as_str) {
            Some("stopped") => view
                .runs_or_returns(state)
                .then(|| format!("{} runs, or can come back as a primary", state.name)),
            Some("starved") => view
                .acknowledge
                .contains(&state.name)
                .then(|| format!("{} can still acknowledge writes", state.name)),
            _ => None,
        },
        _ => return None,
    })
}
