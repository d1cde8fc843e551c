//! What is rehearsed.

use crate::actions::catalog;
use crate::cluster::{Inventory, NodeName, PromotePolicy, SyncMode, Synchronous};
use crate::engine::Actions;
use crate::playbook::{Body, Checked, Map, Role, Step, Type};
use crate::simulate::rehearsal_inventory;
use std::sync::Arc;
use std::time::Duration;

/// Puts other actions in the place of some: for tests that prove that a rehearsal can fail.
pub type Alter = Arc<dyn Fn(Arc<dyn Actions>) -> Arc<dyn Actions> + Send + Sync>;

/// A playbook, the nodes that it is for, and what it is given.
#[derive(Clone)]
pub struct Subject {
    /// The playbook.
    pub playbook: Checked,
    /// The playbook that lets a standby follow after the network has healed.
    pub follow: Option<Checked>,
    /// The nodes.
    pub inventory: Arc<Inventory>,
    /// How commits are replicated at the site; none where there is no site, and both ways are rehearsed.
    pub site_mode: Option<SyncMode>,
    /// `site.vars`.
    pub vars: Map,
    /// Parameters, as given.
    pub params: Vec<(String, String)>,
    /// Other actions than the usual ones.
    pub alter: Option<Alter>,
}

/// What a run may take that sets no limit of its own.
const LONGEST: Duration = Duration::from_hours(1);
/// Besides its own limits: rescue and finally where they say nothing, and what is taken back.
const BESIDES: Duration = Duration::from_mins(15);

impl Subject {
    /// On a cluster that nobody has: one primary and three standbys.
    pub fn without_site(playbook: Checked, follow: Option<Checked>) -> Self {
        let names = ["n1", "n2", "n3", "n4"];
        let names: Vec<NodeName> = names
            .iter()
            .filter_map(|n| NodeName::parse(n).ok())
            .collect();
        let off = Synchronous {
            mode: SyncMode::Off,
            acks: 1,
        };
        Self {
            playbook,
            follow,
            inventory: Arc::new(rehearsal_inventory(&names, off)),
            site_mode: None,
            vars: Map::new(),
            params: Vec::new(),
            alter: None,
        }
    }

    /// The nodes, the primary first: the first of the site file that may be one.
    pub(super) fn names(&self) -> Vec<NodeName> {
        let mut nodes: Vec<_> = self.inventory.nodes.values().collect();
        nodes.sort_by_key(|n| (n.promote != PromotePolicy::Allowed, n.id));
        nodes.into_iter().map(|n| n.name.clone()).collect()
    }

    pub(super) fn has_param(&self, name: &str) -> bool {
        self.playbook.playbook.param(name).is_some()
    }

    /// What it is given, with nodes for those of its parameters that must be given and are not.
    pub(super) fn given(&self) -> Vec<(String, String)> {
        let names = self.names();
        let mut given = self.params.clone();
        let mut standbys = names.iter().skip(1).cycle();
        let renews = self.renews();
        for param in &self.playbook.playbook.params {
            let name = &param.name.value;
            let missing = param.required && !given.iter().any(|(known, _)| known == name);
            if missing && param.ty == Type::Node {
                // The node of a follow comes before its upstream: the second standby follows the first.
                let node = match name.as_str() {
                    // Whoever is brought back was the primary.
                    "node" if renews => names.first(),
                    "node" => names.get(2).or(names.get(1)),
                    "upstream" | "candidate" => names.get(1),
                    "old_primary" => names.first(),
                    _ => standbys.next(),
                };
                given.extend(node.map(|node| (name.clone(), node.to_string())));
            }
        }
        given
    }

    /// How long a run may take, in simulated time.
    pub(super) fn budget(playbook: &Checked) -> Duration {
        let playbook = &playbook.playbook;
        let own = playbook.timeout.as_ref().map_or(LONGEST, |t| t.value);
        let more = [&playbook.rescue, &playbook.finally];
        let more = more.into_iter().flatten().filter_map(|b| b.timeout);
        own + more.sum::<Duration>() + BESIDES
    }

    /// Some step of it promotes.
    pub(super) fn promotes(&self) -> bool {
        let catalog = catalog();
        self.has_step(|step| match &step.body {
            Body::Action { name, .. } => catalog
                .actions
                .get(name.value.as_str())
                .is_some_and(|signature| signature.has_role(Role::PointOfNoReturn)),
            Body::Playbook { .. } => false,
        })
    }

    /// Some step of it renews the data of a node that cannot simply follow.
    pub(super) fn renews(&self) -> bool {
        self.has_step(|step| match &step.body {
            Body::Action { name, .. } => matches!(name.value.as_str(), "rewind" | "clone"),
            Body::Playbook { .. } => false,
        })
    }

    /// Some step of the playbook, or of one that it nests, is so.
    fn has_step(&self, is_so: impl Fn(&Step) -> bool) -> bool {
        std::iter::once(&self.playbook.playbook)
            .chain(self.playbook.nested.values())
            .flat_map(|playbook| playbook.all_steps())
            .any(is_so)
    }
}
