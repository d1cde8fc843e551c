//! A watch over every cluster of the site file, as it was last read.

use super::say;
use crate::cli::app::Context;
use crate::cluster::{Inventory, Mode};
use crate::notify::Notifier;
use crate::runs::{RunsError, World, site_file};
use crate::site::Site;
use crate::trigger::{Code, LiveDesk, Sentry, State, Turns, Watches, hooks};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Up to so many clusters, the ways to their hosts are opened beforehand and kept: an ssh connection takes a quarter of a
/// second to open, and some megabytes.
const FEW: usize = 16;
/// Beyond that, between the first looks of two clusters: a thousand that log in everywhere at one instant would wait for
/// one another longer than an answer may take, and each would be suspected.
const BETWEEN: Duration = Duration::from_millis(5);

/// The watches. They end with it: a run that one of them has started stays to be resumed.
pub(super) struct Posts {
    turns: Turns,
    watches: Watches,
    notifier: Notifier,
    by_cluster: BTreeMap<String, Post>,
}

struct Post {
    inventory: Arc<Inventory>,
    state: watch::Receiver<State>,
    task: AbortOnDropHandle<()>,
}

impl Posts {
    /// None yet; `watches` tells how they stand, `notifier` whoever is to know.
    pub(super) fn new(watches: Watches, turns: Turns, notifier: Notifier) -> Self {
        Self {
            turns,
            watches,
            notifier,
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
        // Before anything is watched: what is found first is told.
        if let Err(error) = self.notifier.set(&site.notify) {
            say(&format!("nobody can be notified: {error}"));
        }
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
        let mut after = Duration::ZERO;
        for world in worlds {
            if self.set(world, few, after) && !few {
                after += BETWEEN;
            }
        }
        Ok(())
    }

    /// Whether it is watched anew, by a watch that begins after this.
    fn set(&mut self, world: World, few: bool, after: Duration) -> bool {
        let inventory = Arc::clone(world.inventory());
        let name = inventory.cluster.clone();
        if let Some(post) = self.by_cluster.get(&name) {
            if post.inventory == inventory {
                return false;
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
                return false;
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
        // At three in the morning is no time to learn it.
        for playbook in inventory.detector.starts() {
            if let Err(error) = world.load(playbook) {
                say(&format!(
                    "{name}: `{playbook}` could not be run, should it be needed: {error} (`pgbaton validate {playbook}`)"
                ));
            }
        }
        let port = world.watched();
        let world = Arc::new(world);
        let desk = Arc::new(LiveDesk::new(
            Arc::clone(&world),
            self.turns.clone(),
            self.notifier.clone(),
            say,
        ));
        let sentry = Sentry::new(port, desk, self.turns.limit()).knowing(known);
        let state = sentry.state();
        self.watches.add(&name, state.clone());
        let task = tokio::spawn(async move {
            tokio::time::sleep(after).await;
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
        true
    }

    /// How many runs they have started that are under way.
    pub(super) fn under_way(&self) -> usize {
        let posts = self.by_cluster.values();
        posts
            .filter(|post| !post.task.is_finished() && post.state.borrow().running)
            .count()
    }
}
