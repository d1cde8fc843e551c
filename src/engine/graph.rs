//! The order of a block's steps.

use super::Failure;
use crate::playbook::{Block, TroubleKind};
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::{HashMap, VecDeque};

/// The place of each step of a block. Ids are the site's own, and few: a hash that is fast will do.
pub(super) type ById<'s> = HashMap<&'s str, usize, foldhash::fast::FixedState>;

/// Which steps wait for which, and how many each still waits for. Every end of a step costs as much as it has
/// successors, whatever the size of the graph.
pub(super) struct Graph {
    edges: DiGraph<(), ()>,
    waiting: Vec<usize>,
    ready: VecDeque<usize>,
    left: usize,
}

impl Graph {
    /// The graph of a block; an error when a step needs one that is not there.
    pub(super) fn of(block: &Block, index: &ById<'_>) -> Result<Self, Failure> {
        let count = block.steps.len();
        let mut edges = DiGraph::with_capacity(count, count);
        for _ in 0..count {
            edges.add_node(());
        }
        let mut waiting = vec![0; count];
        for (to, step) in block.steps.iter().enumerate() {
            let mut needs: Vec<usize> = Vec::with_capacity(step.needs.len());
            for need in &step.needs {
                let Some(&from) = index.get(need.value.as_str()) else {
                    return Err(Failure::new(
                        TroubleKind::Failed,
                        format!(
                            "step `{}` needs `{}`, which is not there",
                            step.id.value, need.value
                        ),
                    ));
                };
                needs.push(from);
            }
            needs.sort_unstable();
            needs.dedup();
            waiting[to] = needs.len();
            for from in needs {
                edges.add_edge(NodeIndex::new(from), NodeIndex::new(to), ());
            }
        }
        let ready = (0..count).filter(|step| waiting[*step] == 0).collect();
        Ok(Self {
            edges,
            waiting,
            ready,
            left: count,
        })
    }

    /// The next step that is ready, in the order in which they became so; it stays until it is taken.
    pub(super) fn peek(&self) -> Option<usize> {
        self.ready.front().copied()
    }

    /// Takes the next step that is ready.
    pub(super) fn take(&mut self) {
        self.left -= usize::from(self.ready.pop_front().is_some());
    }

    /// A step ended; calls `met` with each step that needs it.
    pub(super) fn ended(&mut self, step: usize, mut met: impl FnMut(usize)) {
        let first = self.ready.len();
        for next in self.edges.neighbors(NodeIndex::new(step)) {
            let next = next.index();
            self.waiting[next] -= 1;
            if self.waiting[next] == 0 {
                self.ready.push_back(next);
            }
            met(next);
        }
        // petgraph gives the newest edge first; steps become ready in source order.
        if self.ready.len() > first + 1 {
            self.ready.make_contiguous()[first..].sort_unstable();
        }
    }

    /// How many steps were never ready: with nothing under way, they need each other.
    pub(super) fn left(&self) -> usize {
        self.left
    }
}
