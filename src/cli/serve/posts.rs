//! A watch over every cluster of the site file, as it was last read.

use super::say;
use crate::cli::app::Context;
use crate::cluster::{Inventory, Mode};
use crate::runs::{RunsError, World, site_file};
use crate::site::Site;
use crate::trigger::{Code, LiveDesk, Sentry, State, Turns, Watches, hooks};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Up to so many clusters, the ways to their hosts are opened beforehand and kept: an ssh connection takes a quarter of a
/// second to open, and some megabytes.
const FEW: usize = 16;

/// The watches. They end with it: a run that one of them has started stays to be resumed.
pub(super) struct Posts {
    turns: Turns,
    watches: Watches,
    by_cluster: BTreeMap<String, Post>,
}

struct Post {
    inventory: Arc<Inventory>,
    state: watch::Receiver<State>,
    task: AbortOnDropHandle<()>,
}

impl Posts {
    /// None yet; `watches` tells how they stand.
    pub(super) fn new(watches: Watches, turns: Turns) -> Self {
        Self {
            turns,
            watches,
            by_cluster: BTreeMap::new(),
        }
    }

    /// Reads the site file and watches its clusters. Those that are watched already, and have changed in it, are watched as
    /// it has them now, once nothing is under way there. Nothing is changed where it cannot be read.
    pub(super) fn read(&mut self, context: &Context) -> Result<(), RunsError> {
        let global = &context.global;
        let file = site_file(global.site.as_deref())?;
        let site = Site::load(&file)?;
        // Those in force are from the start; the next start is not to fail of what was let pass now.
        hooks(&site, &file)?;
        let worlds = World::all(&site, &file, global.cluster.as_deref())?;
        let few = worlds.len() <= FEW;
        let names: Vec<String> = worlds
            .iter()
            .map(|w| w.inventory().cluster.clone())
            .collect();
        self.by_cluster.retain(|name, _| {
            let stays = names.contains(name);
            if !stays {
                say(&format!("{name} is watched no more"));
            }
            stays
        });
        for world in worlds {
            self.set(world, few);
        }
        Ok(())
    }

    fn set(&mut self, world: World, few: bool) {
        let inventory = Arc::clone(world.inventory());
        let name = inventory.cluster.clone();
        if let Some(post) = self.by_cluster.get(&name) {
            if post.inventory == inventory {
                return;
            }
            // What it remembers of a primary that is gone is needed: what its commits waited for is part of a proof.
            let state = post.state.borrow();
            let well = state
                .analysis
                .as_ref()
                .is_none_or(|found| found.code == Code::Ok);
            if state.running || !well {
                say(&format!(
                    "{name} is not well, and is watched as before: when it is, let the site file be read again"
                ));
                return;
            }
        }
        let known = self.by_cluster.get(&name).and_then(|post| {
            let state = post.state.borrow();
            state
                .analysis
                .as_ref()
                .and_then(|found| found.primary.clone())
        });
        say(&format!(
            "watching {name} ({})",
            match inventory.detector.mode {
                Mode::Observe => "observe: it only tells",
                Mode::Approve => "approve: it asks",
                Mode::Auto => "auto: it acts",
            }
        ));
        let port = world.watched();
        let world = Arc::new(world);
        let desk = Arc::new(LiveDesk::new(Arc::clone(&world), self.turns.clone(), say));
        let sentry = Sentry::new(port, desk, self.turns.limit()).knowing(known);
        let state = sentry.state();
        self.watches.add(&name, state.clone());
        let task = tokio::spawn(async move {
            let warm = async {
                if few {
                    world.warm().await;
                }
            };
            tokio::join!(warm, sentry.watch());
        });
        let task = AbortOnDropHandle::new(task);
        self.by_cluster.insert(
            name,
            Post {
                inventory,
                state,
                task,
            },
        );
    }

    /// How many runs they have started that are under way.
    pub(super) fn under_way(&self) -> usize {
        let posts = self.by_cluster.values();
        posts
            .filter(|post| !post.task.is_finished() && post.state.borrow().running)
            .count()
    }
}
