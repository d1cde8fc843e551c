//! The one gate between whatever wants to start a run by itself and the engine.

use super::pause::Pause;
use crate::cluster::Mode;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Why nothing was started, or that something may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "gate")]
pub enum Passage {
    /// It may be started.
    Open,
    /// The site file says that it is only told.
    Observe,
    /// It cannot be told whether somebody has paused it: it counts as paused.
    Unknown {
        /// Why.
        why: String,
    },
    /// Somebody has paused what starts by itself.
    Paused {
        /// Who.
        owner: String,
        /// Why.
        reason: String,
        /// Until when.
        until: String,
    },
    /// What its commits waited for was last seen before it lived on without us, and is no part of a proof.
    Stale {
        /// For how many seconds nobody here has seen it.
        seconds: u64,
    },
    /// A run has just ended.
    Cooldown {
        /// Which one.
        run: String,
        /// For how many seconds still.
        seconds: u64,
    },
    /// Another run has the cluster, or is being started.
    Busy {
        /// Which one, where it can be told.
        run: Option<String>,
    },
    /// As many runs are under way as may be started by themselves, over all clusters.
    Full,
}

impl Passage {
    /// What tells one reason from another: without the seconds, which run.
    pub fn reason(&self) -> String {
        match self {
            Self::Cooldown { run, .. } => format!("cooldown {run}"),
            Self::Stale { .. } => "stale".to_owned(),
            other => other.told(),
        }
    }

    /// In a sentence, as it follows "nothing was started: ".
    pub fn told(&self) -> String {
        match self {
            Self::Open => "nothing stands against it".to_owned(),
            Self::Observe => "the site file says `mode: observe`".to_owned(),
            Self::Unknown { why } => {
                format!("it cannot be told whether somebody has paused it: {why}")
            }
            Self::Paused {
                owner,
                reason,
                until,
            } => {
                format!("{owner} has paused what starts by itself until {until}: {reason}")
            }
            Self::Stale { seconds } => format!(
                "what its commits wait for was last seen {seconds} s ago, and it lived on since: that proves nothing any more; \
                 stop it, or fence it, and run it by hand"
            ),
            Self::Cooldown { run, seconds } => format!(
                "run {run} has only just ended; nothing is started by itself for another {seconds} s, unless somebody \
                 says `pgbaton runs acknowledge {run} --reason …`"
            ),
            Self::Busy { run: Some(run) } => format!("run {run} has the cluster"),
            Self::Busy { run: None } => "another run of the cluster is being started".to_owned(),
            Self::Full => {
                "as many runs are under way as may be started by themselves at once".to_owned()
            }
        }
    }
}

/// What is known of what may stand against a run.
#[derive(Debug, Clone)]
pub struct Known {
    /// The pause, if there is one. An error: nobody knows.
    pub pause: Result<Option<Pause>, String>,
    /// The last run that was started by itself, and how long ago it ended; none where somebody has acknowledged it.
    pub last: Option<(String, Duration)>,
}

/// Whether something may be started now.
pub fn passage(mode: Mode, cooldown: Duration, known: Known) -> Passage {
    match known.pause {
        Err(why) => return Passage::Unknown { why },
        Ok(Some(pause)) => {
            return Passage::Paused {
                owner: pause.owner,
                reason: pause.reason,
                until: pause.until.to_string(),
            };
        }
        Ok(None) => {}
    }
    if let Some((run, ago)) = known.last
        && ago < cooldown
    {
        let seconds = cooldown.saturating_sub(ago).as_secs() + 1;
        return Passage::Cooldown { run, seconds };
    }
    match mode {
        Mode::Observe => Passage::Observe,
        // Its run begins with the question.
        Mode::Approve | Mode::Auto => Passage::Open,
    }
}
