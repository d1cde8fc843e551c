//! The one gate between whatever wants to start a run by itself and the engine.

use super::pause::Pause;
use crate::cluster::Mode;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;

/// Why nothing was started, or that something may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "gate")]
pub enum Passage {
    /// It may be started.
    Open,
    /// The site file says that it is only told.
    Observe,
    /// A person is to be asked.
    Ask,
    /// Somebody has paused what starts by itself.
    Paused {
        /// Who.
        owner: String,
        /// Why.
        reason: String,
        /// Until when.
        until: String,
    },
    /// A run has just ended.
    Cooldown {
        /// Which one.
        run: String,
        /// For how many seconds still.
        seconds: u64,
    },
}

impl Passage {
    /// In a sentence, as it follows "nothing was started: ".
    pub fn told(&self) -> String {
        match self {
            Self::Open => "nothing stands against it".to_owned(),
            Self::Observe => "the site file says `mode: observe`".to_owned(),
            Self::Ask => "a person is to approve it, as the site file says".to_owned(),
            Self::Paused {
                owner,
                reason,
                until,
            } => {
                format!("{owner} has paused what starts by itself until {until}: {reason}")
            }
            Self::Cooldown { run, seconds } => format!(
                "run {run} has only just ended; nothing is started by itself for another {seconds} s, unless somebody \
                 acknowledges that run"
            ),
        }
    }
}

/// The gate of one cluster.
#[derive(Debug, Default)]
pub struct Gate {
    last: Option<(String, Instant)>,
}

impl Gate {
    /// A run that was started by itself has ended.
    pub fn ended(&mut self, run: &str, at: Instant) {
        self.last = Some((run.to_owned(), at));
    }

    /// Somebody has looked at the last run.
    pub fn acknowledged(&mut self, run: &str) {
        if self.last.as_ref().is_some_and(|(last, _)| last == run) {
            self.last = None;
        }
    }

    /// Whether something may be started now.
    pub fn passage(
        &self,
        mode: Mode,
        pause: Option<&Pause>,
        cooldown: Duration,
        now: Instant,
    ) -> Passage {
        if let Some(pause) = pause {
            return Passage::Paused {
                owner: pause.owner.clone(),
                reason: pause.reason.clone(),
                until: pause.until.clone(),
            };
        }
        if let Some((run, at)) = &self.last {
            let left = cooldown.saturating_sub(now.saturating_duration_since(*at));
            if !left.is_zero() {
                return Passage::Cooldown {
                    run: run.clone(),
                    seconds: left.as_secs() + 1,
                };
            }
        }
        match mode {
            Mode::Observe => Passage::Observe,
            Mode::Approve => Passage::Ask,
            Mode::Auto => Passage::Open,
        }
    }
}
