//! A scenario, and its text: everything that a replay needs besides the playbook and the site.

use super::fault::{Kind, Planned, Point};
use super::situation::Situation;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::fmt;
use std::str::FromStr;

/// Where a run begins, what meets it, and the seed of everything random.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scenario {
    /// Where it begins.
    pub situation: Situation,
    /// The seed of the world and of the engine.
    pub seed: u64,
    /// What meets it.
    pub faults: Vec<Planned>,
}

/// A text that is no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no seed of a rehearsal: {why}")]
pub struct ScenarioError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

impl Scenario {
    /// Several faults at random calls of a random one of these situations. None where there is no situation.
    pub fn random(situations: &[Situation], seed: u64) -> Option<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |limit: u64| random.next_u64() % limit.max(1);
        let index = usize::try_from(below(situations.len() as u64)).ok()?;
        let situation = *situations.get(index)?;
        // One alone, too: when things happen, to the millisecond, is the seed's.
        let count = 1 + below(4);
        let mut faults = Vec::new();
        while (faults.len() as u64) < count {
            let point = match below(5) {
                0 | 1 => Point::Effect(1 + below(50)),
                2 | 3 => Point::Question(1 + below(160)),
                _ => {
                    let record = 1 + below(250);
                    let point = match below(2) {
                        0 => Point::Recorded(record),
                        _ => Point::Unrecorded(record),
                    };
                    faults.push(Planned {
                        point,
                        kind: Kind::Dies,
                    });
                    continue;
                }
            };
            let kinds = Kind::ALL.map(Some);
            let kind = kinds[usize::try_from(below(kinds.len() as u64)).unwrap_or(0)];
            if let Some(kind) = kind.filter(|kind| kind.fits(point)) {
                faults.push(Planned { point, kind });
            }
        }
        faults.sort();
        faults.dedup_by_key(|fault| fault.point);
        Some(Self {
            situation,
            seed,
            faults,
        })
    }
}

impl fmt::Display for Scenario {
    /// `server-dead-sync.1.e12-lost+q30-host`: nothing in it means anything to a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.situation, self.seed)?;
        for (index, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { '.' } else { '+' })?;
        }
        Ok(())
    }
}

impl FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        let wrong = |why: String| ScenarioError {
            text: text.to_owned(),
            why,
        };
        let mut parts = text.split('.');
        let name = parts.next().unwrap_or_default();
        let situation = Situation::parse(name)
            .ok_or_else(|| wrong(format!("there is no situation `{name}`")))?;
        let number = parts.next().unwrap_or_default();
        let seed = number
            .parse()
            .map_err(|_| wrong(format!("`{number}` is no number")))?;
        let faults = match parts.next() {
            None => Vec::new(),
            Some(faults) => faults
                .split('+')
                .map(|fault| {
                    Planned::parse(fault).ok_or_else(|| wrong(format!("`{fault}` is no fault")))
                })
                .collect::<Result<_, _>>()?,
        };
        match parts.next() {
            None => Ok(Self {
                situation,
                seed,
                faults,
            }),
            Some(_) => Err(wrong("there is more after its faults".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_read_back_from_its_text() {
        let situations = Situation::all();
        for seed in 0..500 {
            let scenario = Scenario::random(&situations, seed).unwrap();
            assert!(!scenario.faults.is_empty());
            let text = scenario.to_string();
            assert_eq!(text.parse::<Scenario>().unwrap(), scenario, "{text}");
            assert!(
                text.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b".-+".contains(&b)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_scenario_says_why() {
        for (text, why) in [
            ("nowhere.1", "no situation"),
            ("server-dead-sync", "no number"),
            ("server-dead-sync.x", "no number"),
            ("server-dead-sync.1.e0-lost", "no fault"),
            ("server-dead-sync.1.q3-lost", "no fault"),
            ("server-dead-sync.1.e3-lost.x", "more after"),
        ] {
            let error = text.parse::<Scenario>().unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
