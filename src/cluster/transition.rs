//! How one value of `synchronous_standby_names` gives way to another.
//!
//! Set at once, `ANY 1 (a)` → `ANY 1 (b)` leaves a moment in which the new value counts and what was acknowledged before is on
//! `a` alone: whoever then goes by the new value and has only `b` loses it. So a value comes between that asks for enough
//! acknowledgements to be enough by both, and stays until the standbys of the new one have everything.

use super::{SyncMethod, SyncNames};

/// What a change of the setting takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transition {
    /// The value to set first, until `acks` of its standbys have all that is written; none where the change may be made
    /// at once.
    pub between: Option<SyncNames>,
    /// The standbys that are to have all that is written when the new value counts, and how many of them; none where it
    /// asks for nothing that the former one did not ask for.
    pub catch_up: Option<(Vec<String>, u32)>,
}

/// A value as far as those standbys go that can acknowledge.
struct Reach {
    names: Vec<String>,
    acks: usize,
}

impl Reach {
    fn of(rule: &SyncNames, ready: &[&str]) -> Self {
        let mut names: Vec<String> = Vec::new();
        let listed = rule.names.iter().flat_map(|name| {
            let all = name == "*";
            let same = move |r: &&&str| all || r.eq_ignore_ascii_case(name);
            ready.iter().filter(same)
        });
        for name in listed.map(|name| name.to_ascii_lowercase()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let acks = (rule.acks as usize).min(names.len());
        Self { names, acks }
    }

    /// How many of its standbys the other does not name.
    fn beyond(&self, other: &Self) -> usize {
        let strange = |name: &&String| !other.names.contains(*name);
        self.names.iter().filter(strange).count()
    }

    /// Whichever standbys acknowledge by this one, they are enough for the other as well. `FIRST` counts as `ANY`: who is
    /// first depends on who is connected.
    fn covers(&self, other: &Self) -> bool {
        self.acks >= other.acks + self.beyond(other)
    }
}

impl Transition {
    /// From `old` to `new`, where these receivers can acknowledge. A value comes between only as far as they can keep to
    /// it: commits do not wait for the dead.
    pub fn new(old: Option<&SyncNames>, new: Option<&SyncNames>, ready: &[&str]) -> Self {
        let at_once = Self::default();
        let (Some(old), Some(new)) = (old, new) else {
            return at_once;
        };
        let (from, to) = (Reach::of(old, ready), Reach::of(new, ready));
        // Where nobody can acknowledge there is nothing to keep.
        if from.acks == 0 || to.acks == 0 || from.covers(&to) {
            return at_once;
        }
        let number = |acks: usize| u32::try_from(acks).unwrap_or(u32::MAX);
        let catch_up = Some((to.names.clone(), number(to.acks)));
        if to.covers(&from) {
            return Self {
                between: None,
                catch_up,
            };
        }
        let acks = (from.acks + to.beyond(&from)).max(to.acks + from.beyond(&to));
        let mut names = to.names.clone();
        names.extend(from.names.into_iter().filter(|n| !to.names.contains(n)));
        Self {
            between: Some(SyncNames {
                method: SyncMethod::Any,
                acks: number(acks),
                names,
            }),
            catch_up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 4] = ["a", "b", "c", "d"];

    fn subsets() -> Vec<Vec<&'static str>> {
        let pick = |bits: usize| {
            let chosen = |(i, _): &(usize, &&str)| bits & (1 << i) != 0;
            let named = ALL.iter().enumerate().filter(chosen);
            named.map(|(_, name)| *name).collect()
        };
        (0..1 << ALL.len()).map(pick).collect()
    }

    fn rules() -> Vec<SyncNames> {
        let of = |names: Vec<&'static str>| {
            let all = names.len();
            (1..=all).map(move |acks| SyncNames {
                method: SyncMethod::Any,
                acks: u32::try_from(acks).unwrap(),
                names: names.iter().map(ToString::to_string).collect(),
            })
        };
        subsets().into_iter().flat_map(of).collect()
    }

    /// The sets of living standbys that are enough for a rule, as it clamps to them.
    fn enough(rule: &SyncNames, ready: &[&str]) -> Vec<Vec<&'static str>> {
        let living = |n: &&str| ready.contains(n) && rule.matches(n);
        let acks = (rule.acks as usize).min(ALL.iter().filter(|n| living(n)).count());
        let mut sets = subsets();
        sets.retain(|set| set.len() == acks && set.iter().all(living));
        sets
    }

    /// Whatever is enough for one is enough for the other.
    fn content(one: &SyncNames, other: &SyncNames, ready: &[&str]) -> bool {
        let wanted = enough(other, ready);
        let holds = |set: &Vec<&str>| wanted.iter().any(|w| w.iter().all(|n| set.contains(n)));
        enough(one, ready).iter().all(holds)
    }

    /// All pairs of rules over four names, with all sets of standbys that live.
    fn each(mut look: impl FnMut(&SyncNames, &SyncNames, &[&str], &Transition)) {
        for ready in subsets() {
            for old in rules() {
                for new in rules() {
                    look(
                        &old,
                        &new,
                        &ready,
                        &Transition::new(Some(&old), Some(&new), &ready),
                    );
                }
            }
        }
    }

    #[test]
    fn what_comes_between_is_enough_by_both_and_can_be_kept_to() {
        let mut seen = 0;
        each(|old, new, ready, change| {
            let Some(between) = &change.between else {
                return;
            };
            seen += 1;
            assert!(content(between, old, ready), "{old} {between} {ready:?}");
            assert!(content(between, new, ready), "{new} {between} {ready:?}");
            assert!(between.acks as usize <= between.names.len());
            let living = |n: &String| ready.contains(&n.as_str());
            assert!(between.names.iter().all(living), "{between} {ready:?}");
        });
        assert!(seen > 0);
    }

    #[test]
    fn at_once_goes_only_what_one_of_both_is_enough_for() {
        let mut needed = 0;
        each(|old, new, ready, change| {
            let overlap = content(old, new, ready) || content(new, old, ready);
            let nobody = enough(old, ready) == [Vec::<&str>::new()]
                || enough(new, ready) == [Vec::<&str>::new()];
            needed += usize::from(!overlap && !nobody);
            if change.between.is_none() {
                assert!(overlap || nobody, "{old} → {new} {ready:?}");
            }
            if change.catch_up.is_none() {
                assert!(
                    nobody || content(old, new, ready),
                    "{old} → {new} {ready:?}"
                );
            }
        });
        assert!(needed > 0, "the look can tell");
    }

    #[test]
    fn names_are_compared_without_case_and_everybody_is_whoever_lives() {
        let parse = |text| SyncNames::parse(text).unwrap().unwrap();
        let change = |old, new, ready: &[&str]| {
            let change = Transition::new(Some(&parse(old)), Some(&parse(new)), ready);
            change.between.map(|b| b.to_string())
        };
        let both = &["n2", "n3"];
        let between = Some("ANY 2 (\"n3\", \"n2\")".to_owned());
        assert_eq!(change("N2", "ANY 1 (n3)", both), between);
        assert_eq!(change("N2", "ANY 1 (n2)", both), None);
        assert_eq!(change("*", "FIRST 1 (n2)", both), None);
        assert_eq!(change("n2", "ANY 1 (n3)", &["n3"]), None, "n2 is dead");
    }
}
