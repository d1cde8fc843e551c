//! Who follows whom, checked before anything is made.

use super::{LabError, LabOptions, place};
use crate::cluster::{NodeName, SyncMode};

/// The most standbys of one lab: every server has 20 slots and senders.
const MOST_STANDBYS: u32 = 15;

/// Who follows whom.
pub(super) struct Plan {
    /// `n1` first.
    pub(super) nodes: Vec<NodeName>,
    /// For each node but the first, in the same order.
    upstreams: Vec<NodeName>,
}

impl Plan {
    pub(super) fn check(options: &LabOptions) -> Result<Self, LabError> {
        place::check_name(&options.name)?;
        let refuse = |why: String| Err(LabError::Options { why });
        if options.standbys > MOST_STANDBYS {
            return refuse(format!("at most {MOST_STANDBYS} standbys"));
        }
        let nodes: Vec<NodeName> = (1..=options.standbys + 1)
            .filter_map(|i| NodeName::parse(&format!("n{i}")).ok())
            .collect();
        let named = options.node_settings.keys();
        let named = named.chain(options.upstreams.iter().flat_map(|(a, b)| [a, b]));
        for name in named {
            if !nodes.contains(name) {
                return refuse(format!("there is no node `{name}`"));
            }
        }
        let mut upstreams = Vec::new();
        for (index, node) in nodes.iter().enumerate().skip(1) {
            let upstream = options.upstreams.get(node).unwrap_or(&nodes[0]);
            // Only towards the front: then nobody follows itself, nor in a circle.
            if !nodes[..index].contains(upstream) {
                return refuse(format!(
                    "`{node}` can only follow a node with a lower number, not `{upstream}`"
                ));
            }
            upstreams.push(upstream.clone());
        }
        if options.upstreams.contains_key(&nodes[0]) {
            return refuse("`n1` is the primary and follows nobody".to_owned());
        }
        let plan = Self { nodes, upstreams };
        let direct = plan.nodes.first().map_or(0, |first| plan.of(first).count());
        let acks = options.synchronous.acks as usize;
        let counted = matches!(options.synchronous.mode, SyncMode::Quorum | SyncMode::First);
        if counted && direct > 0 && !(1..=direct).contains(&acks) {
            return refuse(format!(
                "a commit cannot wait for {acks} of {direct} standbys"
            ));
        }
        Ok(plan)
    }

    /// Whom a node follows; none for the primary.
    pub(super) fn upstream(&self, node: &NodeName) -> Option<&NodeName> {
        let index = self.nodes.iter().position(|n| n == node)?;
        self.upstreams.get(index.checked_sub(1)?)
    }

    /// Who follows a node.
    pub(super) fn of<'a>(&'a self, upstream: &'a NodeName) -> impl Iterator<Item = &'a NodeName> {
        let followers = self.nodes.iter().skip(1).zip(&self.upstreams);
        followers
            .filter(move |(_, up)| *up == upstream)
            .map(|(node, _)| node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Synchronous;

    fn name(text: &str) -> NodeName {
        NodeName::parse(text).unwrap()
    }

    #[test]
    fn options_that_make_no_cluster_are_refused_before_anything_is_made() {
        let base = LabOptions::default;
        let sync = |mode, acks| Synchronous { mode, acks };
        let table = [
            LabOptions {
                standbys: 16,
                ..base()
            },
            LabOptions {
                synchronous: sync(SyncMode::Quorum, 3),
                ..base()
            },
            LabOptions {
                synchronous: sync(SyncMode::First, 0),
                ..base()
            },
            LabOptions {
                upstreams: [(name("n2"), name("n3"))].into(),
                ..base()
            },
            LabOptions {
                upstreams: [(name("n2"), name("n2"))].into(),
                ..base()
            },
            LabOptions {
                upstreams: [(name("n1"), name("n2"))].into(),
                ..base()
            },
            LabOptions {
                node_settings: [(name("n4"), vec![])].into(),
                ..base()
            },
            // One direct standby cannot give two acknowledgements.
            LabOptions {
                upstreams: [(name("n3"), name("n2"))].into(),
                synchronous: sync(SyncMode::Quorum, 2),
                ..base()
            },
        ];
        for options in table {
            assert!(
                matches!(Plan::check(&options), Err(LabError::Options { .. })),
                "{options:?}"
            );
        }
        assert!(
            Plan::check(&LabOptions {
                standbys: 0,
                ..base()
            })
            .is_ok()
        );
    }

    #[test]
    fn a_cascade_is_planned_level_by_level() {
        let options = LabOptions {
            standbys: 3,
            upstreams: [(name("n3"), name("n2"))].into(),
            ..LabOptions::default()
        };
        let plan = Plan::check(&options).unwrap();
        let of =
            |up: &str| -> Vec<String> { plan.of(&name(up)).map(ToString::to_string).collect() };
        assert_eq!(of("n1"), ["n2", "n4"]);
        assert_eq!(of("n2"), ["n3"]);
        assert_eq!(plan.upstream(&name("n1")), None);
    }
}
