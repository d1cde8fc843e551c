//! The order of a block's steps: who needs whom.

use crate::document::{Diagnostics, Label, Source, suggest};
use crate::playbook::{Block, Step};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::{HashMap, VecDeque};

/// A block with its order worked out.
pub(super) struct Graph<'a> {
    pub(super) block: &'a Block,
    by_id: HashMap<&'a str, usize>,
    /// For each step, the steps that it needs, directly or not, as a set of bits.
    ancestors: Vec<Vec<u64>>,
    /// The steps that are part of a circle or need one that is: their ancestors are not all known.
    tangled: Vec<bool>,
}

impl<'a> Graph<'a> {
    /// Works the order out; unknown needs and cycles are reported and left out.
    pub(super) fn of(block: &'a Block, source: &Source, diagnostics: &mut Diagnostics) -> Self {
        let mut by_id = HashMap::with_capacity(block.steps.len());
        for (index, step) in block.steps.iter().enumerate() {
            by_id.entry(step.id.value.as_str()).or_insert(index);
        }
        let mut needs: Vec<Vec<usize>> = vec![Vec::new(); block.steps.len()];
        for (index, step) in block.steps.iter().enumerate() {
            for need in &step.needs {
                let id = need.value.as_str();
                match by_id.get(id) {
                    Some(&other) if other == index => {
                        diagnostics
                            .error(
                                "needs-cycle",
                                source,
                                need.span,
                                format!("step `{id}` needs itself"),
                            )
                            .help = Some("leave it out of `needs`".to_owned());
                    }
                    Some(&other) => needs[index].push(other),
                    None => {
                        let known = by_id
                            .keys()
                            .copied()
                            .filter(|k| *k != step.id.value.as_str());
                        let error = diagnostics.error(
                            "unknown-step",
                            source,
                            need.span,
                            format!("there is no step `{id}` beside `{}`", step.id.value),
                        );
                        error.help = match suggest(id, known) {
                            Some(near) => Some(format!("did you mean `{near}`?")),
                            None => Some("`needs` names steps of the same block".to_owned()),
                        };
                    }
                }
            }
        }
        report_cycles(block, &needs, source, diagnostics);
        let (ancestors, tangled) = ancestors(&needs);
        Self {
            block,
            by_id,
            ancestors,
            tangled,
        }
    }

    pub(super) fn find(&self, id: &str) -> Option<(usize, &'a Step)> {
        let index = *self.by_id.get(id)?;
        Some((index, &self.block.steps[index]))
    }

    /// Whether `step` needs `other`, directly or not.
    pub(super) fn is_ancestor(&self, other: usize, step: usize) -> bool {
        self.ancestors[step]
            .get(other / 64)
            .is_some_and(|word| word >> (other % 64) & 1 == 1)
    }

    /// Whether a circle, which has been reported, keeps us from knowing what `step` needs.
    pub(super) fn is_tangled(&self, step: usize) -> bool {
        self.tangled[step]
    }

    /// The steps that `step` needs, directly or not, in source order.
    pub(super) fn ancestors_of(&self, step: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.block.steps.len()).filter(move |&other| self.is_ancestor(other, step))
    }

    /// The steps that need `step`, directly or not, in source order.
    pub(super) fn descendants_of(&self, step: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.block.steps.len()).filter(move |&other| self.is_ancestor(step, other))
    }
}

/// In topological order, so that every set is complete before it is used; steps in circles keep what is known of them, and
/// are told apart.
fn ancestors(needs: &[Vec<usize>]) -> (Vec<Vec<u64>>, Vec<bool>) {
    let words = needs.len().div_ceil(64);
    let mut sets = vec![vec![0u64; words]; needs.len()];
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    for (step, all) in needs.iter().enumerate() {
        for &need in all {
            needed_by[need].push(step);
        }
    }
    let mut ready: VecDeque<usize> = (0..needs.len()).filter(|&step| open[step] == 0).collect();
    while let Some(step) = ready.pop_front() {
        let done = std::mem::take(&mut sets[step]);
        for &next in &needed_by[step] {
            for (to, from) in sets[next].iter_mut().zip(&done) {
                *to |= from;
            }
            sets[next][step / 64] |= 1 << (step % 64);
            open[next] -= 1;
            if open[next] == 0 {
                ready.push_back(next);
            }
        }
        sets[step] = done;
    }
    let tangled = open.into_iter().map(|left| left > 0).collect();
    (sets, tangled)
}

fn report_cycles(
    block: &Block,
    needs: &[Vec<usize>],
    source: &Source,
    diagnostics: &mut Diagnostics,
) {
    let mut graph: DiGraph<usize, ()> = DiGraph::with_capacity(needs.len(), needs.len());
    let nodes: Vec<NodeIndex> = (0..needs.len()).map(|step| graph.add_node(step)).collect();
    for (step, all) in needs.iter().enumerate() {
        for &need in all {
            graph.add_edge(nodes[step], nodes[need], ());
        }
    }
    // Not `tarjan_scc`: it recurses, and a long chain overflows the stack.
    let mut components: Vec<Vec<usize>> = kosaraju_scc(&graph)
        .into_iter()
        .filter(|component| component.len() > 1)
        .map(|component| component.into_iter().map(|node| graph[node]).collect())
        .collect();
    for component in &mut components {
        component.sort_unstable();
    }
    components.sort();
    for component in components {
        let path = shortest_cycle(needs, &component);
        let name = |step: &usize| block.steps[*step].id.value.as_str();
        let mut shown: Vec<&str> = path.iter().chain(path.first()).map(name).collect();
        if shown.len() > 16 {
            shown.splice(8..shown.len() - 7, ["…"]);
        }
        let Some(&first) = path.first() else { continue };
        let place = |step: usize, need: usize| {
            let step = &block.steps[step];
            let id = block.steps[need].id.value.as_str();
            step.needs
                .iter()
                .find(|n| n.value.as_str() == id)
                .map_or(step.id.span, |n| n.span)
        };
        let next = |at: usize| path[(at + 1) % path.len()];
        let error = diagnostics.error(
            "needs-cycle",
            source,
            place(first, next(0)),
            format!("steps need each other in a circle: {}", shown.join(" → ")),
        );
        error.label = format!("`{}` needs `{}`", name(&first), name(&next(0)));
        error.help = Some("take one of these out of `needs`".to_owned());
        for (at, &step) in path.iter().enumerate().skip(1).take(8) {
            error.related.push(Label {
                span: place(step, next(at)),
                text: format!("`{}` needs `{}`", name(&step), name(&next(at))),
            });
        }
    }
}

/// A shortest way from the component's first step along needs back to it.
fn shortest_cycle(needs: &[Vec<usize>], component: &[usize]) -> Vec<usize> {
    let Some(&start) = component.first() else {
        return Vec::new();
    };
    let mut came_from: HashMap<usize, usize> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(step) = queue.pop_front() {
        for &need in &needs[step] {
            if need == start {
                let mut path = vec![step];
                let mut here = step;
                while let Some(&before) = came_from.get(&here) {
                    path.push(before);
                    here = before;
                }
                path.reverse();
                return path;
            }
            if component.binary_search(&need).is_ok()
                && need != start
                && !came_from.contains_key(&need)
            {
                came_from.insert(need, step);
                queue.push_back(need);
            }
        }
    }
    component.to_vec()
}
