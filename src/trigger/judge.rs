//! When a suspicion counts: how often, and for how long, looks must have come to the same.

use super::analysis::Analysis;
use super::code::Code;
use crate::cluster::{Detector, NodeName, OnShutdown};
use std::time::Duration;
use tokio::time::Instant;

/// What is to be done after a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: the primary works, or whatever is wrong is not for a failover.
    Nothing,
    /// Look again, after this time.
    Again(Duration),
    /// The primary is lost, and by the site's rules a person decides.
    Tell(String),
    /// The primary is lost: replace it.
    Act,
}

/// A judge of one cluster. Pure but for what it was told before; it never looks at a clock.
#[derive(Debug)]
pub struct Judge {
    suspicion: Option<Suspicion>,
    /// A sign of which nobody has told yet what it means: when it came.
    sign: Option<Instant>,
}

#[derive(Debug)]
struct Suspicion {
    class: Class,
    primary: Option<NodeName>,
    /// When the first of the looks began.
    since: Instant,
    looks: u32,
}

/// Losses that confirm each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Its host says so.
    Down,
    /// Nothing is heard, of its host neither.
    Silent,
    /// It is there and does nothing.
    Hangs,
}

fn class(code: Code) -> Option<Class> {
    match code {
        Code::PostgresDownHostUp => Some(Class::Down),
        Code::PrimaryDead | Code::PrimaryDeadAndSomeStandbys => Some(Class::Silent),
        Code::PrimaryHangs => Some(Class::Hangs),
        _ => None,
    }
}

impl Judge {
    /// One that suspects nothing.
    pub fn new() -> Self {
        Self {
            suspicion: None,
            sign: None,
        }
    }

    /// Forgets what it suspected: there is a new sign, which came then. It counts as the first look.
    pub fn begin(&mut self, sign: Instant) {
        self.suspicion = None;
        self.sign = Some(sign);
    }

    /// Judges a closer look that began at `begun` and came to `found`. Whatever answered only after that was still silent then,
    /// so that counts as its moment.
    pub fn judge(&mut self, found: &Analysis, begun: Instant, detector: &Detector) -> Verdict {
        let Some(class) = class(found.code) else {
            self.suspicion = None;
            return Verdict::Nothing;
        };
        let same = |old: &Suspicion| old.class == class && old.primary == found.primary;
        let suspicion = if let Some(mut old) = self.suspicion.take().filter(same) {
            old.looks += 1;
            old
        } else {
            let sign = self.sign.take();
            Suspicion {
                class,
                primary: found.primary.clone(),
                since: sign.unwrap_or(begun),
                looks: 1 + u32::from(sign.is_some()),
            }
        };
        let lasted = begun.saturating_duration_since(suspicion.since);
        let must_last = match class {
            Class::Down => Duration::ZERO,
            Class::Silent => detector.silent,
            Class::Hangs => detector.hangs,
        };
        let enough = suspicion.looks >= detector.looks && lasted >= must_last;
        self.suspicion = Some(suspicion);
        if !enough {
            return Verdict::Again(detector.pause);
        }
        if found.shut_down && detector.on_shutdown == OnShutdown::Alert {
            return Verdict::Tell(format!(
                "{}; it was shut down cleanly, and an administrator may be at work: `on_shutdown: act` in the site file would \
                 have replaced it",
                found.text
            ));
        }
        Verdict::Act
    }
}

impl Default for Judge {
    fn default() -> Self {
        Self::new()
    }
}
