//! The situations in which a run begins.

use super::subject::Subject;
use crate::cluster::{Inventory, NodeName, SyncMode, SyncNames, Synchronous};
use crate::simulate::{Disruption, Habit, Place, SimCluster, World, WorldBuilder};
use std::fmt;
use std::time::Duration;

/// What has happened to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Start {
    /// Nothing.
    Healthy,
    /// The primary's server was killed.
    ServerDead,
    /// The primary's machine has no power.
    HostDead,
    /// The same, and a person accepts to go on without a proof and with what is lost.
    HostWaived,
    /// The primary and the clients reach each other, and nobody else reaches the primary.
    Partition,
    /// Only pgbaton does not reach the primary.
    RunnerCut,
    /// The primary's processes are stopped (SIGSTOP): it accepts and never answers.
    Hung,
    /// The primary's server was killed; sessions that outlived it go on committing.
    Orphans,
    /// The primary's server was killed while the first standby was far behind.
    Lagging,
    /// The primary's server was killed while the last standby was down.
    OneDown,
    /// The primary's server was killed while the replay of a standby was paused.
    Paused,
    /// The primary's server was killed; the last standby follows the first.
    Cascade,
    /// The primary's server was killed and somebody has promoted the first standby already.
    Promoted,
    /// The same, after the primary had written what nobody received.
    Diverged,
}

/// Whether commits wait for standbys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Commits {
    /// They do not.
    Asynchronous,
    /// They do, as the site says, or for any one standby.
    Synchronous,
}

/// Where a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Situation {
    /// What has happened.
    pub start: Start,
    /// How commits are replicated.
    pub commits: Commits,
}

/// How often the client of a world writes: the precision of the write gaps.
const WRITES: Duration = Duration::from_millis(50);
/// How much a standby that lags has missed.
const BEHIND: u64 = 40_000_000;
/// How much a primary that diverged wrote for itself.
const AHEAD: u64 = 100_000;

impl Start {
    const ALL: [Self; 14] = [
        Self::Healthy,
        Self::ServerDead,
        Self::HostDead,
        Self::HostWaived,
        Self::Partition,
        Self::RunnerCut,
        Self::Hung,
        Self::Orphans,
        Self::Lagging,
        Self::OneDown,
        Self::Paused,
        Self::Cascade,
        Self::Promoted,
        Self::Diverged,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::ServerDead => "server-dead",
            Self::HostDead => "host-dead",
            Self::HostWaived => "host-waived",
            Self::Partition => "partition",
            Self::RunnerCut => "runner-cut",
            Self::Hung => "hung",
            Self::Orphans => "orphans",
            Self::Lagging => "lagging",
            Self::OneDown => "one-down",
            Self::Paused => "paused",
            Self::Cascade => "cascade",
            Self::Promoted => "promoted",
            Self::Diverged => "diverged",
        }
    }
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let commits = match self.commits {
            Commits::Asynchronous => "async",
            Commits::Synchronous => "sync",
        };
        write!(f, "{}-{commits}", self.start.word())
    }
}

impl Situation {
    /// All of them, the plain ones first.
    pub fn all() -> Vec<Self> {
        let both = [Commits::Synchronous, Commits::Asynchronous];
        Start::ALL
            .into_iter()
            .flat_map(|start| both.map(|commits| Self { start, commits }))
            .collect()
    }

    /// Those in which this can be rehearsed.
    pub fn of(subject: &Subject) -> Vec<Self> {
        let all = Self::all().into_iter();
        all.filter(|situation| situation.suits(subject)).collect()
    }

