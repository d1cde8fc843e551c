//! Where in a playbook an expression or template stands: what it can see there.

use super::facts::Facts;
use super::graph::Graph;
use super::kind::{Kind, Outputs};
use crate::playbook::{OnFailure, Step};

/// What can be seen from somewhere.
#[derive(Clone, Default)]
pub(super) struct Place<'a> {
    /// The blocks around it, innermost first.
    pub(super) blocks: Vec<Visible<'a>>,
    /// The item, inside a `for_each`.
    pub(super) item: Option<Kind>,
    /// The outputs of the attempt, in `until`.
    pub(super) result: Option<Outputs>,
    /// There is an `error`: in `retry.if` and in rescues.
    pub(super) error: bool,
    /// What is sure here, because the step's `when` says so.
    pub(super) facts: Facts,
    /// What may be null needs no guard: outputs of playbooks.
    pub(super) tolerant: bool,
    /// Which names there are besides those of steps.
    pub(super) names: Names,
}

/// Which names there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Names {
    /// All those of a playbook.
    #[default]
    All,
    /// Only `site` and `cluster`: defaults of parameters.
    Defaults,
    /// Only `payload`, `site`, and what the site file says of `cluster`: no playbook is around.
    Request,
}

/// A block, seen from somewhere.
#[derive(Clone, Copy)]
pub(super) struct Visible<'a> {
    pub(super) graph: &'a Graph<'a>,
    pub(super) from: From,
}

/// From where a block is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// From one of its steps: what that needs has ended.
    Step(usize),
    /// From the rescue of one of its steps: the same, and that step has failed.
    RescueOf(usize),
    /// From its end: all has ended well.
    End,
    /// From the run's rescue or finally: anything may be.
    Anytime,
}

/// A step that is seen from somewhere.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) step: &'a Step,
    pub(super) index: usize,
    pub(super) block: Visible<'a>,
}

impl<'a> Place<'a> {
    /// The step of this id, of the innermost block that has one.
    pub(super) fn find(&self, id: &str) -> Option<Seen<'a>> {
        self.blocks.iter().find_map(|block| {
            let (index, step) = block.graph.find(id)?;
            Some(Seen {
                step,
                index,
                block: *block,
            })
        })
    }

    /// The ids of the steps that may be referred to.
    pub(super) fn steps(&self) -> Vec<&'a str> {
        let mut ids = Vec::new();
        for block in &self.blocks {
            for (index, step) in block.graph.block.steps.iter().enumerate() {
                let seen = Seen {
                    step,
                    index,
                    block: *block,
                };
                if seen.has_ended() {
                    ids.push(step.id.value.as_str());
                }
            }
        }
        ids
    }
}

impl Seen<'_> {
    /// Whether it may be referred to: it has ended, as far as the order of the steps goes.
    pub(super) fn has_ended(&self) -> bool {
        let graph = self.block.graph;
        let before = |from| graph.is_ancestor(self.index, from) || graph.is_tangled(from);
        match self.block.from {
            From::Step(from) => self.index != from && before(from),
            From::RescueOf(from) => self.index == from || before(from),
            From::End | From::Anytime => true,
        }
    }

    /// Why its outputs may be null here, apart from its `when`. `None` when they cannot be.
    pub(super) fn doubt(&self) -> Option<&'static str> {
        match self.block.from {
            From::Anytime => return Some("it may not have run"),
            From::RescueOf(from) if from == self.index => return Some("it failed"),
            _ => {}
        }
        let step = self.step;
        if step.on_failure.value != OnFailure::Fail {
            Some("it may fail, and what needs it goes on")
        } else if step.rescue.as_ref().is_some_and(|r| r.outputs.is_empty()) {
            Some("it may be rescued, and its rescue declares no `outputs`")
        } else {
            None
        }
    }
}