    /// The other way round from its text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::all().into_iter().find(|s| s.to_string() == text)
    }

    fn suits(self, subject: &Subject) -> bool {
        let standbys = subject.inventory.nodes.len().saturating_sub(1);
        let waives = subject.has_param("waive_fence") && subject.has_param("accept_loss");
        let commits = subject.site_mode.is_none_or(|mode| {
            let synchronous = !matches!(mode, SyncMode::Off | SyncMode::Unmanaged);
            synchronous == (self.commits == Commits::Synchronous)
        });
        let start = match self.start {
            Start::HostWaived => waives,
            Start::Cascade => standbys >= 3,
            Start::Lagging | Start::OneDown | Start::Promoted => standbys >= 2,
            // Only for what brings such a node back.
            Start::Diverged => standbys >= 2 && subject.renews(),
            _ => true,
        };
        commits && start
    }

    /// The site's nodes, with commits as they are here.
    pub(super) fn inventory(self, subject: &Subject) -> Inventory {
        let mut inventory = (*subject.inventory).clone();
        let mode = inventory.synchronous.mode;
        inventory.synchronous = match self.commits {
            Commits::Asynchronous => Synchronous {
                mode: SyncMode::Off,
                acks: 1,
            },
            Commits::Synchronous if matches!(mode, SyncMode::Off | SyncMode::Unmanaged) => {
                Synchronous {
                    mode: SyncMode::Quorum,
                    acks: 1,
                }
            }
            Commits::Synchronous => inventory.synchronous,
        };
        inventory
    }

    /// A world of these nodes in which nothing has happened yet, and its nodes: the primary first.
    pub(super) fn world(self, inventory: &Inventory, names: &[NodeName], seed: u64) -> World {
        let standbys = &names[1.min(names.len())..];
        let synchronous = match self.commits {
            Commits::Asynchronous => None,
            Commits::Synchronous => synchronous_names(inventory.synchronous, standbys),
        };
        let habit = if self.start == Start::Orphans {
            Habit::Loop
        } else {
            Habit::Statements
        };
        let mut builder = WorldBuilder::new(inventory, seed)
            .synchronous(&synchronous.unwrap_or_default())
            .client(WRITES, habit);
        if let Some(primary) = names.first() {
            builder = builder.primary(primary);
        }
        if let (Start::Cascade, [first, .., last]) = (self.start, standbys) {
            builder = builder.upstream(last, first);
        }
        builder.build()
    }

    /// Lets happen what has happened when the run begins.
    pub(super) async fn begin(self, sim: &SimCluster, names: &[NodeName]) {
        let [primary, first, .., last] = names else {
            return;
        };
        let pass = |ms| sim.pass(Duration::from_millis(ms));
        let disrupt = |disruption: Disruption| sim.with(|w| w.disrupt(&disruption));
        let kill = || Disruption::KillServer(primary.clone());
        pass(500).await;
        match self.start {
            Start::Healthy => {}
            Start::ServerDead | Start::Orphans | Start::Cascade => disrupt(kill()),
            Start::HostDead | Start::HostWaived => disrupt(Disruption::HostDown(primary.clone())),
            Start::Partition => {
                disrupt(Disruption::Part(primary.clone()));
                disrupt(Disruption::Lose(primary.clone()));
            }
            Start::RunnerCut => {
                let there = || Place::Node(primary.clone());
                disrupt(Disruption::Cut(Place::Runner, there()));
                disrupt(Disruption::Cut(there(), Place::Runner));
            }
            Start::Hung => disrupt(Disruption::Freeze(primary.clone())),
            Start::Lagging => {
                disrupt(Disruption::StallReceiver(first.clone()));
                disrupt(Disruption::Write(primary.clone(), BEHIND));
                pass(300).await;
                disrupt(kill());
                disrupt(Disruption::ResumeReceiver(first.clone()));
            }
            Start::OneDown => {
                disrupt(Disruption::StopServer(last.clone()));
                pass(300).await;
                disrupt(kill());
            }
            Start::Paused => {
                disrupt(Disruption::PauseReplay(last.clone()));
                pass(300).await;
                disrupt(kill());
            }
            Start::Diverged => {
                disrupt(Disruption::Part(primary.clone()));
                disrupt(Disruption::Write(primary.clone(), AHEAD));
                pass(100).await;
                disrupt(kill());
                disrupt(Disruption::Rejoin(primary.clone()));
                pass(100).await;
                disrupt(Disruption::Promote(first.clone()));
            }
            Start::Promoted => {
                disrupt(kill());
                pass(100).await;
                disrupt(Disruption::Promote(first.clone()));
            }
        }
        pass(300).await;
    }
}

/// The text of `synchronous_standby_names` for these standbys.
fn synchronous_names(wanted: Synchronous, standbys: &[NodeName]) -> Option<String> {
    let names: Vec<&str> = standbys.iter().map(NodeName::as_str).collect();
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let list = quoted.join(", ");
    let text = match wanted.mode {
        SyncMode::Quorum => format!("ANY {} ({list})", wanted.acks),
        SyncMode::First => format!("FIRST {} ({list})", wanted.acks),
        SyncMode::All => format!("ANY {} ({list})", names.len()),
        SyncMode::Off | SyncMode::Unmanaged => return None,
    };
    // A list that the model does not read would make commits asynchronous without a word.
    SyncNames::parse(&text).ok().flatten().map(|_| text)
}
